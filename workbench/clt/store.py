"""Where transcoders lie: those that come with the workbench, then those in the user's cache."""

from __future__ import annotations

import difflib
from collections import Counter
from pathlib import Path
from typing import Any

from workbench.clt.formats.recognise import layer_folders, recognise
from workbench.errors import CLTError
from workbench.files import DATA, read_json
from workbench.models.cache import cache_folder

RECORD = "training.json"


def clt_folders() -> tuple[Path, Path]:
    """Return the folders that are searched, in this order: the workbench's data, the user's cache."""
    return DATA / "clt", cache_folder() / "clt"


def find_clts(model: str | None = None) -> list[Path]:
    """Return the folders of all transcoders, or of those of one model; its default stands first.

    ``<folder>/<model>`` is a model's default, ``<folder>/<model>/<name>`` or ``<folder>/<model>-<name>`` are others.
    """
    found: list[Path] = []
    for root in clt_folders():
        if not root.is_dir():
            continue
        for candidate in sorted([*root.iterdir(), *root.glob("*/*")], key=lambda path: (len(path.parts), path)):
            name = candidate.relative_to(root).as_posix()
            belongs = model is None or name == model or name.startswith((f"{model}/", f"{model}-"))
            if belongs and is_clt(candidate) and not _is_layer(candidate):
                found.append(candidate)
    return found


def is_clt(folder: Path) -> bool:
    """Return whether a folder looks like one transcoder, in any of the formats that ``load_clt`` reads."""
    if not folder.is_dir() or recognise(folder) is None:
        return False
    # A model's folder may hold several transcoders, each a folder of layers: together they are none.
    of_children = Counter(part.relative_to(folder).parts[0] for part in layer_folders(folder))
    return all(count == 1 for count in of_children.values())


def _is_layer(folder: Path) -> bool:
    """Return whether a folder is but a layer of the transcoder in the folder above."""
    return is_clt(folder.parent) and any(folder in (part, *part.parents) for part in layer_folders(folder.parent))


def clt_name(folder: Path) -> str:
    """Return the name that ``load_clt`` finds a folder by: its path below a searched folder, else the whole path."""
    for root in clt_folders():
        if folder.is_relative_to(root):
            return folder.relative_to(root).as_posix()
    return str(folder)


def default_clt(model: str) -> Path:
    """Return the folder of the transcoder that bears a model's name.

    Raises:
        CLTError: there is none; the message lists what there is.
    """
    for root in clt_folders():
        if is_clt(root / model):
            return root / model
    raise CLTError(f"There is no CLT for the model {model!r}: {_what_there_is()}")


def resolve_clt(name_or_path: Path | str) -> Path:
    """Return the folder of a transcoder from its name or its path.

    Raises:
        CLTError: there is none; the message lists what there is.
    """
    text = str(name_or_path)
    # A name wins over a folder of the same name in the working directory; "./name" gives the folder.
    if isinstance(name_or_path, str) and not text.startswith((".", "/", "~")):
        for root in clt_folders():
            if is_clt(root / text):
                return root / text
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    close = difflib.get_close_matches(text, [clt_name(folder) for folder in find_clts()], n=1)
    hint = f" did you mean {close[0]!r}?" if close else ""
    raise CLTError(f"There is no CLT {text!r}:{hint} {_what_there_is()}")


def _what_there_is() -> str:
    names = [clt_name(folder) for folder in find_clts()]
    if not names:
        return "none is installed; train one with `workbench train` or give a folder."
    return f"there are {', '.join(names)}; or give a folder."


def training_record(name_or_path: Path | str) -> dict[str, Any]:
    """Return how a transcoder was trained, as the trainer wrote it; empty when that is unknown.

    Raises:
        CLTError: there is no such transcoder.
        FormatError: the record is damaged.
    """
    path = resolve_clt(name_or_path) / RECORD
    return dict(read_json(path)) if path.exists() else {}
