"""What all figures share: colours, labels of tokens, a background for light and dark."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

# Blue and orange can be told apart by everybody and on either background; grey text reads on both.
BEFORE, AFTER = "#9aa3ad", "#2f7fd6"
# One blue that covers the more the larger the value: it stands out on either background, and small values show.
SCALE = [[at, f"rgba(47, 127, 214, {cover})"] for at, cover in ((0, 0), (0.02, 0.12), (0.1, 0.4), (0.3, 0.7), (1, 1))]
TEXT, GRID = "#7d848c", "rgba(128, 132, 140, 0.25)"
# Told apart by everybody, also printed grey; the rest of a long list begins again (Okabe & Ito).
PALETTE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b5a800", "#7d848c")


def labels_of(tokens: Sequence[Any] | Any, *, numbered: bool = True) -> list[str]:
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


def styled(figure: go.Figure, *, height: int) -> go.Figure:
    # Transparent, so that the figure stands on a light theme as well as on a dark one.
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 90, "r": 60, "t": 30, "b": 70},
        paper_bgcolor="rgba(0, 0, 0, 0)",
        plot_bgcolor="rgba(0, 0, 0, 0)",
        font={"color": TEXT, "size": 13},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    return figure
