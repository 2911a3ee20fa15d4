"""What the package says of itself agrees with itself: pyproject, pins, the conda environment, the wheel, the pages."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
EVERYTHING = RUNTIME + [requirement for lines in EXTRAS.values() for requirement in lines]


def _pins() -> dict[str, SpecifierSet]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): pin.specifier for pin in pins}


@pytest.mark.parametrize("requirement", EVERYTHING, ids=str)
def test_every_dependency_has_a_floor_and_an_exact_pin_above_it(requirement: Requirement) -> None:
    assert [spec.operator for spec in requirement.specifier] == [">="]
    (pin,) = _pins()[canonicalize_name(requirement.name)]
    assert pin.operator == "=="
    assert requirement.specifier.contains(pin.version)


def test_pins_fit_every_platform() -> None:
    for name, specifier in _pins().items():
        (pin,) = specifier
        # A local version such as +cpu exists on one index only; CUDA's packages on one platform only.
        assert "+" not in pin.version, name
        assert not name.startswith(("nvidia-", "cuda-")), name


def test_the_pins_are_those_of_the_environment_that_runs_the_tests() -> None:
    installed = {canonicalize_name(d.name): d.version for d in importlib.metadata.distributions()}
    differing = {
        str(requirement.name): installed.get(canonicalize_name(requirement.name))
        for requirement in RUNTIME
        if not _pins()[canonicalize_name(requirement.name)].contains(
            installed[canonicalize_name(requirement.name)], prereleases=True
        )
    }
    assert not differing, "run `make setup` (or `make constraints` when the new versions are wanted)"


def test_the_conda_environment_agrees_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    (by_pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))

    python = next(Requirement(line) for line in conda if line.startswith("python"))
    assert python.specifier == SpecifierSet(PROJECT["requires-python"])
    assert any(line.startswith("nodejs") for line in conda)
    assert "-c constraints.txt" in by_pip
    (project,) = (line for line in by_pip if line.startswith("-e "))
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", project)
    assert extras, project
    assert set(extras[1].split(",")) <= set(EXTRAS)
    # pip alone brings Python packages, so that the pins hold for all of them.
    assert not {canonicalize_name(r.name) for r in EVERYTHING} & {re.split(r"[<>=]", line)[0] for line in conda}


def _imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {"workbench"}


# Run by path with the interpreter of another virtual environment, which holds what they import.
RUN_ELSEWHERE = ("workbench/benchmarks/rivals/runner.py", "workbench/benchmarks/circuit_tracer_runner.py")


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [("workbench", RUNTIME + EXTRAS["browser"] + EXTRAS["cluster"]), ("tests", EVERYTHING)],
    ids=["workbench", "tests"],
)
def test_everything_that_is_imported_is_declared(folder: str, allowed: list[Requirement]) -> None:
    providers = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in allowed}
    own = {path.stem for path in (ROOT / folder).rglob("*.py")}
    paths = set((ROOT / folder).rglob("*.py")) - {ROOT / path for path in RUN_ELSEWHERE}
    undeclared = {
        (str(path.relative_to(ROOT)), name)
        for path in paths
        for name in _imported(path) - own
        if declared.isdisjoint(canonicalize_name(provider) for provider in providers.get(name, []))
    }
    assert not undeclared


@pytest.mark.parametrize("requirement", EVERYTHING, ids=lambda requirement: requirement.name)
def test_contributing_says_why_each_dependency_is_there(requirement: Requirement) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"`{requirement.name}`" in text


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert named <= targets


def test_every_command_of_the_readme_exists_and_every_command_is_in_the_readme() -> None:
    from workbench.cli.app import build_app

    app = build_app()
    commands = {str(command.name) for command in [*app.registered_commands, *app.registered_groups]}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `workbench ([a-z]+)", text, re.MULTILINE)) == commands


def test_the_ci_script_runs_the_test_command_of_the_readme() -> None:
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("\nmake test")
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_console_script_starts() -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="workbench")
    assert script.value == PROJECT["scripts"]["workbench"]
    assert callable(script.load())


def test_the_installed_version_is_the_declared_one_and_has_an_entry_in_the_changelog() -> None:
    assert importlib.metadata.version(PROJECT["name"]) == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(PROJECT['version'])}\]", changelog, re.MULTILINE)


# --- the wheel --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of the working copy, built without reaching for an index."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "-w", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("circuit_workbench-*-py3-none-any.whl")
    return built


def test_the_wheel_holds_the_types_marker_the_licence_and_every_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "workbench/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    tracked = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:
        pytest.skip("this is no git working copy, so nothing says which data files belong to it")
    # The scripts that rebuild the data belong to the repository, not to the package.
    data = [Path(line) for line in tracked.stdout.splitlines()]
    assert {f"workbench/{path}" for path in data if path.suffix != ".py" and path.name != ".gitignore"} <= names


def test_the_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"workbench", f"circuit_workbench-{PROJECT['version']}.dist-info"}


def test_an_installed_package_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = f"""if True:
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from workbench.files import DATA
        assert (DATA / "prompts" / "evaluation.jsonl").is_file()
        print(DATA)
    """
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert Path(found.stdout.strip()) == tmp_path / "workbench" / "data"
