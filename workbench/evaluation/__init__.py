"""Evaluation: how good a CLT is as a replacement of the MLPs, beside what it must beat."""

from workbench.evaluation.card import write_model_card
from workbench.evaluation.compare import Comparison, compare_clts
from workbench.evaluation.evaluate import evaluate_clt, evenly_spaced
from workbench.evaluation.held_out import held_out_tokens
from workbench.evaluation.linear_skip import LinearSkip, fit_linear_skip, training_tokens
from workbench.evaluation.prompts import read_prompts
from workbench.evaluation.replacement import run_replacement
from workbench.evaluation.report import Baseline, CLTReport, Difference, PromptScores, Quality

__all__ = [
    "Baseline",
    "CLTReport",
    "Comparison",
    "Difference",
    "LinearSkip",
    "PromptScores",
    "Quality",
    "compare_clts",
    "evaluate_clt",
    "evenly_spaced",
    "fit_linear_skip",
    "held_out_tokens",
    "read_prompts",
    "run_replacement",
    "training_tokens",
    "write_model_card",
]
