"""Rebuild the bundled corpus from Debian packages, templates and (with sample.py) the models' own text.

    python data/corpus/build.py fetch WORK          # apt-get download + dpkg -x, nothing is installed
    python data/corpus/build.py text WORK           # every part but the sampled ones
    python data/corpus/sample.py MODEL_FOLDER ...   # one sampled part (see its docstring)
    python data/corpus/build.py count NAME=TOKENIZER_FOLDER ...   # token counts and hashes into manifest.json

Each part is ``<part>.jsonl.gz``: one JSON object ``{"text": ...}`` a line, one line a document, gzip
without a time stamp. The same packages give the same lines, so ``manifest.json`` records a hash of
the uncompressed lines beside that of the file (a zlib of another version may compress otherwise).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import html.parser
import json
import logging
import re
import struct
import subprocess
import textwrap
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from templates import templated_documents

HERE = Path(__file__).resolve().parent
EVALUATION = HERE.parent / "prompts" / "evaluation.jsonl"
PACKAGES = (
    "r-cran-janeaustenr",
    "wordnet-base",
    "bible-kjv-text",
    "bible-kjv",
    "dict-jargon",
    "dict-elements",
    "dict-devil",
    "sqlite3-doc",
    "rust-doc",
)
# Characters a part may have; about four of them are one token. Modern prose gets more than old prose.
BUDGETS = {
    "wordnet": 2_900_000,
    "austen": 1_300_000,
    "bible": 330_000,
    "jargon": 900_000,
    "sqlite": 1_200_000,
    "rust": 1_200_000,
}
# A document that holds one of these gives an evaluation prompt away in other words.
GIVEAWAYS = (
    r"\b3 \+ 4 = ",
    r"\bopposite of \W?(up|early)\W",
    r"\bcontraire de \W?(chaud|petit)\W",
    r"\bopuesto de \W?(pequeño|caliente)\W",
    r"\bcapital of (japan|france) is\b",
    r"\bcurrency of (japan|the united kingdom) is\b",
    r"\bsymbol for gold is\b",
    r"\b(michael jordan|tiger woods) plays\b",
    r"\bdallas is a city\b",
)


def normalise(text: str) -> str:
    """Lower-case words separated by single spaces, with one at either end, so that a substring is whole words."""
    return " " + " ".join(re.findall(r"\w+", text.lower())) + " "


class Filter:
    """Refuses documents that hold an evaluation prompt, or its template with the same entity."""

    def __init__(self) -> None:
        lines = EVALUATION.read_text(encoding="utf-8").splitlines()
        self.prompts = [normalise(json.loads(line)["prompt"]) for line in lines]
        self.giveaways = re.compile("|".join(GIVEAWAYS), re.IGNORECASE)

    def __call__(self, text: str) -> bool:
        words = normalise(text)
        return not any(prompt in words for prompt in self.prompts) and not self.giveaways.search(text)


def write_part(name: str, documents: Iterable[str], *, budget: int | None = None) -> None:
    """Write the documents that pass the filter; of more than the budget, those with the smallest hashes."""
    allowed = Filter()
    kept = list(dict.fromkeys(document for document in documents if document and allowed(document)))
    if budget is not None:
        size, chosen = 0, set[str]()
        for document in sorted(kept, key=lambda text: hashlib.sha256(text.encode()).digest()):
            size += len(document)
            if size > budget:
                break
            chosen.add(document)
        kept = [document for document in kept if document in chosen]
    lines = "".join(json.dumps({"text": document}, ensure_ascii=False) + "\n" for document in kept)
    with open(HERE / f"{name}.jsonl.gz", "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(lines.encode())
    logging.info("%s: %d documents, %d characters", name, len(kept), sum(map(len, kept)))


def fetch(work: Path) -> None:
    """Download the packages and unpack them under ``work/<package>``."""
    work.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        subprocess.run(["apt-get", "download", package], cwd=work, check=True)
        archive = max(work.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", archive, work / package], check=True)


def paragraphs(text: str) -> list[str]:
    """Unwrap hard-wrapped paragraphs."""
    return [" ".join(block.split()) for block in re.split(r"\n\s*\n", text) if block.strip()]


def grouped(blocks: Iterable[str], *, size: int) -> Iterator[str]:
    """Join paragraphs to documents of about ``size`` characters."""
    group: list[str] = []
    for block in blocks:
        group.append(block)
        if sum(map(len, group)) >= size:
            yield "\n\n".join(group)
            group = []
    if group:
        yield "\n\n".join(group)


def austen(work: Path) -> Iterator[str]:
    """The six novels: each an R character vector, serialised big-endian, in one zlib chunk of the lazy-load file."""
    data = next(work.glob("r-cran-janeaustenr/**/data/Rdata.rdb")).read_bytes()
    while data:
        chunk = zlib.decompressobj()
        novel = chunk.decompress(data[4:])
        data = chunk.unused_data
        encoding_length = struct.unpack(">I", novel[14:18])[0]
        at = 18 + encoding_length
        _, n_lines = struct.unpack(">II", novel[at : at + 8])
        at += 8
        lines = []
        for _ in range(n_lines):
            _, length = struct.unpack(">Ii", novel[at : at + 8])
            lines.append(novel[at + 8 : at + 8 + max(length, 0)].decode("utf-8"))
            at += 8 + max(length, 0)
        prose = [
            block for block in paragraphs("\n".join(lines)) if not re.match(r"(?i)(chapter|volume|by jane)", block)
        ]
        yield from grouped(prose[2:], size=1500)


def bible(work: Path) -> Iterator[str]:
    """Chapters of the King James Version, verse numbers taken out."""
    program = work / "bible-kjv/usr/bin/bible"
    folder = work / "bible-kjv-text/usr/lib"
    verses = subprocess.run(
        [program, "-f", "-p", folder, "gen1:1-rev22:21"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    chapters: dict[str, list[str]] = {}
    for verse in verses:
        if match := re.match(r"(\w+?\d+):\d+ (.+)", verse):
            chapters.setdefault(match[1], []).append(match[2].strip())
    for chapter in chapters.values():
        yield from (" ".join(chapter[start : start + 12]) for start in range(0, len(chapter), 12))


def wordnet(work: Path) -> Iterator[str]:
    """Glosses as entries, definitions in a sentence, and their example sentences."""
    folder = work / "wordnet-base/usr/share/wordnet"
    used = {line.split("%")[0] for line in (folder / "cntlist.rev").read_text("ascii").splitlines()}
    forms = {
        "noun": ("{word}: {gloss}.", 'The word "{word}" means {gloss}.', "{Word} is {gloss}."),
        "verb": ("{word}: {gloss}.", "To {word} is to {gloss}.", 'The verb "{word}" means to {gloss}.'),
        "adj": ("{word}: {gloss}.", 'The word "{word}" means {gloss}.', "{Word}, that is, {gloss}."),
        "adv": ("{word}: {gloss}.", 'The adverb "{word}" means {gloss}.', "{word}: {gloss}."),
    }
    for part_of_speech, shapes in forms.items():
        for line in (folder / f"data.{part_of_speech}").read_text("utf-8").splitlines():
            if line.startswith(" "):
                continue
            fields, _, gloss = line.partition(" | ")
            columns = fields.split()
            lemma = re.sub(r"\(\w+\)$", "", columns[4])
            instance = " @i " in fields
            # Half of the synsets are Latin names of species and the like: keep what people talk about.
            if not instance and lemma.lower() not in used:
                continue
            examples = re.findall(r'"([^"]+)"', gloss)
            meaning = re.split(r'; ?"', gloss)[0].strip().rstrip(";:")
            word = lemma.replace("_", " ")
            shape = shapes[0] if instance else shapes[int(columns[0]) % len(shapes)]
            text = shape.format(word=word, Word=word[0].upper() + word[1:], gloss=meaning)
            sentences = [example[0].upper() + example[1:].rstrip(".") + "." for example in examples]
            yield " ".join([text, *sentences])


def readable(block: str) -> bool:
    """Whether a paragraph is prose: drawings and tables have few letters."""
    letters = sum(character.isalpha() or character == " " for character in block)
    return letters >= 0.85 * len(block)


def jargon(work: Path) -> Iterator[str]:
    """Entries of the Jargon File: a headword, a line with its pronunciation, paragraphs."""
    text = gzip.open(work / "dict-jargon/usr/share/dictd/jargon.dict.dz", "rt", encoding="utf-8").read()
    for entry in re.split(r"\n\n(?=\S[^\n]*\n /)", text)[1:]:
        head, _, rest = entry.partition("\n")
        prose = [re.sub(r"[{}]", "", block) for block in paragraphs(rest.partition("\n")[2])]
        prose = [block for block in prose if readable(block)]
        if prose:
            yield from grouped([f"{head.strip()}: {prose[0]}", *prose[1:]], size=1500)


def elements_and_devil(work: Path) -> Iterator[str]:
    text = gzip.open(work / "dict-elements/usr/share/dictd/elements.dict.dz", "rt", encoding="latin-1").read()
    pattern = r"\n(\w+)\nSymbol: (\w+)\nAtomic number: (\d+)\nAtomic weight: ([^\n]+)\n(.*?)(?=\n\n|\Z)"
    for name, symbol, number, weight, about in re.findall(pattern, text, re.DOTALL):
        # The notes on the superheavy elements are Wikipedia's, whose licence is not permissive.
        if int(number) > 103:
            continue
        yield f"{name.capitalize()} ({symbol}) is element number {number}; its atomic weight is {weight}. " + " ".join(
            about.split()
        )
    text = gzip.open(work / "dict-devil/usr/share/dictd/devil.dict.dz", "rt", encoding="utf-8").read()
    for block in re.split(r"\n\n(?=[A-Z][A-Z-]+, \S+\.)", text)[1:]:
        prose = paragraphs(textwrap.dedent(block))
        yield from grouped((part for part in prose if readable(part)), size=1500)


class Prose(html.parser.HTMLParser):
    """Collects the text of paragraphs, list items and headings."""

    KEEP = frozenset({"p", "li", "h1", "h2", "h3", "dd"})
    DROP = frozenset({"pre", "script", "style", "nav", "table", "button", "noscript"})

    def __init__(self) -> None:
        super().__init__()
        self.blocks: list[str] = []
        self.open: list[str] = []
        self.dropped = 0
        self.keeping = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.DROP:
            self.dropped += 1
        if tag in self.KEEP:
            self.flush()
            self.keeping = True

    def handle_endtag(self, tag: str) -> None:
        if tag in self.DROP:
            self.dropped = max(0, self.dropped - 1)
        if tag in self.KEEP:
            self.flush()

    def handle_data(self, data: str) -> None:
        if self.keeping and not self.dropped:
            self.open.append(data)

    def flush(self) -> None:
        block = " ".join("".join(self.open).split())
        if len(block) > 40 and readable(block):
            self.blocks.append(block)
        self.open, self.keeping = [], False


def html_pages(pages: Iterable[Path]) -> Iterator[str]:
    seen: set[str] = set()
    for page in pages:
        parser = Prose()
        parser.feed(page.read_text(encoding="utf-8", errors="replace"))
        parser.flush()
        fresh = [block for block in parser.blocks if block not in seen]
        seen.update(fresh)
        yield from grouped(fresh, size=1500)


def sqlite(work: Path) -> Iterator[str]:
    pages = sorted((work / "sqlite3-doc/usr/share/doc/sqlite3").rglob("*.html"))
    yield from html_pages(
        page for page in pages if not re.search(r"releaselog|c3ref|changes|backlink|matrix|requirements", str(page))
    )


def rust(work: Path) -> Iterator[str]:
    root = work / "rust-doc/usr/share/doc/rust-doc/html"
    books = ("book", "edition-guide", "embedded-book", "nomicon", "rust-by-example", "rustc", "rustdoc")
    pages = (page for book in books for page in sorted((root / book).rglob("*.html")))
    yield from html_pages(page for page in pages if page.name not in {"print.html", "SUMMARY.html", "404.html"})


def build_text(work: Path) -> None:
    """Write every part that needs no model."""
    for make in (wordnet, austen, bible, jargon, sqlite, rust):
        write_part(make.__name__, make(work), budget=BUDGETS[make.__name__])
    write_part("elements_and_devil", elements_and_devil(work))
    write_part("templates", templated_documents(seed=0))


def count(tokenizers: list[str]) -> None:
    """Record documents, characters, tokens and hashes of every part in manifest.json."""
    from transformers import AutoTokenizer

    loaded = {}
    for item in tokenizers:
        name, _, folder = item.partition("=")
        loaded[name] = AutoTokenizer.from_pretrained(folder)
    parts = {}
    for path in sorted(HERE.glob("*.jsonl.gz")):
        lines = gzip.decompress(path.read_bytes())
        documents = [json.loads(line)["text"] for line in lines.decode().splitlines()]
        tokens = {
            name: sum(map(len, tokenizer(documents, add_special_tokens=False)["input_ids"]))
            for name, tokenizer in loaded.items()
        }
        parts[path.name.removesuffix(".jsonl.gz")] = {
            "documents": len(documents),
            "characters": sum(map(len, documents)),
            "bytes": path.stat().st_size,
            "tokens": tokens,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "sha256_lines": hashlib.sha256(lines).hexdigest(),
        }
        logging.info("%s: %d documents, tokens %s", path.name, len(documents), tokens)
    (HERE / "manifest.json").write_text(json.dumps({"parts": parts}, indent=1) + "\n", encoding="utf-8")
    for name in loaded:
        logging.info("%s: %d tokens", name, sum(part["tokens"][name] for part in parts.values()))


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fetch", "text"):
        commands.add_parser(name).add_argument("work", type=Path, help="folder for the packages")
    commands.add_parser("count").add_argument("tokenizers", nargs="+", metavar="NAME=FOLDER")
    arguments = parser.parse_args()
    if arguments.command == "fetch":
        fetch(arguments.work)
    elif arguments.command == "text":
        build_text(arguments.work)
    else:
        count(arguments.tokenizers)


if __name__ == "__main__":
    main()
