"""Running the script behind `make notebooks`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .checks import ROOT


def build(*sources: Path) -> subprocess.CompletedProcess[str]:
    """Build notebooks as `make notebooks` does."""
    command = [sys.executable, str(ROOT / "scripts" / "build_notebooks.py"), *map(str, sources)]
    return subprocess.run(command, capture_output=True, text=True, check=False)
