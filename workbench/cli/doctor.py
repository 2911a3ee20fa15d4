"""`workbench doctor`: is everything in place, and what to do where not."""

from __future__ import annotations

import importlib.util
import platform
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Literal

import typer

from workbench.cli.output import console, print_json

# What opening the larger named model and tracing with it needs, with room for a browser beside it.
NEEDED_MEMORY = 4_000_000_000
NEEDED_DISK = 2_000_000_000
PACKAGES = ("torch", "transformers", "transformer-lens", "jupyterlab", "anywidget")
STATIC = Path(__file__).resolve().parent.parent / "widgets" / "static"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        status: "ok"; "missing" for what only some work needs; "problem" for what everything needs.
        remedy: what to do where the status is not "ok".
    """

    name: str
    status: Literal["ok", "missing", "problem"]
    detail: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check that everything is in place. The exit status is 1 if something is not that all work needs."""
    checks = list(run_checks())
    healthy = all(check.status != "problem" for check in checks)
    if json:
        print_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        out = console()
        for check in checks:
            out.print(f"{check.status:8} {check.name}: {check.detail}", soft_wrap=True)
            if check.remedy:
                out.print(f"{'':8} → {check.remedy}", soft_wrap=True)
    if not healthy:
        raise typer.Exit(1)


def run_checks() -> Iterator[Check]:
    """Yield the checks in the order in which a newcomer would put things right."""
    yield Check("python", "ok", platform.python_version())
    yield from _packages()
    yield _memory()
    yield _disk()
    yield from _models()
    yield from _clts()
    yield _widgets()
    yield _kernel()


def _packages() -> Iterator[Check]:
    for package in PACKAGES:
        try:
            yield Check(package, "ok", version(package))
        except PackageNotFoundError:
            yield Check(package, "problem", "not installed", f"run `python -m pip install {package}`")


def _memory() -> Check:
    from workbench.memory import available_memory

    available = available_memory()
    detail = f"{available / 1e9:.1f} GB available"
    if available >= NEEDED_MEMORY:
        return Check("memory", "ok", detail)
    return Check("memory", "problem", detail, f"close programs until {NEEDED_MEMORY / 1e9:.0f} GB are available")


def _disk() -> Check:
    from workbench.models import cache_folder

    folder = cache_folder()
    existing = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    detail = f"{free / 1e9:.1f} GB free for the cache {folder}"
    if free >= NEEDED_DISK:
        return Check("disk", "ok", detail)
    return Check("disk", "problem", detail, "free some space or set WORKBENCH_CACHE to another folder")


def _models() -> Iterator[Check]:
    from workbench.models import DEFAULT_MODEL, is_fetched, model_folder, named_models

    for model in named_models():
        name = f"weights of {model.name}"
        if is_fetched(model.name):
            yield Check(name, "ok", str(model_folder(model.name)))
        else:
            status: Literal["missing", "problem"] = "problem" if model.name == DEFAULT_MODEL else "missing"
            yield Check(name, status, "not fetched, or damaged", f"run `workbench fetch {model.name}`")


def _clts() -> Iterator[Check]:
    from workbench.clt.store import find_clts
    from workbench.models import named_models

    for model in named_models():
        clts = [str(clt) for clt in find_clts(model.name)]
        name = f"CLTs of {model.name}"
        if clts:
            yield Check(name, "ok", ", ".join(clts))
        else:
            yield Check(
                name, "missing", "none", "train one with `workbench train`, or reinstall to get the shipped one"
            )


def _widgets() -> Check:
    bundles = sorted(path.name for path in STATIC.glob("*.js")) if STATIC.is_dir() else []
    if bundles:
        return Check("widgets", "ok", ", ".join(bundles))
    return Check("widgets", "missing", f"no bundles in {STATIC}", "run `make widgets`, or reinstall the package")


def _kernel() -> Check:
    remedy = "run `python -m pip install ipykernel`, then `python -m ipykernel install --user`"
    if importlib.util.find_spec("ipykernel") is None or importlib.util.find_spec("jupyter_client") is None:
        return Check("kernel", "problem", "ipykernel is not installed", remedy)
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Check("kernel", "problem", "Jupyter finds no python3 kernel", remedy)
    return Check("kernel", "ok", f"ipykernel {version('ipykernel')}, {spec.resource_dir}")
