"""From counts, labels, logits and connections to the rows that are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from workbench.features.atlas.examples import Examples, rank_in_group, token_hash
from workbench.features.atlas.histogram import QUANTILES, bin_edges, bin_of, quantiles, shown
from workbench.features.atlas.labels import Label
from workbench.features.atlas.pairs import Connections
from workbench.features.atlas.plan import AtlasPlan
from workbench.features.atlas.statistics import LayerStatistics
from workbench.features.logit_effects import LogitEffects

QUARTERS = ("0.75–1", "0.5–0.75", "0.25–0.5", "0–0.25")


def layer_rows(
    layer: int,
    counts: LayerStatistics,
    labels: list[Label],
    effects: LogitEffects,
    connections: tuple[Connections, Connections] | None,
    tokens: Int[np.ndarray, "row position"],
    token_totals: Int[np.ndarray, " vocab"],
    plan: AtlasPlan,
) -> dict[str, list[Any]]:
    """Return the stored columns of one layer's features."""
    n_features = len(counts.n_active)
    n_tokens = int(token_totals.sum())
    levels = quantiles(counts.histogram, counts.maximum)
    pictures = [shown(one) for one in counts.histogram]
    rows: dict[str, list[Any]] = {
        "layer": [layer] * n_features,
        "feature": list(range(n_features)),
        "density": (counts.n_active / n_tokens).tolist(),
        "n_active": counts.n_active.tolist(),
        "max_activation": counts.maximum.tolist(),
        "mean_activation": (counts.total / np.maximum(counts.n_active, 1)).tolist(),
        "label": [one.text for one in labels],
        "label_score": [one.score for one in labels],
        "label_precision": [one.precision for one in labels],
        "label_recall": [one.recall for one in labels],
        "label_control": [one.control for one in labels],
        "label_reason": [one.reason for one in labels],
        "kind": [one.kind for one in labels],
        "family": [one.family for one in labels],
        "quantiles": levels.tolist(),
        "histogram_edges": [edges for edges, _ in pictures],
        "histogram_counts": [bins for _, bins in pictures],
        "position_counts": counts.positions.tolist(),
        "top_logit_ids": effects.top.tolist(),
        "top_logit_values": effects.top_value.float().tolist(),
        "bottom_logit_ids": effects.bottom.tolist(),
        "bottom_logit_values": effects.bottom_value.float().tolist(),
    }
    rows |= _tokens(counts, token_totals, n_features, plan.k)
    for name, one in zip(("upstream", "downstream"), connections or (None, None), strict=True):
        rows |= _connected(name, one, layer, n_features)
    rows |= _examples(layer, counts, levels, tokens, plan)
    return rows


def _tokens(
    counts: LayerStatistics, token_totals: Int[np.ndarray, " vocab"], n_features: int, k: int
) -> dict[str, list[Any]]:
    feature, token = np.divmod(counts.token_key, len(token_totals))
    order = np.lexsort((token, -counts.token_total, feature))
    order = order[rank_in_group(feature[order]) < k]
    feature, token, count = feature[order], token[order], counts.token_count[order]
    return _split(
        feature,
        n_features,
        top_token_ids=token,
        top_token_counts=count,
        top_token_means=counts.token_total[order] / count,
        top_token_shares=count / token_totals[token],
    )


def _connected(name: str, found: Connections | None, layer: int, n_features: int) -> dict[str, list[Any]]:
    if found is None:
        return {name: [[]] * n_features, f"{name}_twera": [[]] * n_features}
    feature, rank = found.twera[layer].nonzero()
    partner, twera = found.partner[layer][feature, rank], found.twera[layer][feature, rank]
    return _split(feature, n_features, **{name: partner, f"{name}_twera": twera})


