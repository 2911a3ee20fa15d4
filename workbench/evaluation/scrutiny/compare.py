"""The same prompt through another transcoder: is the picture the same, and are its features found again?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.attribution import Graph, attribute
from workbench.clt import CLT
from workbench.evaluation.bootstrap import Interval, Resamples, interval
from workbench.evaluation.scrutiny.shares import direct_parts, effect_grid, influence_grid
from workbench.models import LoadedModel

# Two decoder rows of such a cosine write the same; the best of a thousand random ones in 576 dimensions reaches .15.
FOUND = 0.7


class Other(NamedTuple):
    """Another transcoder to compare with, loaded when it is its turn."""

    name: str
    title: str
    load: Callable[[], CLT]


@dataclass(frozen=True)
class Features:
    """Features of one transcoder, the most influential first, with the positions where they are active."""

    layer: Int[Tensor, " feature"]
    feature: Int[Tensor, " feature"]
    positions: list[set[int]]


def influential_features(graph: Graph, k: int) -> Features:
    """Return the k features of a graph with the most influence over all positions."""
    nodes = graph.nodes.iloc[: graph.n_features]
    groups = nodes.groupby(["layer", "feature"], sort=False)
    pairs = groups["influence"].sum().nlargest(k).index.tolist()
    positions = groups["position"].agg(set)
    layer, index = (torch.tensor([pair[at] for pair in pairs], dtype=torch.long) for at in (0, 1))
    return Features(layer, index, [positions[pair] for pair in pairs])


@torch.no_grad()
def best_matches(
    own: CLT, other: CLT, features: Features, *, layers_on: int = 0
) -> tuple[Float[Tensor, " feature"], Int[Tensor, " feature"]]:
    """Return the largest cosine of each feature's decoder row with those of another transcoder, and whose it is.

    Rows are those that write to the feature's own layer, which every window has.

    Args:
        layers_on: match with the features of so many layers further on (around the top), as a control.
    """
    cosine = torch.zeros(len(features.layer))
    index = torch.zeros(len(features.layer), dtype=torch.long)
    for layer in features.layer.unique().tolist():  # type: ignore[no-untyped-call]
        here = features.layer == layer
        there = (layer + layers_on) % other.n_layers
        rows = _unit(own.decoder(layer, layer)[features.feature[here]])
        best = (rows @ _unit(other.decoder(there, there)).T).max(dim=1)
        cosine[here], index[here] = best.values.float().cpu(), best.indices.cpu()
    return cosine, index


def active_too(features: Features, matched: Int[Tensor, " feature"], graph: Graph) -> Bool[Tensor, " feature"]:
    """Return whether each feature's match is active in a graph at one of the positions where the feature is."""
    nodes = graph.nodes.iloc[: graph.n_features]
    there = set(zip(nodes["layer"], nodes["feature"], nodes["position"], strict=True))
    found = [
        any((layer, index, position) in there for position in positions)
        for layer, index, positions in zip(features.layer.tolist(), matched.tolist(), features.positions, strict=True)
    ]
    return torch.tensor(found, dtype=torch.bool)


class Grids(NamedTuple):
    """What features do, by the layer that they read at and their position.

    Attributes:
        influence: on the output, over all paths, without signs.
        effect: what they add directly to the answer's logit.
    """

    influence: Float[Tensor, "layer position"]
    effect: Float[Tensor, "layer position"]

    @classmethod
    def of(cls, graph: Graph, logit_row: int, n_layers: int) -> Grids:
        """Return those of a graph."""
        return cls(influence_grid(graph, n_layers), effect_grid(graph, logit_row, n_layers))


class Picture(NamedTuple):
    """What one transcoder makes of the prompt.

    Attributes:
        row: its row of the table ``variants``.
        graph: its graph.
        grids: by layer and position, its features' influence and what they add directly to the answer's logit.
        found: of each of the features, whether it was found again.
    """

    row: dict[str, Any]
    graph: Graph
    grids: Grids
    found: Bool[Tensor, " feature"]


def picture(
    name: str,
    title: str,
    model: LoadedModel,
    clt: CLT,
    tokens: Int[Tensor, " position"],
    targets: Sequence[int],
    *,
    own: CLT,
    own_grids: Grids,
    features: Features,
    logit_row: int,
) -> Picture:
    """Attribute the prompt with another transcoder and compare what comes of it with the graph.

    Args:
        targets: the tokens that the graph explains.
        own: the graph's transcoder.
        features: those of the graph that are looked for.
        logit_row: the answer's, among the targets.
    """
    graph = attribute(model, clt, tokens, targets=list(targets), progress=False)
    grids = Grids.of(graph, logit_row, model.n_layers)
    cosine, index = best_matches(own, clt, features)
    control, _ = best_matches(own, clt, features, layers_on=max(1, clt.n_layers // 2))
    found = cosine >= FOUND
    row = {
        **{"variant": name, "title": title},
        **figures_of(graph, logit_row),
        "influence_cosine": cosine_of(own_grids.influence, grids.influence),
        "effect_cosine": cosine_of(own_grids.effect, grids.effect),
        "found_again": float(found.float().mean()),
        "found_control": float((control >= FOUND).float().mean()) if clt.n_layers > 1 else float("nan"),
        "active_too": float((found & active_too(features, index, graph)).float().mean()),
    }
    return Picture(row, graph, grids, found)


def figures_of(graph: Graph, logit_row: int) -> dict[str, float]:
    """Return a graph's scores, and the share of the answer's logit that features add directly."""
    scores, parts = graph.scores(), direct_parts(graph, logit_row)
    total = sum(parts.values())
    return {
        "replacement": scores.replacement,
        "completeness": scores.completeness,
        "features_share": parts.get("feature", 0.0) / total if total else float("nan"),
    }


def cosine_of(one: Tensor, other: Tensor) -> float:
    """Return the cosine of two grids; NaN where one is zero."""
    scale = float(one.norm() * other.norm())
    return float((one * other).sum()) / scale if scale > 0 else float("nan")


def cosine_interval(one: Tensor, other: Tensor, *, seed: int) -> Interval | None:
    """Return the 95 % bootstrap interval of :func:`cosine_of` over the cells that one of the grids has."""
    there = (one != 0) | (other != 0)
    value = cosine_of(one, other)
    if int(there.sum()) < 2 or math.isnan(value):
        return None
    one, other = one[there].double(), other[there].double()
    resamples = Resamples.draw(len(one), seed=seed)
    scale = (resamples.totals(one**2) * resamples.totals(other**2)).sqrt()
    return interval(resamples.totals(one * other) / scale, value)


def _unit(rows: Float[Tensor, "row d_model"]) -> Float[Tensor, "row d_model"]:
    unit: Tensor = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    return unit
