"""Interventions: change feature activations in the real model and see what follows."""

from workbench.interventions.clean import CleanRun
from workbench.interventions.edits import AnyEdit, Edit, Ramp, Span, SupernodeEdit
from workbench.interventions.result import Intervention, Logits
from workbench.interventions.run import MODES, Mode, intervene

__all__ = [
    "MODES",
    "AnyEdit",
    "CleanRun",
    "Edit",
    "Intervention",
    "Logits",
    "Mode",
    "Ramp",
    "Span",
    "SupernodeEdit",
    "intervene",
]
