"""Documents from every source, and what users get wrong about them."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_model

from workbench.corpus import TextCorpus, bundled, bundled_parts, huggingface, resolve_corpus, sampled, text_files
from workbench.corpus import sources as corpus_sources
from workbench.errors import ConfigError, FormatError, ResourceError


def test_documents_come_in_an_order_that_the_seed_alone_decides() -> None:
    corpus = TextCorpus("ten", [str(index) for index in range(10)])
    assert list(corpus.documents(seed=None)) == list(corpus.texts)
    assert list(corpus.documents(seed=1)) == list(corpus.documents(seed=1))
    assert list(corpus.documents(seed=1)) != list(corpus.documents(seed=2))
    assert sorted(corpus.documents(seed=1)) == sorted(corpus.texts)


def test_parts_of_the_bundled_corpus_can_be_chosen() -> None:
    both = bundled(["bible", "templates"])
    assert len(both.texts) == len(bundled(["bible"]).texts) + len(bundled(["templates"]).texts)
    assert resolve_corpus("bundled:bible+templates").name == both.name == "bundled:bible+templates"
    with pytest.raises(ConfigError, match=r"no part 'koran': choose from austen, bible"):
        bundled(["koran"])


def test_a_damaged_bundled_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = (corpus_sources.BUNDLED / "bible.jsonl.gz").read_bytes()
    (tmp_path / "bible.jsonl.gz").write_bytes(whole[:1000])
    (tmp_path / "manifest.json").write_text('{"parts": {"bible": {}}}')
    monkeypatch.setattr(corpus_sources, "BUNDLED", tmp_path)
    with pytest.raises(FormatError, match=r"Cannot read the corpus file .*bible.jsonl.gz"):
        bundled()


def test_text_files_are_read_from_a_file_a_folder_or_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("First paragraph.\n\nSecond paragraph.")
    (tmp_path / "two.md").write_text("Third paragraph.")
    (tmp_path / "three.jsonl").write_text('{"text": "fourth"}\n{"text": "fifth"}\n')
    assert text_files(tmp_path / "one.txt").texts == ["First paragraph.\n\nSecond paragraph."]
    assert resolve_corpus(str(tmp_path)).name == str(tmp_path)
    assert len(list(resolve_corpus(str(tmp_path)).documents())) == 2
    assert list(resolve_corpus(f"{tmp_path}/t*").documents(seed=None)) == ["fourth", "fifth", "Third paragraph."]


def test_a_long_text_becomes_documents_that_end_with_a_paragraph(tmp_path: Path) -> None:
    paragraphs = [f"{index} " * 100 for index in range(50)]
    (tmp_path / "long.txt").write_text("\n\n".join(paragraphs))
    corpus = text_files(tmp_path / "long.txt")
    assert len(corpus.texts) > 3
    assert "\n\n".join(corpus.texts) == "\n\n".join(paragraphs)


def test_unusable_text_files_are_errors_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin1.txt").write_bytes("Füße".encode("latin-1"))
    (tmp_path / "keyless.jsonl").write_text('{"body": "text"}\n')
    (tmp_path / "numbers.jsonl").write_text('{"text": 5}\n')
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b'{"text": "a"}\n' * 1000)[:30])
    for name, message in {
        "empty.txt": "holds no text",
        "latin1.txt": "as UTF-8 text",
        "keyless.jsonl": "JSON lines with a key 'text'",
        "numbers.jsonl": "something else than text",
        "cut.jsonl.gz": "JSON lines",
    }.items():
        with pytest.raises(FormatError, match=message) as caught:
            text_files(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "The corpus is empty"),
        ("wikipedia", "is unknown and no such file exists"),
        ("nowhere/*.txt", "No text file matches"),
        ("hf:", "hf:NAME"),
        ("hf:a:b:c:d", "hf:NAME"),
        ("sampled", "drawn from a model"),
    ],
)
def test_an_unknown_spec_says_what_would_be_one(spec: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve_corpus(spec)


def test_a_hub_dataset_is_streamed_and_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked: dict[str, Any] = {}

    def load_dataset(name: str, *, split: str, streaming: bool) -> Any:
        asked.update(name=name, split=split, streaming=streaming)
        rows = datasets.Dataset.from_dict({"story": [f"story {index}" for index in range(20)]})
        return rows.to_iterable_dataset() if streaming else rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    corpus = resolve_corpus("hf:someone/stories:validation:story")
    assert list(corpus.documents(seed=None)) == [f"story {index}" for index in range(20)]
    assert asked == {"name": "someone/stories", "split": "validation", "streaming": True}
    assert list(corpus.documents(seed=1)) == list(corpus.documents(seed=1)) != list(corpus.documents(seed=2))
    with pytest.raises(ConfigError, match="no field 'text': choose from story"):
        list(huggingface("someone/stories").documents())


def test_an_unreachable_hub_and_a_missing_library_are_errors_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def load_dataset(*_: object, **__: object) -> Any:
        raise ConnectionError("Couldn't reach the hub.\nMany more lines.")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ResourceError, match="Couldn't reach the hub; check its name") as caught:
        list(huggingface("a/b").documents())
    assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match="needs the package 'datasets'"):
        list(huggingface("a/b").documents())


def test_a_model_samples_its_own_corpus() -> None:
    model = tiny_model("llama")
    corpus = sampled(model, n_rows=5, n_tokens=12, batch_size=2)
    texts = list(corpus.documents(seed=3))
    assert len(texts) >= 3
    assert texts == list(corpus.documents(seed=3))
    assert texts != list(corpus.documents(seed=4))
    longer = list(sampled(model, n_rows=9, n_tokens=12, batch_size=2).documents(seed=3))
    assert longer[:3] == texts[:3]
    assert all("<s>" not in text for text in texts)
    assert resolve_corpus("sampled:7", model=model) == sampled(model, n_rows=7)


def test_a_sampled_corpus_that_cannot_be_is_refused() -> None:
    model = tiny_model("llama")
    with pytest.raises(ConfigError, match="too long"):
        sampled(model, n_tokens=model.max_tokens)
    with pytest.raises(ConfigError, match="at least 1"):
        sampled(model, n_rows=0)
    with pytest.raises(ConfigError, match=r"sampled\[:ROWS\]"):
        resolve_corpus("sampled:many", model=model)


def test_the_cache_does_not_change_what_is_sampled() -> None:
    """Sampling one token at a time with the cache follows the distribution of the whole row without it."""
    import torch

    from workbench.corpus.sampling import sample_rows

    model = tiny_model("llama")
    rows = sample_rows(model, torch.zeros(3, 1, dtype=torch.long), n_tokens=6, seed=0)
    generator = torch.Generator().manual_seed(0)
    expected = torch.zeros(3, 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(6):
            logits = model.bridge.original_model(input_ids=expected, use_cache=False).logits[:, -1]
            drawn = torch.multinomial(logits.float().softmax(-1), 1, generator=generator)
            expected = torch.cat([expected, drawn], dim=1)
    assert rows.tolist() == expected.tolist()


def test_the_stored_manifest_describes_the_stored_files() -> None:
    manifest = json.loads((corpus_sources.BUNDLED / "manifest.json").read_text())["parts"]
    files = {path.name.removesuffix(".jsonl.gz"): path for path in corpus_sources.BUNDLED.glob("*.jsonl.gz")}
    assert set(files) == set(manifest) == set(bundled_parts())
    for name, path in files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == manifest[name]["sha256"], name
        lines = gzip.decompress(path.read_bytes())
        assert hashlib.sha256(lines).hexdigest() == manifest[name]["sha256_lines"], name
        assert lines.count(b"\n") == manifest[name]["documents"], name
    assert sum(path.stat().st_size for path in files.values()) <= 6_000_000
    for model in ("smollm2-135m-instruct", "gemma-3-270m"):
        total = sum(part["tokens"][model] for part in manifest.values())
        assert 1_900_000 <= total <= 2_800_000
    assert len(list(islice(bundled().documents(), 100_000))) == sum(part["documents"] for part in manifest.values())
