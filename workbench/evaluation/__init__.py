"""Evaluation: how good a CLT is as a replacement of the MLPs, beside what it must beat."""

from workbench.evaluation.card import write_model_card
from workbench.evaluation.evaluate import evaluate_clt
from workbench.evaluation.held_out import held_out_tokens
from workbench.evaluation.prompts import read_prompts
from workbench.evaluation.replacement import run_replacement
from workbench.evaluation.report import CLTReport, Quality

__all__ = [
    "CLTReport",
    "Quality",
    "evaluate_clt",
    "held_out_tokens",
    "read_prompts",
    "run_replacement",
    "write_model_card",
]
