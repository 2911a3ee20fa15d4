"""From sums by row and scores by prompt to figures with bootstrap intervals, and differences from baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.evaluation.bootstrap import Interval, Resamples, interval, mean, mean_interval
from workbench.evaluation.fidelity import Fidelity
from workbench.evaluation.reconstruction import ResidualSums, fraction_of_variance_unexplained
from workbench.evaluation.report import CLTReport, Difference, PromptScores
from workbench.evaluation.variants import Residuals, Variant

GRAPH_FIGURES = ("replacement_score", "completeness_score", "error_share", "average_path_length")
ROW_FIGURES = ("kl", "delta_ce", "top1_agreement")


@dataclass(frozen=True)
class Text:
    """The held-out text: its MLP outputs, and the resamples of its rows that all variants share."""

    outputs: Residuals
    resamples: Resamples

    @cached_property
    def spreads(self) -> dict[str, tuple[ResidualSums, Float[Tensor, "resample layer"]]]:
        """For each FVU the sums of the outputs, and Σ|y − ȳ|² in every resample."""
        sums = {"fvu": self.outputs.all, "fvu_typical": self.outputs.typical}
        return {name: (sums_, sums_.centred_in(self.resamples)) for name, sums_ in sums.items()}


@dataclass(frozen=True)
class Measured:
    """All that was measured of one variant.

    Attributes:
        scores: of its graphs, by prompt.
    """

    variant: Variant
    fidelity: Fidelity
    text: Text
    scores: dict[str, PromptScores] = field(default_factory=dict)

    @cached_property
    def fvus(self) -> dict[str, tuple[list[float], Float[Tensor, " resample"]]]:
        """Both FVUs: by layer, and the mean over layers in every resample."""
        left = {"fvu": self.variant.unexplained, "fvu_typical": self.variant.unexplained_typical}
        found = {}
        for name, (sums, spread) in self.text.spreads.items():
            by_layer = fraction_of_variance_unexplained(left[name].sum(0), sums.centred)
            resampled = fraction_of_variance_unexplained(self.text.resamples.totals(left[name]), spread)
            found[name] = (by_layer.tolist(), resampled.mean(-1))
        return found

    def by_row(self, figure: str) -> Float[Tensor, " row"]:
        """Return KL, ΔCE or top-1 agreement of every row."""
        values: Tensor = getattr(self.fidelity, figure)
        return values

    def by_prompt(self, figure: str, prompts: Sequence[str]) -> Float[Tensor, " prompt"]:
        """Return a graph score of some prompts, NaN where it is not defined."""
        values = [getattr(self.scores[prompt], figure) for prompt in prompts]
        return torch.tensor([float("nan") if value is None else value for value in values], dtype=torch.float64)

    def figures(self, *, seed: int) -> dict[str, Any]:
        """Return the fields of :class:`workbench.evaluation.report.Quality`."""
        values: dict[str, Any] = {"n_prompts": len(self.scores)}
        intervals: dict[str, Interval | None] = {}
        rows = self.text.resamples
        for name, (by_layer, resampled) in self.fvus.items():
            values[name] = sum(by_layer) / len(by_layer)
            values[f"{name}_by_layer"] = by_layer
            intervals[name] = interval(resampled, values[name]) if rows.n_units > 1 else None
        for name in ROW_FIGURES:
            values[name] = mean(self.by_row(name))
            intervals[name] = mean_interval(self.by_row(name), rows)
        if self.scores:
            prompts = list(self.scores)
            drawn = Resamples.draw(len(prompts), seed=seed)
            for name in GRAPH_FIGURES:
                scores = self.by_prompt(name, prompts)
                values[name] = None if bool(scores.isnan().all()) else mean(scores)
                intervals[name] = mean_interval(scores, drawn)
            values["row_sum_error"] = max(score.row_sum_error for score in self.scores.values())
        known = {name: bounds for name, bounds in intervals.items() if bounds is not None}
        return {**values, **self._counts(), "intervals": known}

    def _counts(self) -> dict[str, Any]:
        counts, n_layers = self.variant.counts, self.variant.clt.n_layers
        if counts is None:
            none = dict.fromkeys(("dead_by_layer", "dead_fraction", "dense_fraction"))
            return {"l0": 0.0, "l0_by_layer": [0.0] * n_layers, **none}
        names = ("l0", "l0_by_layer", "dead_by_layer", "dead_fraction", "dense_fraction")
        return {name: getattr(counts, name) for name in names}

    def minus(self, baseline: Measured, *, seed: int) -> dict[str, Difference]:
        """Return the differences from a baseline on the same rows and on the prompts that both were scored on."""
        rows = self.text.resamples
        found: dict[str, Difference | None] = {}
        for name, (by_layer, resampled) in self.fvus.items():
            others, other_resampled = baseline.fvus[name]
            difference = (sum(by_layer) - sum(others)) / len(by_layer)
            bounds = interval(resampled - other_resampled, difference) if rows.n_units > 1 else None
            found[name] = Difference(difference=difference, interval=bounds)
        for name in ROW_FIGURES:
            found[name] = paired(self.by_row(name), baseline.by_row(name), rows)
        prompts = [prompt for prompt in self.scores if prompt in baseline.scores]
        if prompts:
            drawn = Resamples.draw(len(prompts), seed=seed)
            for name in GRAPH_FIGURES:
                found[name] = paired(self.by_prompt(name, prompts), baseline.by_prompt(name, prompts), drawn)
        return {name: difference for name, difference in found.items() if difference is not None}


def paired(own: Float[Tensor, " unit"], other: Float[Tensor, " unit"], resamples: Resamples) -> Difference | None:
    """Return the mean difference of two figures of the same units; None where no unit has both."""
    differences = own - other
    if bool(differences.isnan().all()):
        return None
    return Difference(difference=mean(differences), interval=mean_interval(differences, resamples))


def differences(report: CLTReport, other: CLTReport, *, seed: int = 0) -> dict[str, Difference]:
    """Return how far one CLT's figures are from another's, on the rows and prompts that both were measured on.

    KL, ΔCE and top-1 agreement only where both have the same number of rows; the caller vouches that they are the
    same text. FVUs are no means over rows and are left out.
    """
    found: dict[str, Difference | None] = {}
    if report.n_rows == other.n_rows:
        rows = Resamples.draw(report.n_rows, seed=seed)
        for name in ROW_FIGURES:
            own, others = (torch.tensor(each.by_row[name], dtype=torch.float64) for each in (report, other))
            found[name] = paired(own, others, rows)
    theirs = {score.prompt: score for score in other.by_prompt}
    pairs = [(score, theirs[score.prompt]) for score in report.by_prompt if score.prompt in theirs]
    if pairs:
        drawn = Resamples.draw(len(pairs), seed=seed)
        for name in GRAPH_FIGURES:
            columns = ([_number(getattr(pair[side], name)) for pair in pairs] for side in (0, 1))
            own, others = (torch.tensor(column, dtype=torch.float64) for column in columns)
            found[name] = paired(own, others, drawn)
    return {name: difference for name, difference in found.items() if difference is not None}


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
