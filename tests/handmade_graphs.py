"""Graphs written down edge by edge: `from handmade_graphs import graph_of` (pytest puts tests/ on the path)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from workbench.attribution import Graph, GraphScores
from workbench.attribution.graph import KINDS

_KIND = {"f": "feature", "e": "error", "t": "token", "b": "bias", "l": "logit"}


def graph_of(
    edges: Mapping[tuple[str, str], float],
    *,
    probability: Mapping[str, float],
    isolated: tuple[str, ...] = (),
    activation: Mapping[str, float] | None = None,
    incoming: Mapping[str, float] | None = None,
    tokens: tuple[str, ...] | None = None,
    **info: Any,
) -> Graph:
    """Return the graph with the given edges (source, target) → weight, in float64.

    Args:
        probability: of every logit node.
        isolated: nodes without an edge.
        activation: of features; 1 by default.
        incoming: Σ|weights| of a target where there is more than the given edges from features, errors and tokens.
    """
    ids = sorted({node for edge in edges for node in edge} | set(probability) | set(isolated), key=_place)
    parts = [node.split("/") for node in ids]
    kinds = [_KIND[part[0]] for part in parts]
    n_layers = info.setdefault("n_layers", 1 + max((int(p[1]) for p in parts if p[0] in "feb"), default=0))
    position = [int(part[-1]) for part in parts]
    if tokens is None:
        tokens = tuple(f" w{at}" for at in range(max(position) + 1))
    layer = [int(p[1]) if p[0] in "feb" else n_layers if p[0] == "l" else 0 for p in parts]
    sources = [node for node in ids if not node.startswith("l/")]
    targets = [node for node in ids if node[0] in "fl"]
    weights = torch.zeros(len(targets), len(sources), dtype=torch.float64)
    total = torch.zeros(len(targets), dtype=torch.float64)
    for (source, target), weight in edges.items():
        weights[targets.index(target), sources.index(source)] = weight
        if not source.startswith("b/"):
            total[targets.index(target)] += abs(weight)
    for target, value in (incoming or {}).items():
        total[targets.index(target)] = value
    nodes = pd.DataFrame(
        {
            "node_id": ids,
            "kind": pd.Categorical(kinds, categories=KINDS),
            "layer": np.array(layer, dtype=np.int32),
            "position": np.array(position, dtype=np.int32),
            "feature": np.array([int(p[2]) if p[0] == "f" else -1 for p in parts], dtype=np.int32),
            "token": pd.Categorical([f"w{p[1]}" if p[0] == "l" else tokens[int(p[-1])] for p in parts]),
            "activation": np.array(
                [(activation or {}).get(node, 1.0) if node[0] == "f" else np.nan for node in ids], dtype=np.float32
            ),
            "influence": _influence(weights, total, [probability[node] for node in targets if node[0] == "l"], ids),
            "label": "",
            "supernode": "",
            "probability": np.array([probability.get(node, np.nan) for node in ids], dtype=np.float32),
        }
    )
    return Graph(
        prompt="".join(tokens[1:]),
        tokens=tokens,
        token_ids=tuple(range(len(tokens))),
        nodes=nodes,
        weights=weights,
        incoming=total,
        full_scores=GraphScores(float("nan"), float("nan"), float("nan"), 0.0),
        info=info,
    )


def _place(node: str) -> tuple[int, int, int, str]:
    """Sort as graphs do: features by layer and position, then errors, tokens, biases, logits."""
    parts = node.split("/")
    layer = int(parts[1]) if parts[0] in "feb" else 0
    return "fetbl".index(parts[0]), layer, int(parts[-1]), node


def _influence(weights: torch.Tensor, total: torch.Tensor, probability: list[float], ids: list[str]) -> np.ndarray:
    """Return (p·Â + p·Â² + …) for every node, 0 for logits, by a dense inverse."""
    shares = weights.abs() / total[:, None].clamp_min(1e-10)
    n_sources, n_features = weights.shape[1], len(weights) - len(probability)
    square = torch.zeros(n_sources, n_sources, dtype=torch.float64)
    square[:n_features] = shares[:n_features]
    first = torch.tensor(probability, dtype=torch.float64) @ shares[n_features:]
    reach = first @ torch.linalg.inv(torch.eye(n_sources, dtype=torch.float64) - square)
    return np.concatenate([reach.numpy(), np.zeros(len(ids) - n_sources)]).astype(np.float32)
