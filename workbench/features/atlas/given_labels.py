"""Labels that people, or a callable of theirs, give to features: a small JSON file that every graph and card reads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias
from weakref import WeakMethod, WeakValueDictionary

from workbench.errors import AtlasError, FormatError
from workbench.files import read_json, write_json

FILE = "labels.json"
Source = Literal["human", "callable"]
Key: TypeAlias = tuple[int, int]
"""Layer and feature."""
Listener: TypeAlias = Callable[[frozenset[Key]], None]


@dataclass(frozen=True)
class GivenLabel:
    """A label and where it is from.

    Attributes:
        score: how well it predicts activation, as its giver measured; None if unknown.
    """

    text: str
    source: Source
    score: float | None = None


class GivenLabels:
    """The labels of one CLT, in a file of their own: a new build leaves them alone.

    Args:
        path: the file, which need not exist.
        clt_hash: of the CLT; a file of another one is refused.
    """

    _open: ClassVar[WeakValueDictionary[tuple[Path, str], GivenLabels]] = WeakValueDictionary()
    _opening: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, clt_hash: str) -> None:
        self.path, self.clt_hash = path, clt_hash
        self._lock = threading.Lock()
        self._stamp: tuple[int, int] | None = None
        self._labels: dict[Key, GivenLabel] = {}
        self._listeners: list[WeakMethod[Listener]] = []

    @classmethod
    def of(cls, path: Path, clt_hash: str) -> GivenLabels:
        """Return the one object of this process for a file, so that whoever shows labels hears of new ones."""
        key = path.resolve(), clt_hash
        with cls._opening:
            found = cls._open.get(key)
            if found is None:
                found = cls._open[key] = cls(path, clt_hash)
        return found

    def listen(self, listener: Listener) -> None:
        """Call a method with the features whose labels were set or taken away, for as long as its object lives."""
        with self._lock:
            self._listeners.append(WeakMethod(listener))

    def human(self) -> dict[Key, str]:
        """Return the labels that people gave: (layer, feature) → text; raises what :meth:`all` does."""
        return {key: label.text for key, label in self.all().items() if label.source == "human"}

    def all(self) -> dict[Key, GivenLabel]:
        """Return all labels: (layer, feature) → label. The file is read again when another process changed it.

        Raises:
            AtlasError: the file is damaged or of another CLT.
        """
        with self._lock:
            self._refresh()
            return dict(self._labels)

    def set(self, labels: dict[Key, GivenLabel | None]) -> None:
        """Set labels, or take those away whose value is None.

        Raises:
            AtlasError: the file is damaged or of another CLT.
            ResourceError: it cannot be written.
        """
        with self._lock:
            self._refresh()
            changed = frozenset(key for key, label in labels.items() if self._labels.get(key) != label)
            if not changed:
                return
            merged = {**self._labels, **labels}
            self._labels = {key: label for key, label in sorted(merged.items()) if label is not None}
            content = {f"{layer}/{feature}": asdict(label) for (layer, feature), label in self._labels.items()}
            write_json(self.path, {"clt_hash": self.clt_hash, "labels": content})
            self._stamp = self._stamp_of_file()
            heard = [listener() for listener in self._listeners]
            self._listeners = [listener for listener in self._listeners if listener() is not None]
        # Whoever hears of it may ask for all labels.
        for listener in heard:
            if listener is not None:
                listener(changed)

    def _refresh(self) -> None:
        stamp = self._stamp_of_file()
        if stamp == self._stamp:
            return
        self._labels = {} if stamp is None else _parsed(self.path, self.clt_hash)
        self._stamp = stamp

    def _stamp_of_file(self) -> tuple[int, int] | None:
        if not self.path.is_file():
            return None
        about = self.path.stat()
        return about.st_mtime_ns, about.st_size


def _parsed(path: Path, clt_hash: str) -> dict[Key, GivenLabel]:
    try:
        content: Any = read_json(path)
        if content["clt_hash"] != clt_hash:
            raise AtlasError(f"The labels in {path} are of another CLT: move the file away.")
        labels = {}
        for key, value in content["labels"].items():
            layer, feature = map(int, key.split("/"))
            labels[layer, feature] = GivenLabel(**value)
    except (FormatError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AtlasError(f"The labels in {path} are damaged ({error!r}): correct or delete the file.") from error
    return labels
