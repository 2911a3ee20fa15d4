# Every target sets up what it needs; `make help` lists them.

PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev,cluster
MODEL ?= smollm2-135m-instruct
PROMPT ?= When Mary and John went to the store, John gave a drink to
JOBS ?= 2
RECIPE ?= data/clt/recipes/smollm2-135m-instruct.toml
SECONDS_EACH ?= 1800

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
NODE_STAMP := widgets/node_modules/.package-lock.json
# Tests never reach for a hub.
PYTEST := HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest
# One thread a worker: on tiny matrices threads that wait for each other cost four times the processor time.
PARALLEL := OMP_NUM_THREADS=1 $(PYTEST) -n $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup weights browser demo lab test test-fast soak bench architectures widgets notebooks format lint constraints clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv and install the package with the pinned versions

# The stamp is written last: an installation that was interrupted is taken up again by the next make.
$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "circuit-workbench needs Python 3.11 or newer: run make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

weights: setup ## fetch both models (this accepts the terms of Gemma, see README.md)
	@$(BIN)/workbench fetch smollm2-135m-instruct
	@$(BIN)/workbench fetch gemma-3-270m --accept-licence

browser: setup ## find a browser for the tests, or install Debian's Chromium where root may
	@$(BIN)/python tests/browser/chromium.py

demo: setup ## trace one prompt with the default model into out/demo
	@$(BIN)/workbench trace "$(PROMPT)" --model $(MODEL) --fetch --out out/demo

lab: setup ## JupyterLab on the notebooks
	$(BIN)/workbench lab

test: setup lint weights $(NODE_STAMP) ## every check and every test but the soak tests and the benchmarks
	$(PARALLEL) -m "not soak and not benchmark"

test-fast: setup ## the unit tests
	$(PARALLEL) tests/unit -m "not soak and not benchmark"

soak: setup weights ## the tests that take longer than make test allows
	@$(PYTEST) -m soak || { status=$$?; \
	  [ $$status -ne 5 ] || echo "No test is marked soak in this version: there is nothing to soak." >&2; exit $$status; }

bench: setup weights ## the tests that measure time and memory
	@$(PYTEST) -m benchmark || { status=$$?; \
	  [ $$status -ne 5 ] || echo "No test is marked benchmark in this version: there is nothing to measure." >&2; exit $$status; }

# Hours: ten CLTs are trained and evaluated. The same command goes on after an interruption.
architectures: setup weights ## compare PLT, windows, full CLT and skips at equal training time; writes docs/architectures.md
	$(BIN)/python -m workbench.benchmarks.architectures $(RECIPE) --seconds $(SECONDS_EACH) --threads $(JOBS)

# npm writes its own stamp. Without npm nothing is written, and the tests of the TypeScript say what is missing.
$(NODE_STAMP): widgets/package-lock.json
	@command -v npm >/dev/null || { echo "npm was not found: install Node 20 or newer to work on the widgets." >&2; exit 0; }; \
	  cd widgets && npm ci --no-audit --no-fund && touch node_modules/.package-lock.json

widgets: $(NODE_STAMP) ## bundle the TypeScript of the widgets into workbench/widgets/static
	cd widgets && npm run build

notebooks: setup weights ## execute notebooks/NN_name.py into NN_name.ipynb, with outputs and widgets
	@$(BIN)/python scripts/build_notebooks.py

format: setup ## format the code and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: setup ## ruff, mypy and the order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Into an environment of its own, so that nothing that somebody tried out ends up among the pins.
constraints: ## write constraints.txt anew from the newest versions that pyproject.toml allows
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install --disable-pip-version-check -e '.[dev,cluster]' 'torch==2.13.0'
	{ grep '^#' constraints.txt; build/pins/bin/python -m pip freeze --exclude-editable \
	  | grep -vE '^(nvidia-|cuda-|triton==)' | sed -E 's/^(torch==[^+]*)\+.*/\1/' | LC_ALL=C sort -f; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean: ## remove what make made, the virtual environment included
	rm -rf $(VENV) build dist out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
