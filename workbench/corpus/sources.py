"""Where documents come from: the bundled corpus, text files, Hugging Face datasets, the model itself."""

from __future__ import annotations

import glob
import gzip
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from workbench.errors import ConfigError, FormatError, ResourceError, WorkbenchError
from workbench.files import DATA, read_json

if TYPE_CHECKING:
    from workbench.models import LoadedModel

BUNDLED = DATA / "corpus"
# Shuffling a stream needs a buffer; of a list the whole order is drawn.
_SHUFFLE_BUFFER = 10_000


class Corpus(Protocol):
    """A source of documents."""

    @property
    def name(self) -> str:
        """What reports and error messages call this corpus."""
        ...

    def documents(self, *, seed: int | None = 0) -> Iterator[str]:
        """Yield every document once; the order depends on ``seed`` alone (``None``: the order of the source)."""
        ...


@dataclass(frozen=True)
class TextCorpus:
    """Documents that are held in memory."""

    name: str
    texts: Sequence[str] = field(repr=False)

    def documents(self, *, seed: int | None = 0) -> Iterator[str]:
        order = list(range(len(self.texts)))
        if seed is not None:
            random.Random(seed).shuffle(order)
        return (self.texts[index] for index in order)


def bundled_parts() -> tuple[str, ...]:
    """Return the names of the parts of the bundled corpus.

    Raises:
        FormatError: the corpus or its manifest is missing.
    """
    return tuple(read_json(BUNDLED / "manifest.json")["parts"])


def bundled(parts: Sequence[str] | None = None) -> TextCorpus:
    """Return the corpus that comes with the workbench, or the named parts of it, mixed document by document.

    Raises:
        ConfigError: a part is unknown.
        FormatError: a file is missing or damaged.
    """
    known = bundled_parts()
    chosen = known if parts is None else tuple(parts)
    for part in chosen:
        if part not in known:
            raise ConfigError(f"The bundled corpus has no part {part!r}: choose from {', '.join(known)}.")
    texts = [text for part in chosen for text in _read_part(BUNDLED / f"{part}.jsonl.gz")]
    name = "bundled" if parts is None else f"bundled:{'+'.join(chosen)}"
    return _not_empty(TextCorpus(name, texts))


def _read_part(path: Path) -> list[str]:
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return [json.loads(line)["text"] for line in file]
    # A damaged gzip stream raises zlib.error or EOFError, beside what a missing file or no JSON raises.
    except (OSError, ValueError, KeyError, EOFError, zlib.error) as error:
        raise FormatError(f"Cannot read the corpus file {path}: {error}; restore it from the distribution.") from error


