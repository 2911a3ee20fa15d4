"""What docs/ says about files of the project is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def named_tests() -> list[tuple[str, str]]:
    """Return (file, test) for every test that docs/attribution.md names; ``::test`` alone means the file before it."""
    found, file = [], ""
    for path, test in re.findall(r"`([\w/.]*)::(test_\w+)`", (ROOT / "docs" / "attribution.md").read_text("utf-8")):
        file = path or file
        found.append((file, test))
    return found


def test_the_documents_name_tests() -> None:
    assert len(named_tests()) > 10


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("document", ["attribution.md", "formats.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8")
    for name in re.findall(r"`((?:unit|golden|integration)/[\w/]+\.py)", text):
        assert (ROOT / "tests" / name).exists(), name
    for name in re.findall(r"`((?:data|tests)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
