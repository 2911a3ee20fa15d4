"""Prompt files: one JSON object a line with the key ``prompt``, or plain text with one prompt a line."""

from __future__ import annotations

import json
from pathlib import Path

from workbench.errors import FormatError
from workbench.files import DATA

EVALUATION_PROMPTS = DATA / "prompts" / "evaluation.jsonl"


def read_prompts(path: Path | str = EVALUATION_PROMPTS, *, limit: int | None = None) -> list[str]:
    """Return the prompts of a file, in its order; blank lines are skipped.

    Args:
        path: ``.jsonl`` files hold objects with the key ``prompt``, other files plain text.
        limit: take only the first prompts.

    Raises:
        FormatError: the file is missing, no UTF-8, empty, holds a prompt twice, or a line is no object with a prompt.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"Cannot read the prompts file {path}: {error}; give a UTF-8 text or .jsonl file.") from error
    parse = _from_json if path.suffix == ".jsonl" else _from_text
    # A line of text that is blank separates others; a JSON object always claims to hold a prompt.
    numbered = [(number, parse(path, number, line)) for number, line in enumerate(lines, start=1) if line.strip()]
    if not numbered:
        raise FormatError(f"The prompts file {path} is empty: give at least one prompt.")
    first: dict[str, int] = {}
    for number, prompt in numbered:
        if prompt in first:
            raise FormatError(
                f"Lines {first[prompt]} and {number} of the prompts file {path} hold the same prompt, which would "
                "count twice: drop one."
            )
        first[prompt] = number
    return list(first)[:limit]


def _from_json(path: Path, number: int, line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise FormatError(
            f'Line {number} of the prompts file {path} is no JSON ({error}): write {{"prompt": "..."}}.'
        ) from error
    prompt = entry.get("prompt") if isinstance(entry, dict) else None
    if not isinstance(prompt, str) or not prompt.strip():
        raise FormatError(
            f'Line {number} of the prompts file {path} has no text under the key "prompt": write {{"prompt": "..."}}.'
        )
    return prompt


def _from_text(path: Path, number: int, line: str) -> str:
    return line.rstrip("\r\n")
