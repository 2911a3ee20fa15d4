"""circuit-workbench: from one prompt to an explanation of how a small language model computed its next token."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.attribution import Graph, GraphScores
    from workbench.errors import WorkbenchError
    from workbench.session import Session, open

__all__ = ["Graph", "GraphScores", "Session", "WorkbenchError", "open"]

# Looked up on first use, so that `import workbench` costs neither torch nor transformer_lens.
_HOME = {
    "Graph": "workbench.attribution",
    "GraphScores": "workbench.attribution",
    "Session": "workbench.session",
    "WorkbenchError": "workbench.errors",
    "open": "workbench.session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
