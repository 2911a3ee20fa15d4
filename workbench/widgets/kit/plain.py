"""Values as JSON and UTF-8 can carry them: what they cannot would stop the whole message."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any


def plain_text(text: str) -> str:
    """Return text that UTF-8 can carry: of half a surrogate pair a question mark is left."""
    return text.encode("utf-8", "replace").decode("utf-8")


def plain_json(value: Any) -> Any:
    """Return mappings as dicts, sequences and arrays as lists, numbers as Python's own; what is not finite as None.

    Raises:
        TypeError: a value is none of these, text or None.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain_text(str(key)): plain_json(part) for key, part in value.items()}
    if hasattr(value, "tolist"):
        return plain_json(value.tolist())
    if isinstance(value, list | tuple):
        return [plain_json(part) for part in value]
    raise TypeError(f"A {type(value).__name__} cannot be sent to a widget.")
