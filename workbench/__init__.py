"""circuit-workbench: from one prompt to an explanation of how a small language model computed its next token."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench import plots
    from workbench.attribution import (
        DifferenceTarget,
        DirectionTarget,
        FeatureTarget,
        Graph,
        GraphScores,
        LogitTarget,
        TopTokens,
    )
    from workbench.errors import WorkbenchError
    from workbench.evaluation.claims import Claim, LogitDifference, Probability, claims
    from workbench.interventions import Edit, Intervention, Ramp, SupernodeEdit
    from workbench.models import fetch
    from workbench.session import Session, open
    from workbench.widgets import FeatureCard, GenerationView, OperandGrid, TokenStrip, TrainingMonitor, to_html
    from workbench.widgets.live_run import train

__all__ = [
    "Claim",
    "DifferenceTarget",
    "DirectionTarget",
    "Edit",
    "FeatureCard",
    "FeatureTarget",
    "GenerationView",
    "Graph",
    "GraphScores",
    "Intervention",
    "LogitDifference",
    "LogitTarget",
    "OperandGrid",
    "Probability",
    "Ramp",
    "Session",
    "SupernodeEdit",
    "TokenStrip",
    "TopTokens",
    "TrainingMonitor",
    "WorkbenchError",
    "claims",
    "fetch",
    "open",
    "plots",
    "to_html",
    "train",
]

# Looked up on first use, so that `import workbench` costs neither torch nor transformer_lens.
_HOME = {
    "Claim": "workbench.evaluation.claims",
    "DifferenceTarget": "workbench.attribution",
    "DirectionTarget": "workbench.attribution",
    "Edit": "workbench.interventions",
    "FeatureCard": "workbench.widgets",
    "FeatureTarget": "workbench.attribution",
    "GenerationView": "workbench.widgets",
    "Graph": "workbench.attribution",
    "GraphScores": "workbench.attribution",
    "Intervention": "workbench.interventions",
    "LogitDifference": "workbench.evaluation.claims",
    "LogitTarget": "workbench.attribution",
    "OperandGrid": "workbench.widgets",
    "Probability": "workbench.evaluation.claims",
    "Ramp": "workbench.interventions",
    "Session": "workbench.session",
    "SupernodeEdit": "workbench.interventions",
    "TokenStrip": "workbench.widgets",
    "TopTokens": "workbench.attribution",
    "TrainingMonitor": "workbench.widgets",
    "WorkbenchError": "workbench.errors",
    "claims": "workbench.evaluation.claims",
    "fetch": "workbench.models",
    "open": "workbench.session",
    "to_html": "workbench.widgets",
    "train": "workbench.widgets.live_run",
}


def __getattr__(name: str) -> Any:
    if name == "plots":
        return importlib.import_module("workbench.plots")
    if name not in _HOME:
        raise AttributeError(f"module 'workbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
