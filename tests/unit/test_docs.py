"""What docs/ says about files of the project is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def named_tests() -> list[tuple[str, str]]:
    """Return (file, test) for every test that these documents name; ``::test`` alone means the file before it."""
    found, file = [], ""
    for document in ("attribution.md", "explorer.md"):
        for path, test in re.findall(r"`([\w/.]*)::(test_\w+)`", (ROOT / "docs" / document).read_text("utf-8")):
            file = path or file
            found.append((file, test))
    return found


def test_the_documents_name_tests() -> None:
    assert len(named_tests()) > 10


@pytest.mark.parametrize(("file", "test"), named_tests())
def test_every_test_that_is_named_exists(file: str, test: str) -> None:
    assert re.search(rf"^def {test}\(", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)


@pytest.mark.parametrize("document", ["attribution.md", "explorer.md", "formats.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / "docs" / document).read_text("utf-8")
    for name in re.findall(r"`((?:unit|golden|integration|browser)/[\w/]+\.py)", text):
        assert (ROOT / "tests" / name).exists(), name
    for name in re.findall(r"\(images/([\w.-]+)\)|`([\w-]+\.png)`", text):
        assert (ROOT / "docs" / "images" / "".join(name)).exists(), name
    for name in re.findall(r"`((?:data|tests|widgets)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
