"""Plotly figures.

Each function returns a plain ``plotly.graph_objects.Figure``: it renders offline in JupyterLab, is small in a saved
notebook, and can be changed with ``figure.update_layout(...)``.
"""

from workbench.plots.features import cluster_map, feature_kinds, operand_heatmaps, smear, token_classes
from workbench.plots.graphs import influence_map, token_probabilities
from workbench.plots.interventions import generation, intervention
from workbench.plots.validation import claim, validation

__all__ = [
    "claim",
    "cluster_map",
    "feature_kinds",
    "generation",
    "influence_map",
    "intervention",
    "operand_heatmaps",
    "smear",
    "token_classes",
    "token_probabilities",
    "validation",
]
