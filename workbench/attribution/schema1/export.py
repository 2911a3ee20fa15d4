"""From a graph to schema 1."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from workbench.attribution.graph import Graph
from workbench.attribution.schema1.ids import FEATURE_TYPES, cantor_pair, names_of, output_number, usual_clerp
from workbench.errors import ConfigError

# Fields of ``info`` that stand in places of their own in a file.
_PLACED = ("slug", "metadata", "bias_totals", "q_params")


def to_schema1(graph: Graph, *, slug: str | None = None, pinned: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a graph as a schema-1 dictionary, ready for JSON.

    Labels become ``clerp``, supernodes ``qParams.supernodes``. Schema 1 has no bias nodes: only their totals are
    exported, in the metadata. What else it has no place for (the influence itself, Σ|incoming| of the unpruned graph,
    scores, ``info``) stands in ``metadata.workbench``, so that ``from_schema1`` gives back the same graph.

    Args:
        slug: the graph's name in a viewer; by default the one that it was imported with, or ``"graph"``.
        pinned: node ids to pin in the viewer; by default those that were pinned in the file that it came from.

    Raises:
        ConfigError: the graph has no node with one of the pinned ids.
    """
    info = graph.info
    names = names_of(graph)
    q_params = dict(info.get("q_params", {}))
    if pinned is None:
        pinned = [node for node in q_params.get("pinned", ()) if node in names]
    unknown = [node for node in pinned if node not in names]
    if unknown:
        raise ConfigError(f"The graph has no node {unknown[0]!r} to pin: take an id from graph.nodes['node_id'].")
    clt = info.get("clt", "")
    metadata = {
        "slug": slug if slug is not None else info.get("slug", "graph"),
        "scan": info["model"],
        "transcoder_list": [clt] if clt else [],
        "prompt_tokens": list(graph.tokens),
        "prompt": graph.prompt,
        "node_threshold": info.get("node_threshold", 1.0),
        "schema_version": 1,
        **info.get("metadata", {}),
        **_pruning_settings(info),
        "bias_totals": _bias_totals(graph, names),
        "workbench": _own(graph, names),
    }
    return {
        "metadata": metadata,
        "qParams": {
            "pinnedIds": [names[node] for node in pinned],
            "supernodes": _supernodes(graph, names),
            "linkType": q_params.get("link_type", "both"),
            "clickedId": names.get(q_params.get("clicked", ""), ""),
            "sg_pos": q_params.get("sg_pos", ""),
        },
        "nodes": _nodes(graph, names),
        "links": _links(graph, names),
    }


def _nodes(graph: Graph, names: Mapping[str, str]) -> list[dict[str, Any]]:
    n_layers, outputs = int(graph.info["n_layers"]), 0
    target = int(np.flatnonzero(graph.nodes["kind"] == "logit")[int(graph.probability.argmax())])
    cumulative = _cumulative_influence(graph)
    nodes = []
    for at, row in enumerate(graph.nodes.to_dict("records")):
        kind, position = row["kind"], row["position"]
        if kind == "bias":
            continue
        is_feature, is_logit = kind == "feature", kind == "logit"
        number = graph.token_ids[position]
        if is_logit:
            number = output_number(row["node_id"], outputs)
            outputs += 1
        # The schema's ``feature`` is a number for every node, and its ``jsNodeId`` another spelling of the id.
        feature, js_name = {
            "feature": (cantor_pair(row["layer"], row["feature"]), f"{row['layer']}_{row['feature']}-0"),
            "error": (-1, f"{row['layer']}_-1-{position}"),
            "token": (position, f"E_{number}-{position}"),
            "logit": (number, f"L_{number}-{position}"),
        }[kind]
        probability = float(row["probability"])
        nodes.append(
            {
                "node_id": names[row["node_id"]],
                "feature": feature,
                "layer": {"token": "E", "logit": str(n_layers + 1)}.get(kind, str(row["layer"])),
                "ctx_idx": position,
                "feature_type": FEATURE_TYPES[kind],
                # An output that is no token counts in full.
                "token_prob": (1.0 if np.isnan(probability) else probability) if is_logit else 0.0,
                "is_target_logit": at == target,
                "run_idx": 0,
                "reverse_ctx_idx": 0,
                "jsNodeId": js_name,
                "clerp": row["label"] or usual_clerp(kind, str(row["token"]), probability),
                "influence": cumulative.get(row["node_id"]),
                "activation": _finite(row["activation"]) if is_feature else None,
            }
        )
    return nodes


