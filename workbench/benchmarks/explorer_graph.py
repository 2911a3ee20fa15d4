"""A graph of any size that looks like an attribution graph, without a model: for measuring how it is drawn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from workbench.attribution import Graph
from workbench.attribution.graph import KINDS
from workbench.attribution.scores import graph_scores
from workbench.errors import ConfigError

LAYERS = 26
TOKENS = 24
LOGITS = 10


def synthetic_graph(n_nodes: int, n_edges: int, *, seed: int = 0) -> Graph:
    """Return a graph of 26 layers over 24 tokens with random edges: upwards, and never back to an earlier token.

    Influence and scores are those that the edges give. Every feature has an edge in and an edge out.

    Args:
        n_nodes: features, errors, 24 tokens and 10 outputs together.

    Raises:
        ConfigError: so many nodes cannot have so many edges.
    """
    rng = np.random.default_rng(seed)
    n_errors = min(LAYERS * (TOKENS - 1), (n_nodes - TOKENS - LOGITS) // 8)
    n_features = n_nodes - TOKENS - LOGITS - n_errors
    if n_features < LAYERS or not 2 * n_features <= n_edges <= n_features**2 // 16:
        raise ConfigError(
            f"A graph of {n_nodes} nodes cannot have {n_edges} edges here: give at least {TOKENS + LOGITS + 2 * LAYERS}"
            " nodes, and from 2 to a sixteenth as many edges a node as there are nodes."
        )
    nodes = _nodes(n_features, n_errors, rng)
    weights = _weights(nodes, n_features, n_edges, rng)
    kind = nodes["kind"].to_numpy()[: n_nodes - LOGITS]
    scores, total = graph_scores(
        weights,
        is_error=torch.from_numpy(kind == "error"),
        is_token=torch.from_numpy(kind == "token"),
        feature_layer=torch.from_numpy(nodes["layer"].to_numpy(np.int64)[:n_features].copy()),
        probability=torch.from_numpy(nodes["probability"].to_numpy()[-LOGITS:].copy()),
        row_sum_error=0.0,
    )
    tokens = ("<s>", *(f" word{at}" for at in range(1, TOKENS)))
    return Graph(
        prompt="".join(tokens[1:]).strip(),
        tokens=tokens,
        token_ids=tuple(range(TOKENS)),
        nodes=nodes.assign(influence=np.concatenate([total.numpy(), np.zeros(LOGITS, np.float32)])),
        weights=weights,
        incoming=weights.abs().sum(dim=1),
        full_scores=scores,
        info={"model": "synthetic", "n_layers": LAYERS, "seed": seed},
    )


def _nodes(n_features: int, n_errors: int, rng: np.random.Generator) -> pd.DataFrame:
    """Return the table of nodes, without influence: features by layer and position, errors, tokens, outputs."""
    place = np.sort(rng.integers(0, LAYERS * (TOKENS - 1), n_features))
    # Errors stand at every layer and position, as far as there are enough of them.
    error = np.sort(rng.permutation(LAYERS * (TOKENS - 1))[:n_errors])
    layer = [place // (TOKENS - 1), error // (TOKENS - 1), np.zeros(TOKENS), np.full(LOGITS, LAYERS)]
    position = [1 + place % (TOKENS - 1), 1 + error % (TOKENS - 1), np.arange(TOKENS), np.full(LOGITS, TOKENS - 1)]
    feature = np.arange(n_features)
    ids = [
        *(f"f/{at // (TOKENS - 1)}/{index}/{1 + at % (TOKENS - 1)}" for index, at in enumerate(place.tolist())),
        *(f"e/{at // (TOKENS - 1)}/{1 + at % (TOKENS - 1)}" for at in error.tolist()),
        *(f"t/{at}" for at in range(TOKENS)),
        *(f"l/{at}/{TOKENS - 1}" for at in range(LOGITS)),
    ]
    rest = n_errors + TOKENS + LOGITS
    at = np.concatenate(position).astype(np.int32)
    tokens = ["<s>", *(f" word{token}" for token in range(1, TOKENS))]
    probability = np.full(n_features + rest, np.nan, np.float32)
    probability[-LOGITS:] = 0.5 ** np.arange(1, LOGITS + 1)
    sizes = (n_features, n_errors, TOKENS, LOGITS)
    return pd.DataFrame(
        {
            "node_id": ids,
            "kind": pd.Categorical(np.repeat(["feature", "error", "token", "logit"], sizes), categories=KINDS),
            "layer": np.concatenate(layer).astype(np.int32),
            "position": at,
            "feature": np.concatenate([feature, np.full(rest, -1)]).astype(np.int32),
            "token": pd.Categorical(
                [*(tokens[where] for where in at[:-LOGITS]), *(f" out{at}" for at in range(LOGITS))]
            ),
            "activation": np.concatenate([rng.exponential(2, n_features), np.full(rest, np.nan)]).astype(np.float32),
            "influence": np.float32(0),
            "label": [*(f"→ ' word{index % 97}'" for index in range(n_features)), *[""] * rest],
            "supernode": "",
            "probability": probability,
        }
    )


def _weights(nodes: pd.DataFrame, n_features: int, n_edges: int, rng: np.random.Generator) -> torch.Tensor:
    """Return the matrix of random edges; few of them are strong, as in graphs of models."""
    n_sources = len(nodes) - LOGITS
    layer, position = (nodes[name].to_numpy() for name in ("layer", "position"))
    # Tokens come before the layers; rows of the matrix are features, then outputs.
    depth = np.where(nodes["kind"] == "token", -1, layer)
    of_row = np.concatenate([np.arange(n_features), np.arange(n_sources, len(nodes))])
    first_token = n_sources - TOKENS
    into = np.arange(n_features) * n_sources + first_token + position[:n_features]
    out = (n_features + rng.integers(0, LOGITS, n_features)) * n_sources + np.arange(n_features)
    found: Int[np.ndarray, " edge"] = np.concatenate([into, out])
    while len(found) < n_edges:
        row = rng.integers(0, len(of_row), 4 * n_edges)
        source = rng.integers(0, n_sources, 4 * n_edges)
        target = of_row[row]
        fits = (depth[source] < depth[target]) & (position[source] <= position[target])
        drawn = np.setdiff1d((row * n_sources + source)[fits], found)
        found = np.concatenate([found, rng.permutation(drawn)[: n_edges - len(found)]])
    size = rng.lognormal(0, 1.5, n_edges) * rng.choice([1.0, 1.0, -1.0], n_edges)
    weights = torch.zeros(len(of_row), n_sources)
    weights.view(-1)[torch.from_numpy(found)] = torch.from_numpy(size).float()
    return weights
