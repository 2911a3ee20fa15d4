"""What the graph itself says of its limits: errors along the paths shown, and what reaches the answer directly."""

from __future__ import annotations

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.attribution import Graph


def error_shares(graph: Graph) -> Float[Tensor, " target"]:
    """Return the share of every target's input, in |weights|, that is error."""
    is_error = torch.from_numpy((graph.nodes["kind"] == "error").to_numpy()[graph.source_index])
    shares: Tensor = graph.weights[:, is_error].abs().sum(dim=1) / graph.incoming.clamp_min(1e-10)
    return shares


def path_errors(shown: Graph, whole: Graph, answer: str, *, k: int = 20) -> pd.DataFrame:
    """Return the strongest paths that are shown, with the share of their nodes' input that is error.

    Args:
        shown: the pruned graph, as it is drawn.
        whole: the same graph before it was pruned, which knows all errors.
        answer: the id of the logit where paths end.

    Returns:
        One row a path: path (node ids from a token to the answer), share, and error_share (mean over its nodes, the
        token left out, which has no input).
    """
    shares = error_shares(whole)
    row = {node: at for at, node in enumerate(whole.nodes["node_id"].astype(str).to_numpy()[whole.target_index])}
    paths = shown.paths(target=answer, k=k)
    means = [float(shares[[row[node] for node in path[1:]]].mean()) for path in paths["path"]]
    return paths.assign(error_share=pd.Series(means, dtype="float64", index=paths.index))[
        ["path", "share", "error_share"]
    ]


def direct_parts(graph: Graph, logit_row: int) -> dict[str, float]:
    """Return what sources of each kind add directly to an output: kind → sum of signed weights.

    With the unembedding's bias they sum to the output's value: a token's logit minus the mean logit.

    Args:
        logit_row: which of the graph's outputs.
    """
    weights = graph.weights[graph.n_features + logit_row].double()
    kinds = graph.nodes["kind"].astype(str).to_numpy()[graph.source_index]
    return {kind: float(weights[torch.from_numpy(kinds == kind)].sum()) for kind in dict.fromkeys(kinds)}


def influence_grid(graph: Graph, n_layers: int) -> Float[Tensor, "layer position"]:
    """Return the features' influence on the output by the layer that they read at and their position."""
    features = graph.nodes.iloc[: graph.n_features]
    grid = torch.zeros(n_layers, len(graph.tokens), dtype=torch.float64)
    index = tuple(torch.from_numpy(features[name].to_numpy("int64").copy()) for name in ("layer", "position"))
    grid.index_put_(index, torch.from_numpy(features["influence"].to_numpy("float64").copy()), accumulate=True)
    return grid


def effect_grid(graph: Graph, logit_row: int, n_layers: int) -> Float[Tensor, "layer position"]:
    """Return what features add directly to an output, signs kept, by the layer that they read at and their position."""
    features = graph.nodes.iloc[: graph.n_features]
    grid = torch.zeros(n_layers, len(graph.tokens), dtype=torch.float64)
    index = tuple(torch.from_numpy(features[name].to_numpy("int64").copy()) for name in ("layer", "position"))
    return grid.index_put_(
        index, graph.weights[graph.n_features + logit_row, : graph.n_features].double(), accumulate=True
    )


def carried(graph: Graph, n_layers: int) -> Float[Tensor, "layer position"]:
    """Return the influence that stands in the residual stream behind each layer and is read above it.

    An edge counts at the position of its source, from the layer of the source up to below that of its target. What
    attention carries elsewhere on the way counts where it came from.
    """
    nodes, n_features = graph.nodes, graph.n_features
    reach = torch.from_numpy(nodes["influence"].to_numpy("float64")[graph.target_index].copy())
    reach[n_features:] = graph.probability.double()
    weights = graph.weights.double().abs() * (reach / graph.incoming.double().clamp_min(1e-10))[:, None]
    target_layer = torch.full((len(weights),), n_layers)
    target_layer[:n_features] = graph.feature_layer
    by_target = torch.zeros(n_layers + 1, weights.shape[1], dtype=torch.float64).index_add_(0, target_layer, weights)
    # Row l: read above layer l.
    above = by_target.flip(0).cumsum(0).flip(0)[1:]
    sources = nodes.iloc[graph.source_index]
    kind = sources["kind"].astype(str).to_numpy()
    written = torch.from_numpy(sources["layer"].to_numpy("int64").copy())
    written[torch.from_numpy(kind == "token")] = 0
    counts = torch.from_numpy((kind != "bias").copy())[None] & (written[None] <= torch.arange(n_layers)[:, None])
    position = torch.from_numpy(sources["position"].to_numpy("int64").copy())
    grid = torch.zeros(n_layers, len(graph.tokens), dtype=torch.float64)
    return grid.index_add_(1, position, above * counts)
