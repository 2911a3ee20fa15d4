"""Figures of features: operand grids, clusters, the structure of the whole model."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.errors import ConfigError
from workbench.features.clusters import FeatureClusters
from workbench.features.operands import OperandGrids
from workbench.features.structure import KINDS, Structure
from workbench.plots.style import AFTER, BEFORE, PALETTE, SCALE, styled


def operand_heatmaps(
    grids: OperandGrids, *, features: Sequence[tuple[int, int]] | None = None, k: int = 12, columns: int = 4
) -> go.Figure:
    """Draw operand grids side by side, the darker the more active, each on its own scale.

    Args:
        features: which; by default the ``k`` that their families explain best.
        k: how many at most.
        columns: how many in a row.

    Raises:
        ConfigError: a feature is not among the grids, there is none, or a number is less than 1.
    """
    if k < 1 or columns < 1:
        raise ConfigError(f"k is {k} and columns {columns}: give at least 1.")
    if features is None:
        best = grids.families().sort_values("score", ascending=False, kind="stable").head(k)
        features = list(zip(best["layer"].tolist(), best["feature"].tolist(), strict=True))
    shown = grids.select(features[:k])
    if not shown.features:
        raise ConfigError("There is no grid to draw: lower min_active, or choose features.")
    table = shown.families()
    titles = [
        f"{layer}/{feature} {row.family} ({row.score:.2f})"
        for (layer, feature), row in zip(shown.features, table.itertuples(), strict=True)
    ]
    n_rows = math.ceil(len(titles) / columns)
    figure = make_subplots(rows=n_rows, cols=columns, subplot_titles=titles, shared_xaxes=True, shared_yaxes=True)
    for at, values in enumerate(shown.values):
        figure.add_trace(
            go.Heatmap(
                z=values,
                x=list(shown.b),
                y=list(shown.a),
                colorscale=SCALE,
                showscale=False,
                hovertemplate="a %{y}, b %{x}<br>activation %{z:.3f}<extra></extra>",
            ),
            row=at // columns + 1,
            col=at % columns + 1,
        )
    figure.update_annotations(font_size=11)
    styled(figure, height=90 + 210 * n_rows)
    for column in range(columns):
        figure.update_xaxes(title="b", row=n_rows, col=column + 1)
    for row in range(n_rows):
        figure.update_yaxes(title="a", row=row + 1, col=1)
    return figure.update_xaxes(showgrid=False).update_yaxes(showgrid=False)


def cluster_map(clusters: FeatureClusters) -> go.Figure:
    """Draw features as points, correlated ones close, coloured by cluster; unstable clusters are hollow.

    Hollow are clusters of a stability below 0.6 (see :mod:`workbench.features.clusters`), grey are features of none.
    """
    members = clusters.members()
    figure = go.Figure()
    for cluster in range(-1, clusters.n_clusters):
        own = members[members["cluster"] == cluster]
        if not len(own):
            continue
        name, note, symbol, colour = "in no cluster", "", "circle", BEFORE
        if cluster >= 0:
            stability = clusters.stability[cluster]
            name = clusters.names[cluster]
            note = "" if np.isnan(stability) else f"<br>stability {stability:.2f}"
            symbol = "circle-open" if stability < 0.6 else "circle"
            colour = PALETTE[cluster % (len(PALETTE) - 1)]
        figure.add_scatter(
            x=own["x"],
            y=own["y"],
            mode="markers",
            name=f"{html.escape(name)} ({len(own)})",
            marker={"color": colour, "symbol": symbol, "size": 6 if cluster < 0 else 9},
            customdata=own[["layer", "feature", "n_prompts"]],
            hovertemplate="layer %{customdata[0]}, feature %{customdata[1]}<br>fires on %{customdata[2]} prompts"
            + note
            + f"<extra>{html.escape(name)}</extra>",
        )
    figure.update_xaxes(title="first principal component")
    figure.update_yaxes(title="second principal component")
    return styled(figure, height=480)


def feature_kinds(kinds: pd.DataFrame) -> go.Figure:
    """Draw which share of each layer's features is input-like, abstract, output-like.

    Args:
        kinds: what :func:`workbench.features.structure.kinds_by_layer` returns.
    """
    figure = go.Figure()
    for kind, colour in zip(KINDS[:-1], PALETTE, strict=False):
        own = kinds[kinds["kind"] == kind]
        figure.add_bar(
            x=own["layer"],
            y=own["share"],
            name=kind,
            marker_color=colour,
            customdata=own["n_features"],
            hovertemplate="layer %{x}: %{y:.1%}, %{customdata} features<extra>" + kind + "</extra>",
        )
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title="share of the features that fire", tickformat=".0%", range=[0, 1])
    figure.update_layout(barmode="stack", legend={"orientation": "h", "y": 1.08, "x": 0})
    return styled(figure, height=380)


def smear(structure: Structure) -> go.Figure:
    """Draw how many times longer than by chance features stay active, by layer: the median and the middle half."""
    table = structure.smear_by_layer()
    figure = go.Figure()
    figure.add_scatter(
        x=[*table["layer"], *table["layer"][::-1]],
        y=[*table["upper"], *table["lower"][::-1]],
        fill="toself",
        fillcolor="rgba(47, 127, 214, 0.2)",
        line={"width": 0},
        name="middle half of the features",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=table["layer"],
        y=table["median"],
        name="median",
        line={"color": AFTER},
        customdata=table["n_features"],
        hovertemplate="layer %{x}: %{y:.2f} ×, %{customdata} features<extra></extra>",
    )
    figure.add_hline(y=1, line={"color": BEFORE, "dash": "dot"}, annotation_text="shuffled positions")
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title="mean run of positions ÷ run by chance", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.08, "x": 0})
    return styled(figure, height=380)


def token_classes(structure: Structure) -> go.Figure:
    """Draw how many features fire at classes of tokens, in shares of mid-sentence tokens of equal entropy."""
    table = structure.classes()
    figure = go.Figure()
    for number, name in enumerate(table["token_class"].unique()):
        own = table[table["token_class"] == name]
        figure.add_scatter(
            x=own["layer"],
            y=own["ratio"],
            name=name,
            line={
                "color": BEFORE if name == "control" else PALETTE[number],
                "dash": "dot" if name == "control" else None,
            },
            customdata=own[["active", "matched", "n_tokens"]],
            hovertemplate="layer %{x}: %{customdata[0]:.1f} active features against %{customdata[1]:.1f}, "
            "%{customdata[2]} tokens<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title="active features ÷ those at equal entropy", rangemode="tozero")
    figure.update_layout(legend={"orientation": "h", "y": 1.08, "x": 0})
    return styled(figure, height=380)
