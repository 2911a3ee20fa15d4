"""Interventions: change feature activations in the real model and see what follows."""

from workbench.interventions.clean import CleanRun
from workbench.interventions.edits import Edit
from workbench.interventions.result import Intervention, Logits
from workbench.interventions.run import MODES, Mode, intervene

__all__ = ["MODES", "CleanRun", "Edit", "Intervention", "Logits", "Mode", "intervene"]