def _examples(
    layer: int,
    counts: LayerStatistics,
    levels: Float[np.ndarray, "feature quantile"],
    tokens: Int[np.ndarray, "row position"],
    plan: AtlasPlan,
) -> dict[str, list[Any]]:
    """Return the strongest examples of each feature, then a few of each quarter of its activations."""
    top, drawn = counts.top, counts.spread
    # The quarter from the histogram itself, so that of 100 activations in one bin not all are in the same quarter.
    share = _share_below(counts, drawn)
    quarter = 3 - np.floor(4 * share).clip(0, 3).astype(np.int64)
    hashes = token_hash(drawn.feature, drawn.at, layer)
    order = np.lexsort((hashes, quarter, drawn.feature))
    group = drawn.feature[order].astype(np.int64) * 4 + quarter[order]
    order = order[rank_in_group(group) < plan.n_spread]
    both = Examples.joined([top, drawn.take(order)])
    place = np.r_[np.zeros(len(top), np.int64), 1 + quarter[order]]
    # Within a group the strongest first.
    order = np.lexsort((both.at, -both.activation, place, both.feature))
    both, place = both.take(order), place[order]
    row, position = np.divmod(both.at, plan.row_length)
    first = np.maximum(position - plan.before, 0)
    last = np.minimum(position + plan.after + 1, plan.row_length)
    length = last - first
    offset = np.arange(plan.window) - plan.before
    inside = (position[:, None] + offset >= 0) & (position[:, None] + offset < plan.row_length)
    within = (position[:, None] + offset).clip(0, plan.row_length - 1)
    token_ids = tokens[row[:, None], within]
    names = np.array(["top", *QUARTERS])
    n_features = len(counts.n_active)
    columns = _split(
        both.feature,
        n_features,
        example_group=names[place],
        example_peak=position - first,
        example_length=length,
    )
    repeated = np.repeat(both.feature, length)
    return columns | _split(
        repeated, n_features, example_token_ids=token_ids[inside], example_activations=both.window[inside]
    )


def _share_below(counts: LayerStatistics, examples: Examples) -> Float[np.ndarray, " example"]:
    """Return the share of a feature's activations below each example's, linear within a bin."""
    bins, edges = bin_of(examples.activation), bin_edges()
    ends = counts.histogram.cumsum(axis=1)
    inside = counts.histogram[examples.feature, bins]
    part = ((examples.activation - edges[bins]) / (edges[bins + 1] - edges[bins])).clip(0, 1)
    below = ends[examples.feature, bins] - inside * (1 - part)
    return np.asarray(below / np.maximum(counts.n_active[examples.feature], 1))


def _split(feature: np.ndarray, n_features: int, **columns: np.ndarray) -> dict[str, list[Any]]:
    """Return columns, sorted by feature, as one list a feature."""
    ends = np.searchsorted(feature, np.arange(n_features), side="right").tolist()
    starts = [0, *ends[:-1]]
    lists = {name: column.tolist() for name, column in columns.items()}
    return {
        name: [values[start:end] for start, end in zip(starts, ends, strict=True)] for name, values in lists.items()
    }


def compact_rows(rows: Mapping[str, Any], *, n_examples: int, window: int, k: int) -> dict[str, list[Any]]:
    """Return a short form of a layer's stored columns.

    Args:
        n_examples: examples a feature: the strongest, and one of each quarter as far as there is room.
        window: their tokens, two thirds of them before the token that the example is of.
        k: logits and tokens a feature.
    """
    short: dict[str, list[Any]] = {
        name: rows[name] for name in ("layer", "feature", "n_active", "label", "kind", "family")
    }
    short["density"] = rows["density"]
    scores = ("label_score", "label_precision", "label_recall", "label_control")
    for name in ("max_activation", "mean_activation", *scores):
        # Three digits; what follows is noise and does not compress.
        short[name] = [None if value is None else float(f"{value:.3g}") for value in rows[name]]
    short["label_reason"] = rows["label_reason"]
    for name in ("top_logit_ids", "bottom_logit_ids", "top_token_ids"):
        short[name] = [values[:k] for values in rows[name]]
    for name in ("top_logit_values", "bottom_logit_values"):
        short[name] = [[float(f"{value:.2g}") for value in values[:k]] for values in rows[name]]
    before = window * 2 // 3
    names = [name for name in rows if name.startswith("example_")]
    short |= {name: [] for name in names}
    for index in range(len(rows["layer"])):
        for name, value in _short_examples(
            {name: rows[name][index] for name in names}, n_examples, before, window
        ).items():
            short[name].append(value)
    return short


def _short_examples(one: dict[str, list[Any]], n_examples: int, before: int, window: int) -> dict[str, list[Any]]:
    groups, ends = one["example_group"], np.cumsum(one["example_length"]).tolist()
    # One of each lower quarter, if two of the strongest stay.
    lower = [groups.index(quarter) for quarter in QUARTERS[1:] if quarter in groups][: max(0, n_examples - 2)]
    chosen = [*range(min(groups.count("top"), n_examples - len(lower))), *lower]
    short: dict[str, list[Any]] = {name: [] for name in one}
    for index in chosen:
        start, peak = ends[index] - one["example_length"][index], one["example_peak"][index]
        first = max(0, peak - before)
        last = min(one["example_length"][index], first + window)
        short["example_group"].append(groups[index])
        short["example_peak"].append(peak - first)
        short["example_length"].append(last - first)
        short["example_token_ids"] += one["example_token_ids"][start + first : start + last]
        values = one["example_activations"][start + first : start + last]
        short["example_activations"] += [float(f"{value:.2g}") for value in values]
    return short


LEVELS = tuple(str(level) for level in QUANTILES)
