"""PLT, windowed and full CLTs, with and without skip, trained for equal processor time, evaluated on the same text.

Made to run for hours without anybody watching: ``make architectures``, or ::

    python -m workbench.benchmarks.architectures data/clt/recipes/gemma-3-270m.toml --seconds 1800 --threads 2

Every step is a `workbench` command in a process of its own, whose result is a file; what is there is not done again,
so the same command goes on after an interruption. The activations are harvested once, for all variants.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from workbench.benchmarks.architectures_page import Variant, page
from workbench.clt.training.config import TrainConfig, load_train_config
from workbench.errors import ConfigError, ResourceError, WorkbenchError
from workbench.evaluation.baselines import BASELINES
from workbench.files import atomic_file, read_json, write_json

WINDOWS = ("1", "2", "4", "8", "full")
# Enough steps for a rate that later ones keep, after ten in which caches and the allocator settle.
PILOT_STEPS, PILOT_LOG = 40, 10
STEPS_AT_LEAST = 10
_COMMAND = "from workbench.cli.app import main; main()"


@dataclass(frozen=True)
class Run:
    """The comparison of one recipe's variants.

    Attributes:
        base: what all variants share; its window and skip are not used.
        seconds: processor time of training, each variant, which other work on the machine does not lengthen as it does
            the time on the clock; harvest, initialisation and export come on top.
        windows: layers that a feature writes to, or ``full``.
        prompts: how many of the evaluation prompts; None for all.
        held_out: tokens that the evaluation reads; None for its default.
        threads: of every process.
    """

    base: TrainConfig
    folder: Path
    seconds: float
    windows: Sequence[str] = WINDOWS
    skips: Sequence[bool] = (False, True)
    prompts: int | None = None
    held_out: int | None = None
    threads: int | None = None

    def variants(self) -> list[Variant]:
        """Return the variants, those without a skip first."""
        return [Variant(window=window, skip=skip) for skip in self.skips for window in self.windows]

    def go(self) -> None:
        """Do what is not done yet.

        Raises:
            ConfigError: the folder holds a comparison under other conditions.
            ResourceError: a command failed; its message went to standard error.
        """
        self._check_conditions()
        shared = self.folder / "shared"
        if not (shared / "harvested.json").exists():
            recipe = self._recipe(shared.with_suffix(".toml"), {})
            self._train(recipe, shared, "--harvest-only")
            write_json(shared / "harvested.json", {"tokens": self.base.tokens})
        for variant in self.variants():
            self._one(variant, shared)

    def _check_conditions(self) -> None:
        # What the recipe says and no defaults: a field that a later version adds is no other condition.
        recipe = self.base.model_dump(mode="json", exclude_unset=True)
        conditions = {"recipe": recipe, "seconds": self.seconds, "prompts": self.prompts}
        if self.held_out is not None:
            conditions["held_out"] = self.held_out
        path = self.folder / "conditions.json"
        if not path.exists():
            write_json(path, conditions)
            return
        before = read_json(path)
        changed = [name for name, value in conditions.items() if before.get(name) != value]
        if changed:
            raise ConfigError(
                f"{self.folder} holds a comparison with another {' and '.join(changed)}, and only equal conditions "
                "can be compared: choose another --out or take up the old conditions."
            )

    def _one(self, variant: Variant, shared: Path) -> None:
        folder = self.folder / variant.slug
        if (folder / "evaluation.json").exists():
            _say(f"{variant.name}: done")
            return
        shape = {"window": 10_000 if variant.window == "full" else int(variant.window), "skip": variant.skip}
        if not (folder / "pilot.json").exists():
            _say(f"{variant.name}: how fast it trains")
            pilot = {**shape, "tokens": PILOT_STEPS * self.base.batch_tokens, "epochs": 1, "log_every": PILOT_LOG}
            recipe = self._recipe(folder / "pilot.toml", pilot)
            self._train(recipe, self._with_cache(folder / "pilot", shared))
            write_json(folder / "pilot.json", {"steps_per_second": steps_per_second(folder / "pilot")})
        rate = float(read_json(folder / "pilot.json")["steps_per_second"])
        _say(f"{variant.name}: training for {self.seconds:,.0f} s at {rate:.2f} steps a second")
        budget = equal_budget(self.base, round(rate * self.seconds))
        recipe = self._recipe(folder / "recipe.toml", {**shape, **budget})
        run = self._with_cache(folder / "run", shared)
        if not (run / "clt" / "training.json").exists():
            self._train(recipe, run)
        _say(f"{variant.name}: evaluation")
        base = self.base
        text = ["--corpus", base.corpus, "--row-length", str(base.row_length)]
        limit = [] if self.prompts is None else ["--limit", str(self.prompts)]
        limit += [] if self.held_out is None else ["--tokens", str(self.held_out)]
        # Those of the model alone are the same for all variants: the first one brings them.
        own = ["skip_alone" if variant.skip else "mean_ablation"]
        wanted = own if variant != self.variants()[0] else BASELINES
        chosen = [option for key in wanted for option in ("--baseline", key)]
        found = self._command(["evaluate", str(run / "clt"), "--model", base.model, *text, *limit, *chosen, "--json"])
        training = read_json(run / "report.json")
        training["cpu_seconds"] = training["steps"] / steps_per_second(run)
        write_json(folder / "evaluation.json", {"training": training, **json.loads(found)})

    def _recipe(self, path: Path, changes: dict[str, Any]) -> Path:
        values = {**self.base.model_dump(mode="json", exclude_unset=True), **changes}
        TrainConfig.model_validate(values)
        with atomic_file(path) as temporary:
            # Strings, numbers and truth values are written alike in JSON and TOML.
            temporary.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()), "utf-8")
        return path

    def _with_cache(self, run: Path, shared: Path) -> Path:
        """Return a run's folder in which the harvested activations of all variants lie."""
        run.mkdir(parents=True, exist_ok=True)
        for name in ("activations", "held_out"):
            if not (run / name).exists():
                (run / name).symlink_to((shared / name).resolve(), target_is_directory=True)
        return run

    def _train(self, recipe: Path, run: Path, *options: str) -> None:
        resume = ["--resume"] if (run / "recipe.json").exists() else []
        self._command(["train", str(recipe), "--out", str(run), *resume, *options])

    def _command(self, arguments: list[str]) -> str:
        """Run a `workbench` command; return what it wrote to standard output."""
        environment = dict(os.environ)
        if self.threads is not None:
            environment["OMP_NUM_THREADS"] = str(self.threads)
        done = subprocess.run(
            [sys.executable, "-c", _COMMAND, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ResourceError(
                f"`workbench {' '.join(arguments)}` ended with status {done.returncode}: see above, then run this "
                "again, which goes on from here."
            )
        return done.stdout


def steps_per_second(run: Path) -> float:
    """Return a finished run's steps a second of processor time, the steps before the first line left out.

    Raises:
        ConfigError: the metrics are too short to tell.
    """
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    # A process that goes on with an interrupted run counts its time from zero.
    pairs = [(line, after) for line, after in pairwise(lines) if after["cpu_seconds"] > line["cpu_seconds"]]
    seconds = sum(after["cpu_seconds"] - line["cpu_seconds"] for line, after in pairs)
    if not seconds:
        raise ConfigError(f"The metrics in {run} are too short to tell how fast it trains: delete the folder.")
    return float(sum(after["step"] - line["step"] for line, after in pairs) / seconds)


def equal_budget(base: TrainConfig, steps: int) -> dict[str, int]:
    """Return the ``tokens`` and ``epochs`` of a recipe with that many steps, to within the number of epochs.

    Raises:
        ConfigError: there is no time for a handful of steps.
    """
    if steps < STEPS_AT_LEAST:
        raise ConfigError(f"There is time for {steps} steps only: train for at least {STEPS_AT_LEAST}, with --seconds.")
    epochs = math.ceil(steps / (base.tokens // base.batch_tokens))
    return {"tokens": round(steps / epochs) * base.batch_tokens, "epochs": epochs}


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="architectures", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path, help="what all variants share; its window and skip are not used")
    parser.add_argument("--seconds", type=float, default=1800.0, help="processor time of training, each variant [1800]")
    parser.add_argument("--window", action="append", choices=WINDOWS, help="only these (repeatable)")
    parser.add_argument("--skip", choices=("without", "with", "both"), default="both")
    parser.add_argument("--prompts", type=int, help="evaluation prompts [all 50]")
    parser.add_argument("--tokens", type=int, help="held-out tokens of the evaluation [its default]")
    parser.add_argument("--threads", type=int, help="OMP threads of every process")
    parser.add_argument("--out", type=Path, default=Path("runs/architectures"), help="a folder, kept between runs")
    parser.add_argument("--page", type=Path, default=Path("docs/architectures.md"), help="the page to write")
    parsed = parser.parse_args(arguments)
    try:
        base = load_train_config(parsed.recipe)
        run = Run(
            base=base,
            # A model can be a folder or a hub name with an owner.
            folder=parsed.out / Path(base.model).name,
            seconds=parsed.seconds,
            windows=tuple(parsed.window or WINDOWS),
            skips={"without": (False,), "with": (True,), "both": (False, True)}[parsed.skip],
            prompts=parsed.prompts,
            held_out=parsed.tokens,
            threads=parsed.threads,
        )
        run.go()
        with atomic_file(parsed.page) as temporary:
            temporary.write_text(page(parsed.out), encoding="utf-8")
    except WorkbenchError as error:
        sys.stderr.write(f"architectures: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("architectures: Interrupted; run it again to go on.\n")
        return 130
    _say(f"The comparison is {parsed.page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
