"""Attribution: from one prompt to an exact graph of how the next token came about."""

from workbench.attribution.engine import attribute
from workbench.attribution.graph import Graph, GraphScores

__all__ = ["Graph", "GraphScores", "attribute"]
