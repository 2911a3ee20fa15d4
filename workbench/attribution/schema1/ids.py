"""The ids of schema 1."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.attribution.graph import Graph

FEATURE_TYPES = {
    "feature": "cross layer transcoder",
    "error": "mlp reconstruction error",
    "token": "embedding",
    "logit": "logit",
}
KIND_OF_TYPE = {name: kind for kind, name in FEATURE_TYPES.items()}
# An output that is no token (a difference, a direction) stands in a token id's place under a number that no
# tokenizer reaches.
_VIRTUAL = 10_000_000


def cantor_pair(layer: int, feature: int) -> int:
    """Return the single number that schema 1 uses for a layer and a feature."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def cantor_unpair(number: int) -> tuple[int, int]:
    """Return the layer and the feature of ``cantor_pair``."""
    total = (isqrt(8 * number + 1) - 1) // 2
    feature = number - total * (total + 1) // 2
    return total - feature, feature


def output_number(node_id: str, at: int) -> int:
    """Return the token id of an output node, or a virtual one for an output that is no token.

    Args:
        at: the place of the node among the outputs.
    """
    kind, number, *_ = node_id.split("/")
    return int(number) if kind == "l" else _VIRTUAL + at


def names_of(graph: Graph) -> dict[str, str]:
    """Return the schema-1 id of every node but the biases; an error whose id is taken gets the suffix ``_err``."""
    n_layers = int(graph.info["n_layers"])
    names: dict[str, str] = {}
    taken: set[str] = set()
    outputs = 0
    columns = (graph.nodes["node_id"], graph.nodes["kind"], graph.nodes["position"])
    for node_id, kind, position in zip(*columns, strict=True):
        parts = str(node_id).split("/")
        if kind == "feature":
            name = f"{parts[1]}_{parts[2]}_{parts[3]}"
        elif kind == "error":
            name = f"0_{parts[1]}_{parts[2]}"
            if name in taken:
                name += "_err"
        elif kind == "token":
            name = f"E_{graph.token_ids[position]}_{position}"
        elif kind == "logit":
            name = f"{n_layers + 1}_{output_number(str(node_id), outputs)}_{position}"
            outputs += 1
        else:
            continue
        taken.add(name)
        names[str(node_id)] = name
    return names


def usual_clerp(kind: str, token: str, probability: float) -> str:
    """Return the label that a node has when nobody has given it one."""
    if kind == "logit":
        # An output that is no token has no probability.
        return f'Output "{token}" (p={probability:.3f})' if probability == probability else token
    return {"feature": "", "token": f'Emb: "{token}"', "error": f'Err: mlp "{token}"'}[kind]
