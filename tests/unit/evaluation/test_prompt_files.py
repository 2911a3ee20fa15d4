from __future__ import annotations

from pathlib import Path

import pytest

from workbench.errors import FormatError
from workbench.evaluation import read_prompts


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_bundled_prompts_are_the_default() -> None:
    prompts = read_prompts()

    assert len(prompts) == 50
    assert prompts[1] == "The capital of France is"
    assert read_prompts(limit=2) == prompts[:2]


def test_json_lines_keep_order_spaces_and_ignore_other_keys(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", '{"prompt": "two + two = ", "expected": 4}\n\n{"prompt": "Zwei und zwei ist"}\n')

    assert read_prompts(path) == ["two + two = ", "Zwei und zwei ist"]


def test_a_text_file_holds_one_prompt_a_line(tmp_path: Path) -> None:
    assert read_prompts(write(tmp_path / "p.txt", "6 + 9 = \nThe sky is\n\n")) == ["6 + 9 = ", "The sky is"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: give at least one prompt"),
        ('{"prompt": "a"}\n{"prompt": ', r"Line 2 of the prompts file .* is no JSON"),
        ('{"text": "a"}', 'Line 1 of the prompts file .* has no text under the key "prompt"'),
        ('{"prompt": ""}', "has no text"),
        ('{"prompt": " \\n"}', "has no text"),
        ('{"prompt": "a b"}\n{"prompt": "c d"}\n{"prompt": "a b"}', "Lines 1 and 3 .* hold the same prompt"),
        ('{"prompt": 7}', "has no text"),
        ('["a"]', "has no text"),
    ],
    ids=["empty", "truncated", "no prompt", "empty prompt", "blank prompt", "a prompt twice", "number", "list"],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_prompts(write(tmp_path / "p.jsonl", text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"Cannot read the prompts file .*nowhere\.jsonl"):
        read_prompts(tmp_path / "nowhere.jsonl")


def test_a_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(FormatError, match="give a UTF-8 text or"):
        read_prompts(path)
