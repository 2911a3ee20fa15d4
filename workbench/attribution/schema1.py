"""Export to graph JSON schema 1, the format of circuit-tracer and of Neuronpedia's viewer.

The ids of that schema appear here alone. In it the error of layer l at position p and feature l of layer 0
at p share the id ``0_l_p``: an error whose id is taken gets the suffix ``_err``. Schema 1 has no bias nodes,
so only their totals are exported, in the metadata.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.attribution.graph import Graph

_FEATURE_TYPES = {
    "feature": "cross layer transcoder",
    "error": "mlp reconstruction error",
    "token": "embedding",
    "logit": "logit",
}


def cantor_pair(layer: int, feature: int) -> int:
    """Return the single number that schema 1 uses for a layer and a feature."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def to_schema1(graph: Graph, *, slug: str = "graph", pinned: Sequence[str] = ()) -> dict[str, Any]:
    """Return a graph as a schema-1 dictionary, ready for JSON.

    Args:
        pinned: node ids to pin in the viewer.
    """
    n_layers = int(graph.info["n_layers"])
    names, target = _names(graph, n_layers), _target(graph)
    nodes = []
    for row in graph.nodes.to_dict("records"):
        kind, position = row["kind"], row["position"]
        if kind == "bias":
            continue
        is_feature, is_logit = kind == "feature", kind == "logit"
        name = names[row["node_id"]]
        clerp = row["label"]
        if is_logit:
            clerp = f'Output "{row["token"]}" (p={row["probability"]:.3f})'
        elif kind == "token":
            clerp = f'Emb: "{row["token"]}"'
        elif kind == "error":
            clerp = f'Err: mlp "{row["token"]}"'
        layer = {"token": "E", "logit": str(n_layers + 1)}.get(kind, str(row["layer"]))
        token = int(row["node_id"].split("/")[1]) if is_logit else graph.token_ids[position]
        # The schema's ``feature`` is a number for every node, and its ``jsNodeId`` another spelling of the id.
        feature, js_name = {
            "feature": (cantor_pair(row["layer"], row["feature"]), f"{row['layer']}_{row['feature']}-0"),
            "error": (-1, f"{row['layer']}_-1-{position}"),
            "token": (position, f"E_{token}-{position}"),
            "logit": (token, f"L_{token}-{position}"),
        }[kind]
        nodes.append(
            {
                "node_id": name,
                "feature": feature,
                "layer": layer,
                "ctx_idx": position,
                "feature_type": _FEATURE_TYPES[kind],
                "token_prob": float(row["probability"]) if is_logit else 0.0,
                "is_target_logit": is_logit and token == target,
                "run_idx": 0,
                "reverse_ctx_idx": 0,
                "jsNodeId": js_name,
                "clerp": clerp,
                "influence": float(row["influence"]) if not is_logit else None,
                "activation": float(row["activation"]) if is_feature else None,
            }
        )
    edges = graph.edges
    # By category code: an edge's two ids are looked up in a list, not hashed as texts.
    spelled = [names.get(node_id) for node_id in graph.nodes["node_id"]]
    codes = zip(edges["source"].cat.codes.tolist(), edges["target"].cat.codes.tolist(), strict=True)
    links = [
        {"source": spelled[source], "target": spelled[target], "weight": weight}
        for (source, target), weight in zip(codes, edges["weight"].tolist(), strict=True)
        if spelled[source] is not None
    ]
    return {
        "metadata": {
            "slug": slug,
            "scan": graph.info["model"],
            "transcoder_list": [graph.info["clt"]],
            "prompt_tokens": list(graph.tokens),
            "prompt": graph.prompt,
            "node_threshold": graph.info.get("node_threshold", 1.0),
            "schema_version": 1,
            "bias_totals": _bias_totals(graph, names),
        },
        "qParams": {
            "pinnedIds": [names[node] for node in pinned],
            "supernodes": [],
            "linkType": "both",
            "clickedId": "",
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": links,
    }


def _target(graph: Graph) -> int:
    logits = graph.nodes.loc[graph.nodes["kind"] == "logit"]
    best = int(np.argmax(logits["probability"].to_numpy()))
    return int(str(logits["node_id"].iloc[best]).split("/")[1])


def _names(graph: Graph, n_layers: int) -> dict[str, str]:
    """Return the schema-1 id of every node but the biases."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for node_id, kind in zip(graph.nodes["node_id"], graph.nodes["kind"], strict=True):
        parts = str(node_id).split("/")
        if kind == "feature":
            name = f"{parts[1]}_{parts[2]}_{parts[3]}"
        elif kind == "error":
            name = f"0_{parts[1]}_{parts[2]}"
            if name in taken:
                name += "_err"
        elif kind == "token":
            name = f"E_{graph.token_ids[int(parts[1])]}_{parts[1]}"
        elif kind == "logit":
            name = f"{n_layers + 1}_{parts[1]}_{parts[2]}"
        else:
            continue
        taken.add(name)
        names[str(node_id)] = name
    return names


def _bias_totals(graph: Graph, names: dict[str, str]) -> dict[str, float]:
    kinds = graph.nodes["kind"].to_numpy()
    is_bias = kinds[graph.source_index] == "bias"
    totals = graph.weights[:, is_bias].sum(dim=1).tolist()
    targets = graph.nodes["node_id"].to_numpy()[graph.target_index]
    return {names[str(target)]: total for target, total in zip(targets, totals, strict=True)}
