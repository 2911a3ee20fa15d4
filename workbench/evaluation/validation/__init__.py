"""Validation of a graph: what it predicts against what happens in the model."""

from workbench.evaluation.validation.result import Validation
from workbench.evaluation.validation.validate import validate

__all__ = ["Validation", "validate"]
