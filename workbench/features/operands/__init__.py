"""Operand grids: what features do with the numbers of arithmetic prompts."""

from workbench.features.operands.build import operand_grids
from workbench.features.operands.families import FAMILIES, classify
from workbench.features.operands.grids import OperandGrids
from workbench.features.operands.template import Template

__all__ = ["FAMILIES", "OperandGrids", "Template", "classify", "operand_grids"]
