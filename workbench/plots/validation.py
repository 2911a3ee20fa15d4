"""Figures of tests: a graph's validation, and claims."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.plots.style import AFTER, BEFORE, GRID, labels_of, styled

if TYPE_CHECKING:
    from workbench.evaluation.claims import Claim
    from workbench.evaluation.validation import Validation


def validation(result: Validation) -> go.Figure:
    """Draw a validation: between features, on the output, in the residual stream, and supernodes."""
    by_name = result.figures.set_index("figure")

    def titled(text: str, name: str) -> str:
        return f"{text}<br>{by_name['value'][name]:.2f} (control {by_name['control'][name]:.2f})"

    figure = make_subplots(
        rows=2,
        cols=2,
        subplot_titles=[
            titled("between features: rank correlation", "spearman"),
            titled("on the target’s logit: rank correlation", "logit_spearman"),
            titled("perturbation: cosine one layer on", "cosine"),
            "supernodes × −1: change of the target’s logit",
        ],
        vertical_spacing=0.2,
        horizontal_spacing=0.14,
    )
    _points(figure, 1, result.pairs["predicted"], result.pairs["measured"], result.pairs["control"])
    nodes = result.nodes
    _points(figure, 2, nodes["predicted_logit"], nodes["logit"], nodes["control_logit"], legend=False)
    means = result.cosines.groupby("distance")[["cosine", "control"]].mean()
    for name, label, colour in (("cosine", "own", AFTER), ("control", "matched control", BEFORE)):
        figure.add_scatter(
            x=means.index,
            y=means[name],
            mode="lines+markers",
            line={"color": colour},
            showlegend=False,
            hovertemplate="%{x} layers on: %{y:.2f}<extra>" + label + "</extra>",
            row=2,
            col=1,
        )
    groups = result.supernodes
    names = labels_of(groups["supernode"])
    middle = (groups["control_low"] + groups["control_high"]) / 2
    figure.add_scatter(
        x=middle,
        y=names,
        mode="markers",
        marker={"color": BEFORE, "symbol": "line-ns", "size": 1},
        error_x={"array": groups["control_high"] - middle, "color": BEFORE, "thickness": 8, "width": 0},
        showlegend=False,
        hovertemplate="matched controls, middle 95 %<extra></extra>",
        row=2,
        col=2,
    )
    for column, label, symbol in (("predicted", "predicted", "circle-open"), ("logit", "measured", "circle")):
        figure.add_scatter(
            x=groups[column],
            y=names,
            mode="markers",
            name=label,
            marker={"color": AFTER, "symbol": symbol, "size": 9},
            hovertemplate="%{y}: %{x:+.3f}<extra>" + label + "</extra>",
            row=2,
            col=2,
        )
    for axis, title in ((1, "predicted relative change"), (2, "predicted"), (3, "layers on"), (4, "change")):
        figure.update_xaxes(title=title, row=(axis + 1) // 2, col=2 - axis % 2)
    for axis, title in ((1, "measured"), (2, "measured"), (3, "cosine")):
        figure.update_yaxes(title=title, row=(axis + 1) // 2, col=2 - axis % 2)
    figure.update_annotations(font_size=12)
    figure.update_layout(legend={"orientation": "h", "y": 1.12, "x": 0})
    return styled(figure, height=760)


def _points(
    figure: go.Figure, column: int, predicted: object, own: object, control: object, legend: bool = True
) -> None:
    for label, measured, colour, size in (("matched control", control, BEFORE, 4), ("own", own, AFTER, 5)):
        figure.add_scattergl(
            x=predicted,
            y=measured,
            mode="markers",
            name=label,
            showlegend=legend,
            marker={"color": colour, "size": size, "opacity": 0.6},
            hovertemplate="predicted %{x:+.3g}, measured %{y:+.3g}<extra>" + label + "</extra>",
            row=1,
            col=column,
        )
    values = np.asarray(predicted, dtype=np.float64)
    ends = [float(values.min()), float(values.max())] if len(values) else [0.0, 0.0]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": GRID, "dash": "dot"}, showlegend=False, hoverinfo="skip",
        row=1, col=column,
    )  # fmt: skip


def claim(result: Claim) -> go.Figure:
    """Draw a claim's effect beside what it would be if the edited features were like their controls."""
    figure = go.Figure()
    figure.add_histogram(
        x=result.null,
        nbinsx=40,
        histnorm="probability",
        name="if the features were like their controls",
        marker_color=BEFORE,
        hovertemplate="%{x}: %{y:.1%}<extra></extra>",
    )
    top = 0.06
    figure.add_scatter(
        x=[result.effect],
        y=[top],
        mode="markers",
        name=f"the edits: {result.verdict}, p {result.p_corrected:.2g} corrected",
        marker={"color": AFTER, "size": 11, "symbol": "diamond"},
        error_x=None
        if result.interval is None
        else {
            "array": [result.interval[1] - result.effect],
            "arrayminus": [result.effect - result.interval[0]],
            "color": AFTER,
        },
        hovertemplate="effect %{x:+.4g}<extra></extra>",
    )
    figure.add_vline(x=0, line={"color": GRID})
    figure.update_xaxes(title=f"mean change: {html.escape(result.metric)}")
    figure.update_yaxes(title="share", tickformat=".0%")
    figure.update_layout(legend={"orientation": "h", "y": 1.12, "x": 0})
    return styled(figure, height=340)
