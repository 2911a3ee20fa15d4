"""The nodes of a file as a graph's table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.attribution.graph import KINDS
from workbench.attribution.schema1.check import Node

# The labels that writers give to nodes that nobody has named.
_USUAL = {
    "feature": re.compile(""),
    "error": re.compile(r"Err: mlp .*|", re.DOTALL),
    "token": re.compile(r"Emb: .*|", re.DOTALL),
    "logit": re.compile(r'Output "(.*)" \(p=[^()]*\)|', re.DOTALL),
}


def own_outputs(own: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return, by schema id, what our own files tell of the output nodes: node_id, token, layer."""
    outputs = own.get("outputs")
    return {
        str(name): known
        for name, known in (outputs.items() if isinstance(outputs, Mapping) else ())
        if isinstance(known, Mapping) and type(known.get("layer")) is int and {"node_id", "token"} <= set(known)
    }


def table_of(
    nodes: Sequence[Node], ids: Sequence[str], tokens: tuple[str, ...], n_layers: int, own: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the nodes as a table, without influence and supernodes.

    Args:
        own: what ``to_schema1`` has put into ``metadata.workbench``.
    """
    outputs = own_outputs(own)
    layer, token, probability, label = [], [], [], []
    for node, node_id in zip(nodes, ids, strict=True):
        known = outputs.get(node.name) if node.kind == "logit" else None
        usual = _USUAL[node.kind].fullmatch(node.clerp)
        if known is not None:
            text, at = str(known["token"]), int(known["layer"])
            # An output that is no token shows its own text.
            named = not usual and (node.clerp != text or node_id.startswith("l/"))
        elif node.kind == "logit":
            text, at = (usual[1] if usual and usual[1] is not None else node.clerp) or str(node.number), n_layers
            named = not usual
        else:
            text, at, named = tokens[node.position], max(node.layer, 0), not usual
        layer.append(at)
        token.append(text)
        label.append(node.clerp if named else "")
        probability.append(node.probability if node_id.startswith("l/") else float("nan"))
    return pd.DataFrame(
        {
            "node_id": list(ids),
            "kind": pd.Categorical([node.kind for node in nodes], categories=KINDS),
            "layer": np.array(layer, dtype=np.int32),
            "position": np.array([node.position for node in nodes], dtype=np.int32),
            "feature": np.array([n.number if n.kind == "feature" else -1 for n in nodes], dtype=np.int32),
            "token": pd.Categorical(token),
            "activation": np.array([n.activation if n.kind == "feature" else np.nan for n in nodes], dtype=np.float32),
            "influence": np.zeros(len(nodes), dtype=np.float32),
            "label": label,
            "supernode": "",
            "probability": np.array(probability, dtype=np.float32),
        }
    )
