"""What commands write to standard output."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def print_json(value: dict[str, Any]) -> None:
    """Write exactly one JSON object to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def console() -> Console:
    """Return the console for tables and text on standard output; text is shown as it is, without markup."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False)
