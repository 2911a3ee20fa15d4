"""The widgets: one Python class each, its JavaScript bundled under ``static`` from the TypeScript in ``widgets/``."""

from workbench.widgets.feature_card import FeatureCard
from workbench.widgets.generation_view import GenerationView
from workbench.widgets.graph_explorer import GraphExplorer
from workbench.widgets.html import to_html
from workbench.widgets.intervention_sliders import InterventionSliders
from workbench.widgets.operand_grid import OperandGrid
from workbench.widgets.token_strip import TokenStrip
from workbench.widgets.training_monitor import TrainingMonitor

__all__ = [
    "FeatureCard",
    "GenerationView",
    "GraphExplorer",
    "InterventionSliders",
    "OperandGrid",
    "TokenStrip",
    "TrainingMonitor",
    "to_html",
]
