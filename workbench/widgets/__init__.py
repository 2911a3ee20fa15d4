"""The widgets: one Python class each, its JavaScript bundled under ``static`` from the TypeScript in ``widgets/``."""

from workbench.widgets.graph_explorer import GraphExplorer
from workbench.widgets.html import to_html
from workbench.widgets.intervention_sliders import InterventionSliders

__all__ = ["GraphExplorer", "InterventionSliders", "to_html"]
