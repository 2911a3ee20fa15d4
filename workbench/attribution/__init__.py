"""Attribution: from one prompt to an exact graph of how the next token came about."""

from workbench.attribution.engine import attribute
from workbench.attribution.graph import Graph, GraphScores
from workbench.attribution.targets import (
    DifferenceTarget,
    DirectionTarget,
    FeatureTarget,
    LogitTarget,
    Target,
    TopTokens,
)

__all__ = [
    "DifferenceTarget",
    "DirectionTarget",
    "FeatureTarget",
    "Graph",
    "GraphScores",
    "LogitTarget",
    "Target",
    "TopTokens",
    "attribute",
]