def text_files(paths: Sequence[Path | str] | Path | str) -> TextCorpus:
    """Return text files as a corpus.

    Paragraphs (split at blank lines) are gathered to documents of about 2,000 characters.

    Args:
        paths: files, folders (their ``*.txt`` and ``*.md``) or glob patterns. A ``.jsonl`` or ``.jsonl.gz``
            file holds one document a line under the key ``text``.

    Raises:
        ConfigError: nothing matches a path.
        FormatError: a file cannot be read as UTF-8 text, or no file holds any text.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    texts: list[str] = []
    for path in (file for item in given for file in _expand(item)):
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            texts.extend(_read_json_lines(path))
        else:
            texts.extend(_paragraph_groups(_read_text(path), size=2000))
    return _not_empty(TextCorpus(",".join(map(str, given)), [text for text in texts if text.strip()]))


def _expand(item: Path | str) -> list[Path]:
    path = Path(item)
    if path.is_dir():
        found = sorted(child for child in path.rglob("*") if child.suffix in {".txt", ".md"})
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(match) for match in glob.glob(str(item), recursive=True) if Path(match).is_file())
    if not found:
        raise ConfigError(f"No text file matches {str(item)!r}: give a file, a folder of .txt files or a glob pattern.")
    return found


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"Cannot read {path} as UTF-8 text: {error}; convert it or leave it out.") from error


def _read_json_lines(path: Path) -> list[str]:
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as file:
            texts = [json.loads(line)["text"] for line in file if line.strip()]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zlib.error) as error:
        raise FormatError(
            f"Cannot read {path} as JSON lines with a key 'text': {error!r}; correct the file or give plain text."
        ) from error
    if not all(isinstance(text, str) for text in texts):
        raise FormatError(f"The key 'text' in {path} holds something else than text: correct the file.")
    return texts


def _paragraph_groups(text: str, *, size: int) -> Iterator[str]:
    group: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.strip():
            group.append(paragraph.strip("\n"))
        if sum(map(len, group)) >= size:
            yield "\n\n".join(group)
            group = []
    if group:
        yield "\n\n".join(group)


@dataclass(frozen=True)
class HuggingFaceCorpus:
    """A dataset of the Hugging Face hub, streamed by default: only what is read is downloaded."""

    dataset: str
    split: str = "train"
    text_field: str = "text"
    streaming: bool = True

    @property
    def name(self) -> str:
        return f"hf:{self.dataset}:{self.split}:{self.text_field}"

    def documents(self, *, seed: int | None = 0) -> Iterator[str]:
        try:
            import datasets
        except ImportError as error:
            raise ConfigError(f"Reading {self.name!r} needs the package 'datasets': pip install datasets.") from error
        try:
            rows: Any = datasets.load_dataset(self.dataset, split=self.split, streaming=self.streaming)
            if seed is not None:
                rows = rows.shuffle(seed=seed, **({"buffer_size": _SHUFFLE_BUFFER} if self.streaming else {}))
            for row in rows:
                if self.text_field not in row:
                    raise ConfigError(
                        f"The dataset {self.dataset!r} has no field {self.text_field!r}: choose from {', '.join(row)}."
                    )
                yield str(row[self.text_field])
        except WorkbenchError:
            raise
        except ValueError as error:
            raise ConfigError(f"Cannot read {self.name!r}: {_first_line(error)}; check its name and split.") from error
        except Exception as error:
            # The library raises its own, requests', httpx' and the hub's errors for one cause: it was not reached.
            raise ResourceError(
                f"Cannot fetch {self.name!r}: {_first_line(error)}; check its name and the network, "
                "or use the bundled corpus."
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def huggingface(
    name: str, split: str = "train", text_field: str = "text", *, streaming: bool = True
) -> HuggingFaceCorpus:
    """Return a dataset of the Hugging Face hub; the network is used when its documents are read."""
    return HuggingFaceCorpus(name, split, text_field, streaming)


def resolve_corpus(spec: str, *, model: LoadedModel | None = None) -> Corpus:
    """Return the corpus that a command line or a config names.

    Args:
        spec: ``bundled``, ``bundled:PART+PART``, ``hf:NAME[:SPLIT[:FIELD]]``, ``sampled`` or
            ``sampled:ROWS`` (text sampled from ``model``), or a file, folder or glob pattern.

    Raises:
        ConfigError: the spec is empty or unknown, or ``sampled`` came without a model.
        FormatError: a file is damaged or holds no text.
    """
    kind, _, rest = spec.strip().partition(":")
    if not kind:
        raise ConfigError("The corpus is empty: give 'bundled', 'sampled', 'hf:NAME' or a path to text files.")
    if kind == "bundled":
        return bundled(rest.split("+") if rest else None)
    if kind == "hf":
        fields = rest.split(":")
        if not all(fields) or len(fields) > 3:
            raise ConfigError(f"The corpus {spec!r} is not of the form hf:NAME[:SPLIT[:FIELD]]: correct it.")
        dataset, split, text_field = (*fields, *("train", "text")[len(fields) - 1 :])
        return HuggingFaceCorpus(dataset, split, text_field)
    if kind == "sampled":
        from workbench.corpus.sampling import sampled

        if model is None:
            raise ConfigError("The corpus 'sampled' is drawn from a model: name the model too.")
        if rest and not (rest.isdecimal() and int(rest)):
            raise ConfigError(f"The corpus {spec!r} is not of the form sampled[:ROWS]: give a positive number.")
        return sampled(model, **({"n_rows": int(rest)} if rest else {}))
    if not (any(mark in spec for mark in "*?[") or Path(spec).exists()):
        raise ConfigError(
            f"The corpus {spec!r} is unknown and no such file exists: "
            "give 'bundled', 'sampled', 'hf:NAME' or a path to text files."
        )
    return text_files(spec)


def _not_empty(corpus: TextCorpus) -> TextCorpus:
    if not corpus.texts:
        raise FormatError(f"The corpus {corpus.name!r} holds no text: give at least one document.")
    return corpus
