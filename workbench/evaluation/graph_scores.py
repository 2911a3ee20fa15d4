"""Scores of the attribution graphs that a transcoder gives on a set of prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from workbench.attribution import attribute
from workbench.attribution.engine import MAX_TOKENS
from workbench.clt import CLT
from workbench.errors import PromptError
from workbench.evaluation.report import PromptScores
from workbench.models import LoadedModel, tokenize


def check_prompts(model: LoadedModel, prompts: Sequence[str]) -> None:
    """Check that every prompt can be scored, before minutes are spent on the first ones.

    Raises:
        PromptError: a prompt is empty, a single token, too long, or there twice.
    """
    seen: dict[tuple[int, ...], int] = {}
    for number, prompt in enumerate(prompts, start=1):
        try:
            tokens = tuple(tokenize(model, prompt, max_tokens=MAX_TOKENS).tolist())
        except PromptError as error:
            raise PromptError(f"Prompt {number} ({_short(prompt)}) cannot be scored: {error}") from error
        if len(tokens) < 3:
            raise PromptError(
                f"Prompt {number} ({_short(prompt)}) is a single token, and a graph of one token has nothing to "
                "explain: give at least two tokens."
            )
        if tokens in seen:
            raise PromptError(
                f"Prompts {seen[tokens]} and {number} are the same ({_short(prompt)}) and would count twice: drop one."
            )
        seen[tokens] = number


def _short(prompt: str) -> str:
    return repr(prompt if len(prompt) <= 40 else prompt[:39] + "…")


def score_graph(model: LoadedModel, clt: CLT, prompt: str, **options: Any) -> PromptScores:
    """Return the scores of the unpruned attribution graph of a prompt.

    Args:
        options: passed on to :func:`workbench.attribution.attribute`.

    Raises:
        PromptError: the prompt is empty or too long for the model.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Measuring the quality of attribution graphs".
    """
    graph = attribute(model, clt, prompt, progress=False, **options)
    scores = graph.scores()
    length = graph.average_path_length()
    return PromptScores(
        prompt=prompt,
        n_tokens=len(graph.tokens),
        n_features=graph.n_features,
        left_out_influence=graph.info["left_out_influence"],
        replacement_score=scores.replacement,
        completeness_score=scores.completeness,
        error_share=scores.error_share,
        # NaN where no token reaches a logit, and JSON knows no NaN.
        average_path_length=None if math.isnan(length) else length,
        row_sum_error=scores.row_sum_error,
    )