def _links(graph: Graph, names: Mapping[str, str]) -> list[dict[str, Any]]:
    # Row by row of the matrix, as circuit-tracer has them.
    matrix = graph.weights.float()
    target, source = matrix.nonzero(as_tuple=True)
    weights = matrix[target, source].tolist()
    spelled = [names.get(node_id) for node_id in graph.nodes["node_id"]]
    ends = zip(graph.source_index[source.numpy()].tolist(), graph.target_index[target.numpy()].tolist(), strict=True)
    return [
        {"source": spelled[start], "target": spelled[end], "weight": weight}
        for (start, end), weight in zip(ends, weights, strict=True)
        if spelled[start] is not None
    ]


def _supernodes(graph: Graph, names: Mapping[str, str]) -> list[list[str]]:
    """Return each supernode as its label and its members, in the order of their first members."""
    groups: dict[str, list[str]] = {}
    for node_id, supernode in zip(graph.nodes["node_id"], graph.nodes["supernode"], strict=True):
        if supernode and node_id in names:
            groups.setdefault(str(supernode), []).append(names[node_id])
    return [[label, *members] for label, members in groups.items()]


def _cumulative_influence(graph: Graph) -> dict[str, float]:
    """Return what the schema calls influence, by node.

    An imported graph keeps the file's own numbers. Elsewhere it is the share of the unpruned graph's influence that a
    node and all more influential ones in the graph have (a little less than in the unpruned graph where one of
    those was left out for want of edges). What pruning keeps whatever its influence (tokens, errors) ends
    at the threshold: a viewer that opens there shows all nodes.
    """
    nodes = graph.nodes[~graph.nodes["kind"].isin(("bias", "logit"))]
    kept = graph.info.get("cumulative_influence")
    if kept is not None:
        return {str(node): kept[node] for node in nodes["node_id"] if node in kept}
    influence = np.nan_to_num(nodes["influence"].to_numpy(np.float64))
    order = np.argsort(-influence, kind="stable")
    limit = float(graph.info.get("node_threshold", 1.0))
    # A graph that was pruned elsewhere does not tell: what it has is then the share that was asked for.
    total = float(graph.info.get("total_influence", influence.sum() / max(limit, 1e-10)))
    cumulative = np.empty(len(nodes))
    cumulative[order] = influence[order].cumsum() / (total if total > 0 else 1.0)
    return dict(zip(nodes["node_id"].astype(str), cumulative.clip(0, limit).tolist(), strict=True))


def _bias_totals(graph: Graph, names: Mapping[str, str]) -> dict[str, float]:
    targets = graph.nodes["node_id"].to_numpy()[graph.target_index]
    kept = graph.info.get("bias_totals")
    if kept is not None:
        return {names[node]: kept[node] for node in targets if node in kept}
    is_bias = graph.nodes["kind"].to_numpy()[graph.source_index] == "bias"
    totals = graph.weights[:, is_bias].sum(dim=1).tolist()
    return {names[node]: total for node, total in zip(targets, totals, strict=True)}


def _pruning_settings(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds where Neuronpedia looks for them."""
    settings = {name: info[name] for name in ("node_threshold", "edge_threshold") if name in info}
    return {"pruning_settings": settings} if settings else {}


def _own(graph: Graph, names: Mapping[str, str]) -> dict[str, Any]:
    """Return what schema 1 has no place for."""
    nodes = graph.nodes
    targets = [names[str(node)] for node in nodes["node_id"].to_numpy()[graph.target_index]]
    logits = nodes[nodes["kind"] == "logit"]
    influence = zip(nodes["node_id"], nodes["influence"].to_numpy(np.float64).tolist(), strict=True)
    return {
        "info": {key: value for key, value in graph.info.items() if key not in _PLACED and _is_json(value)},
        "scores": {name: _finite(score) for name, score in graph.full_scores._asdict().items()},
        "token_ids": list(graph.token_ids),
        "outputs": {
            names[row["node_id"]]: {key: row[key] for key in ("node_id", "token", "layer")}
            for row in logits.to_dict("records")
        },
        "influence": {names[node]: _finite(value) for node, value in influence if node in names},
        "incoming": dict(zip(targets, graph.incoming.float().tolist(), strict=True)),
    }


def _finite(value: float) -> float | None:
    # JSON has neither NaN nor infinity.
    return float(value) if np.isfinite(value) else None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
