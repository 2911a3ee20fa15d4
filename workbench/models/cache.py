"""Where fetched models live on disk, and whether one is whole."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_cache_dir

from workbench.errors import FormatError
from workbench.files import read_json, write_json

RECORD = "workbench.json"


@dataclass(frozen=True)
class Record:
    """What is known of a folder of weights that was checked once: its identity, so that no load has to recompute it.

    Attributes:
        files: file name → bytes; tells a truncated or exchanged file without reading it.
    """

    name: str
    source: str
    source_sha256: str
    fingerprint: str
    start_token: str
    licence: str
    card: str
    files: dict[str, int]


def cache_folder() -> Path:
    """Return the cache folder: ``$WORKBENCH_CACHE``, or else the user's cache folder of this platform."""
    chosen = os.environ.get("WORKBENCH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("circuit-workbench"))


def model_folder(name: str) -> Path:
    """Return the folder of a named model's dequantised weights, whether it exists or not."""
    return cache_folder() / "models" / name


def wheels_folder() -> Path:
    """Return the folder where finished downloads wait until all parts of a model are there."""
    return cache_folder() / "wheels"


def write_record(folder: Path, record: Record) -> None:
    """Write a folder's record."""
    write_json(folder / RECORD, asdict(record))


def read_record(folder: Path) -> Record:
    """Return the record of a folder after checking that its files have the sizes that they had.

    Raises:
        FormatError: the record is damaged, or a file is missing or of another size.
    """
    values = read_json(folder / RECORD)
    try:
        record = Record(**values)
    except TypeError as error:
        raise FormatError(f"The record {folder / RECORD} is damaged: fetch the model again.") from error
    for name, size in record.files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else 0
        if found != size:
            raise FormatError(
                f"The file {path} has {found:,} bytes instead of {size:,}: fetch the model again, "
                f"`workbench fetch {record.name}`."
            )
    return record


def is_fetched(name: str) -> bool:
    """Return whether a named model's weights are in the cache, whole."""
    folder = model_folder(name)
    if not (folder / RECORD).is_file():
        return False
    try:
        read_record(folder)
    except FormatError:
        return False
    return True
