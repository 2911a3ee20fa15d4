"""A claim with its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.evaluation.bootstrap import Interval
from workbench.evaluation.claims.decide import Verdict
from workbench.interventions.result import figures

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True, repr=False)
class Claim:
    """A statement about the model, how it was tested, and what came of it.

    Attributes:
        statement: what is claimed.
        expect: ``"decrease"``, ``"increase"``, ``"change"`` or ``"unchanged"``.
        metric: what was measured.
        effect: the mean change of the metric over the prompts, in its units.
        interval: its 95 % bootstrap interval over prompts; None for a single prompt.
        control_effect: the mean change by the matched controls.
        standardised: how many standard deviations of the controls' mean effects lie between it and the effect; NaN
            where they do not vary.
        null: mean effects as they would be if the edited features were like their controls.
        p: the share of them, the effect included, that are as expected at least as much.
        p_corrected: the same after Holm's correction for all claims of the notebook so far.
        n_claims: how many they are.
        verdict: ``"supported"``, ``"refuted"`` or ``"inconclusive"``, as things stand now; further claims of the
            notebook raise the corrected p-value, and :func:`workbench.claims` tells the verdict then.
        prompts: one row a prompt: prompt, before, after, effect, n_controls, control_effect, control_low and
            control_high (the middle 95 % of the controls).
        controls: one row a prompt and control: prompt, control, edits, effect.
        row: the row of the claims table.
    """

    statement: str
    expect: str
    metric: str
    effect: float
    interval: Interval | None
    control_effect: float
    standardised: float
    null: np.ndarray
    p: float
    p_corrected: float
    n_claims: int
    verdict: Verdict
    prompts: pd.DataFrame
    controls: pd.DataFrame
    row: Mapping[str, Any]

    def plot(self) -> go.Figure:
        """Draw the effect beside the distribution of the controls, as a plotly figure."""
        figure: go.Figure = figures().claim(self)
        return figure

    def __repr__(self) -> str:
        bounds = "" if self.interval is None else f" [{self.interval[0]:+.3g}, {self.interval[1]:+.3g}]"
        return (
            f"Claim({self.verdict}: {self.statement!r}; {self.metric} {self.effect:+.3g}{bounds}, "
            f"controls {self.control_effect:+.3g}, p {self.p:.2g}, {self.p_corrected:.2g} corrected for "
            f"{self.n_claims} claim{'' if self.n_claims == 1 else 's'})"
        )
