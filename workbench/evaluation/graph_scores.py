"""Scores of the attribution graphs that a transcoder gives on a set of prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from workbench.attribution import attribute
from workbench.clt import CLT
from workbench.evaluation.report import GraphScores
from workbench.models import LoadedModel


def graph_scores(
    model: LoadedModel,
    clt: CLT,
    prompts: Sequence[str],
    *,
    advance: Callable[[int], object] = lambda n: None,
    **options: Any,
) -> GraphScores:
    """Return the scores of the unpruned attribution graphs, averaged over prompts.

    Args:
        prompts: at least one.
        advance: called with 1 after each prompt, for a progress bar.
        options: passed on to :func:`workbench.attribution.attribute`.

    Raises:
        PromptError: a prompt is empty or too long for the model.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Measuring the quality of attribution graphs".
    """
    scores = []
    for prompt in prompts:
        scores.append(attribute(model, clt, prompt, progress=False, **options).scores())
        advance(1)
    return GraphScores(
        replacement_score=fmean(score.replacement for score in scores),
        completeness_score=fmean(score.completeness for score in scores),
        error_share=fmean(score.error_share for score in scores),
        row_sum_error=max(score.row_sum_error for score in scores),
    )
