"""The bundles that users get, judged without Node."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "workbench" / "widgets" / "static"
MANIFEST = json.loads((STATIC / "manifest.json").read_text(encoding="utf-8"))


def test_every_folder_of_sources_has_its_bundle() -> None:
    sources = {path.parent.name for path in (ROOT / "widgets" / "src").glob("*/index.ts")}
    assert MANIFEST.keys() == sources
    assert {path.stem for path in STATIC.glob("*.js")} == sources


@pytest.mark.parametrize("name", MANIFEST)
def test_no_bundle_is_older_than_its_source(name: str) -> None:
    stale = [
        path
        for path, digest in MANIFEST[name].items()
        if hashlib.sha256((ROOT / "widgets" / path).read_bytes()).hexdigest() != digest
    ]
    assert stale == [], "run make widgets and commit workbench/widgets/static"


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.[jc]s*")), ids=lambda path: path.name)
def test_a_bundle_is_small_and_asks_nothing_of_the_network(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < 100_000
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text
    assert "innerHTML" not in text
