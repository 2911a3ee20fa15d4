"""Figures of an attribution graph."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from workbench.attribution import Graph
from workbench.plots.style import AFTER, SCALE, labels_of, styled


def token_probabilities(graph: Graph) -> go.Figure:
    """Draw the probabilities of the tokens that the graph explains (differences and directions have none)."""
    logits = graph.nodes[(graph.nodes["kind"] == "logit") & graph.nodes["probability"].notna()]
    logits = logits.sort_values("probability", ascending=False)
    figure = go.Figure(
        go.Bar(
            y=labels_of(logits["token"]),
            x=logits["probability"],
            orientation="h",
            marker_color=AFTER,
            text=[f"{value:.1%}" for value in logits["probability"]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y} %{x:.2%}<extra></extra>",
        )
    )
    figure.update_xaxes(title="probability of the next token", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return styled(figure, height=90 + 26 * len(logits))


def influence_map(graph: Graph) -> go.Figure:
    """Draw where the influence on the output comes from: layer by position, summed over the feature nodes.

    Influence is a node's total effect on the logit nodes over all paths ("Circuit Tracing", section "Graph
    Pruning"); a dark field is a layer and position whose features carry much of it.
    """
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    # The logits stand one layer above the last.
    n_layers = int(graph.info.get("n_layers", graph.nodes["layer"].max()))
    grid = np.zeros((n_layers, len(graph.tokens)))
    counts = np.zeros_like(grid, dtype=int)
    place = features["layer"].to_numpy(np.int64), features["position"].to_numpy(np.int64)
    np.add.at(grid, place, features["influence"].to_numpy(np.float64))
    np.add.at(counts, place, 1)
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            customdata=counts,
            colorscale=SCALE,
            xgap=1,
            ygap=1,
            colorbar={"title": "influence", "thickness": 12, "outlinewidth": 0},
            hovertemplate="layer %{y}, position %{x}<br>influence %{z:.4f}, %{customdata} features<extra></extra>",
        )
    )
    ticks = list(range(len(graph.tokens)))
    figure.update_xaxes(
        title="position", tickvals=ticks, ticktext=labels_of(graph.tokens, numbered=False), tickangle=-45
    )
    figure.update_yaxes(title="layer")
    return styled(figure, height=460).update_xaxes(showgrid=False).update_yaxes(showgrid=False)
