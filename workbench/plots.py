"""Plotly figures of a graph and of an intervention.

Each function returns a plain ``plotly.graph_objects.Figure``: it renders offline in JupyterLab, is small in a saved
notebook, and can be changed with ``figure.update_layout(...)``.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from workbench.attribution import Graph

if TYPE_CHECKING:
    from workbench.interventions import Intervention

# Blue and orange can be told apart by everybody and on either background; grey text reads on both.
_BEFORE, _AFTER = "#9aa3ad", "#2f7fd6"
# One blue that covers the more the larger the value: it stands out on either background, and small values show.
_SCALE = [[at, f"rgba(47, 127, 214, {cover})"] for at, cover in ((0, 0), (0.02, 0.12), (0.1, 0.4), (0.3, 0.7), (1, 1))]
_TEXT, _GRID = "#7d848c", "rgba(128, 132, 140, 0.25)"


def token_probabilities(graph: Graph) -> go.Figure:
    """Draw the probabilities of the tokens that the graph explains (differences and directions have none)."""
    logits = graph.nodes[(graph.nodes["kind"] == "logit") & graph.nodes["probability"].notna()]
    logits = logits.sort_values("probability", ascending=False)
    figure = go.Figure(
        go.Bar(
            y=_labels(logits["token"]),
            x=logits["probability"],
            orientation="h",
            marker_color=_AFTER,
            text=[f"{value:.1%}" for value in logits["probability"]],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y} %{x:.2%}<extra></extra>",
        )
    )
    figure.update_xaxes(title="probability of the next token", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    return _styled(figure, height=90 + 26 * len(logits))


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
            colorscale=_SCALE,
            xgap=1,
            ygap=1,
            colorbar={"title": "influence", "thickness": 12, "outlinewidth": 0},
            hovertemplate="layer %{y}, position %{x}<br>influence %{z:.4f}, %{customdata} features<extra></extra>",
        )
    )
    ticks = list(range(len(graph.tokens)))
    figure.update_xaxes(title="position", tickvals=ticks, ticktext=_labels(graph.tokens, numbered=False), tickangle=-45)
    figure.update_yaxes(title="layer")
    return _styled(figure, height=460).update_xaxes(showgrid=False).update_yaxes(showgrid=False)


def intervention(result: Intervention, *, k: int = 10) -> go.Figure:
    """Draw the probabilities of the most probable tokens before and after an intervention.

    Args:
        k: how many tokens to show.
    """
    rows = result.tokens.head(k)
    tokens = _labels(rows["token"])
    figure = go.Figure()
    for name, column, colour in (("before", "before", _BEFORE), ("after", "after", _AFTER)):
        figure.add_bar(
            y=tokens,
            x=rows[column],
            name=name,
            orientation="h",
            marker_color=colour,
            hovertemplate="%{y} %{x:.2%}<extra>" + name + "</extra>",
        )
    figure.update_xaxes(title="probability of the next token", tickformat=".0%", range=[0, 1])
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(barmode="group", legend={"orientation": "h", "y": 1.08, "x": 0})
    return _styled(figure, height=120 + 34 * len(rows))


def _labels(tokens: Sequence[Any] | Any, *, numbered: bool = True) -> list[str]:
    """Return tokens as plotly can show them: it reads text as a little HTML, and equal labels as one.

    Args:
        numbered: tell equal tokens apart by their order.
    """
    seen: dict[str, int] = {}
    labels = []
    for token in tokens:
        text = str(token)
        core = text.strip(" ")
        left = len(text) - len(text.lstrip(" ")) if core else len(text)
        right = len(text) - len(text.rstrip(" ")) if core else 0
        core = "".join(c if c.isprintable() else {"\n": "↵", "\t": "⇥"}.get(c, f"[U+{ord(c):04X}]") for c in core)
        label = html.escape("·" * left + core + "·" * right)
        seen[label] = seen.get(label, 0) + 1
        labels.append(f"{label} ({seen[label]})" if numbered and seen[label] > 1 else label)
    return labels


def _styled(figure: go.Figure, *, height: int) -> go.Figure:
    # Transparent, so that the figure stands on a light theme as well as on a dark one.
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 90, "r": 60, "t": 30, "b": 70},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"color": _TEXT, "size": 13},
    )
    figure.update_xaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, automargin=True)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, linecolor=_GRID, automargin=True)
    return figure
