"""Figures of interventions and generation: token probabilities, logits, downstream features, divergence by position."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import ConfigError
from workbench.plots.style import AFTER, BEFORE, labels_of, styled

if TYPE_CHECKING:
    from workbench.interventions import Intervention
    from workbench.interventions.generation import Generation


def intervention(result: Intervention, *, what: str = "tokens", k: int = 10) -> go.Figure:
    """Draw what an intervention did.

    Args:
        what: ``"tokens"`` (probabilities before and after), ``"logits"`` or ``"features"`` (the most changed), or
            ``"divergence"`` (KL by position).
        k: how many tokens or features to show.

    Raises:
        ConfigError: there is no such picture, or k is less than 1.
    """
    pictures = {"tokens": _tokens, "logits": _logits, "features": _features, "divergence": _divergence}
    if what not in pictures:
        raise ConfigError(f"There is no picture {what!r} of an intervention: choose from {', '.join(pictures)}.")
    if k < 1:
        raise ConfigError(f"k is {k}: give at least 1.")
    return pictures[what](result, k)


def _tokens(result: Intervention, k: int) -> go.Figure:
    rows = result.tokens.head(k)
    figure = _before_and_after(labels_of(rows["token"]), rows["before"], rows["after"], hover="%{x:.2%}")
    return figure.update_xaxes(title="probability of the next token", tickformat=".0%", range=[0, 1])


def _features(result: Intervention, k: int) -> go.Figure:
    rows = result.features.head(k)
    # The ids are plain text of this package; the tokens are not.
    names = [
        f"{node} {token}" for node, token in zip(rows["node_id"], labels_of(rows["token"], numbered=False), strict=True)
    ]
    figure = _before_and_after(names, rows["before"], rows["after"], hover="%{x:.3f}")
    return figure.update_xaxes(title="activation")


def _logits(result: Intervention, k: int) -> go.Figure:
    rows = result.logit_changes.head(k)
    figure = go.Figure(
        go.Bar(
            y=labels_of(rows["token"]),
            x=rows["change"],
            orientation="h",
            marker_color=AFTER,
            hovertemplate="%{y} %{x:+.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title="change of the logit minus the mean change")
    figure.update_yaxes(autorange="reversed")
    return styled(figure, height=120 + 26 * len(rows))


def _divergence(result: Intervention, k: int) -> go.Figure:
    rows = result.divergence
    figure = go.Figure(
        go.Bar(
            x=rows["position"],
            y=rows["kl"],
            marker_color=AFTER,
            hovertemplate="after position %{x}: %{y:.4f} nats<extra></extra>",
        )
    )
    labels = labels_of(rows["token"], numbered=False)
    figure.update_xaxes(title="position", tickvals=rows["position"], ticktext=labels, tickangle=-45)
    figure.update_yaxes(title="KL(clean ‖ edited), nats")
    return styled(figure, height=340)


def _before_and_after(names: list[str], before: object, after: object, *, hover: str) -> go.Figure:
    figure = go.Figure()
    for name, values, colour in (("before", before, BEFORE), ("after", after, AFTER)):
        figure.add_bar(
            y=names,
            x=values,
            name=name,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{y} " + hover + "<extra>" + name + "</extra>",
        )
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": 1.08, "x": 0})
    return styled(figure, height=120 + 34 * len(names))


def generation(result: Generation) -> go.Figure:
    """Draw the probability of every generated token: in its own run, and as the unedited model sees it there."""
    runs = list(result.runs)
    figure = make_subplots(rows=len(runs), cols=1, subplot_titles=runs, vertical_spacing=0.3)
    for row, name in enumerate(runs, start=1):
        tokens = result.tokens[result.tokens["run"] == name]
        bars = [("own", tokens["probability"], AFTER)]
        if name == "steered":
            bars.insert(0, ("clean model after the same text", tokens["clean_probability"], BEFORE))
        for label, values, colour in bars:
            figure.add_bar(
                x=tokens["step"],
                y=values,
                name=f"{name}: {label}",
                marker_color=colour,
                customdata=tokens["kl"],
                hovertemplate="step %{x}: %{y:.2%}, KL %{customdata:.3g} nats<extra>" + label + "</extra>",
                row=row,
                col=1,
            )
        labels = labels_of(tokens["token"], numbered=False)
        figure.update_xaxes(tickvals=tokens["step"], ticktext=labels, tickangle=-45, row=row, col=1)
        figure.update_yaxes(title="probability", tickformat=".0%", range=[0, 1], row=row, col=1)
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": 1.12, "x": 0})
    return styled(figure, height=120 + 240 * len(runs))
