"""From schema 1 to a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.attribution.graph import Graph, GraphScores
from workbench.attribution.influence import influence
from workbench.attribution.schema1.check import Node, read_links, read_nodes, read_part, read_tokens
from workbench.attribution.schema1.matrix import matrix_of
from workbench.attribution.schema1.table import own_outputs, table_of
from workbench.errors import FormatError
from workbench.files import read_json
from workbench.memory import require_memory

# Fields of the metadata that are read; the others are kept as they are.
_READ = (
    "slug", "scan", "transcoder_list", "prompt_tokens", "prompt", "node_threshold", "schema_version",
    "bias_totals", "pruning_settings", "workbench",
)  # fmt: skip
_ORDER = {"feature": 0, "error": 1, "token": 2, "logit": 3}
# What Python's objects take for a byte of the file, at the most: measured with short links.
_BYTES_PER_BYTE = 8


def from_schema1(source: Path | str | Mapping[str, Any]) -> Graph:
    """Return the graph of a schema-1 file, as circuit-tracer, Neuronpedia and ``to_schema1`` write it.

    A node is known by its id and its type. A link names ids alone, and where a feature and an error share one:

    - a target is the feature, because nothing points to an error;
    - of two links from one id to one target, the first is the feature's and the second the error's, in the order in
      which circuit-tracer writes nodes;
    - one link alone is the feature's, and ``info["ambiguous_links"]`` counts those that the error could have had (its
      layer lies below the target's).

    The graph holds what the file holds: ``weights`` is dense, ``incoming`` is Σ|weight| of the links that are there,
    the influence is that of the imported graph, and scores are NaN, except where ``to_schema1`` or the metadata
    (``replacement_score``, ``completeness_score``) tell more. ``info`` says so under ``imported``, and keeps
    what else the file has: ``slug``, ``q_params`` (``pinned``, ``clicked``, ``link_type``, ``sg_pos``), ``metadata``,
    ``cumulative_influence`` (the file's own influence) and ``bias_totals``.

    Args:
        source: the path of a JSON file, or what is in it.

    Raises:
        FormatError: the file is no graph in schema 1: a field is missing or unusable, a node stands there twice, a link
            ends nowhere or points backwards.
        ResourceError: memory will not hold the file or the matrix.
    """
    if isinstance(source, Mapping):
        return _graph(source, "")
    path = Path(source)
    if path.exists():
        require_memory(_BYTES_PER_BYTE * path.stat().st_size, f"Reading {path}", "prune the graph before it is written")
    document = read_json(path)
    try:
        return _graph(document, str(path))
    except FormatError as error:
        raise FormatError(f"{path} cannot be read: {error}") from error


def _graph(document: Mapping[str, Any], origin: str) -> Graph:
    metadata: Mapping[str, Any] = read_part(document, "metadata", Mapping)
    tokens = read_tokens(metadata)
    nodes = read_nodes(read_part(document, "nodes", Sequence), len(tokens))
    links = read_links(read_part(document, "links", Sequence))
    own = metadata.get("workbench")
    own = own if isinstance(own, Mapping) else {}
    # Features by layer, as every graph has them; logits stay in their order.
    nodes.sort(key=lambda n: (_ORDER[n.kind], *((n.layer, n.position, n.number) if n.kind != "logit" else ())))
    layers = [node.layer + 1 for node in nodes if node.kind in ("feature", "error")]
    n_layers = max([*layers, *(node.layer for node in nodes if node.kind == "logit")])

    weights, ambiguous = matrix_of(nodes, links)
    incoming = _by_name(own.get("incoming"), [n for n in nodes if n.kind in ("feature", "logit")])
    total = weights.abs().sum(dim=1) if incoming is None else torch.tensor(incoming)
    outputs = own_outputs(own)
    ids = [str(outputs[n.name]["node_id"]) if n.kind == "logit" and n.name in outputs else n.node_id for n in nodes]
    # An id that a feature and an error share means the feature, which comes first.
    id_of = {node.name: node_id for node, node_id in reversed(list(zip(nodes, ids, strict=True)))}
    table = table_of(nodes, ids, tokens, n_layers, own)
    reach = _by_name(own.get("influence"), nodes)
    table["influence"] = _influence(nodes, weights, total) if reach is None else np.array(reach, dtype=np.float32)
    q_params = document.get("qParams")
    groups = _supernodes(q_params, id_of)
    table["supernode"] = [groups.get(node_id, "") for node_id in ids]
    info = _info(metadata, own, nodes, n_layers, id_of)
    info["q_params"] = _q_params(q_params, id_of)
    if not own:
        # Our own files tell everything, so that nothing is left to warn of.
        info["imported"] = {
            "from": origin,
            "incoming": "Σ|weight| of the links in the file, which may have been pruned",
            "influence": "of the graph in the file",
        }
        info["cumulative_influence"] = {n.node_id: n.influence for n in nodes if np.isfinite(n.influence)}
    if ambiguous:
        info["ambiguous_links"] = ambiguous
    return Graph(
        prompt=str(metadata.get("prompt", "".join(tokens[1:]))),
        tokens=tokens,
        token_ids=_token_ids(nodes, own, len(tokens)),
        nodes=table,
        weights=weights,
        incoming=total,
        full_scores=_scores(metadata, own),
        info=info,
    )


def _influence(nodes: Sequence[Node], weights: Tensor, incoming: Tensor) -> np.ndarray:
    """Return the influence of each node in the imported graph, zero for logits."""
    layer = torch.tensor([node.layer for node in nodes if node.kind == "feature"], dtype=torch.long)
    probability = torch.tensor([node.probability for node in nodes if node.kind == "logit"])
    through = influence(weights.abs() / incoming[:, None].clamp_min(1e-10), layer, probability)
    return np.concatenate([through.numpy(), np.zeros(len(probability), dtype=np.float32)])


def _by_name(values: Any, nodes: Sequence[Node]) -> list[float] | None:
    """Return a number for each node from our own metadata; None where it does not tell all of them."""
    if not isinstance(values, Mapping):
        return None
    numbers = [values.get(node.name) for node in nodes]
    known = [float(number) for number in numbers if isinstance(number, int | float)]
    return known if len(known) == len(nodes) else None


def _supernodes(q_params: Any, id_of: Mapping[str, str]) -> dict[str, str]:
    """Return the supernode of each node that has one; the first counts where a node stands in several."""
    group: dict[str, str] = {}
    for entry in _list(q_params, "supernodes"):
        if isinstance(entry, list) and entry and all(isinstance(part, str) for part in entry):
            for name in entry[1:]:
                if name in id_of:
                    group.setdefault(id_of[name], entry[0])
    return group


def _list(q_params: Any, key: str) -> list[Any]:
    value = q_params.get(key) if isinstance(q_params, Mapping) else None
    return value if isinstance(value, list) else []


def _q_params(q_params: Any, id_of: Mapping[str, str]) -> dict[str, Any]:
    """Return what the viewer's state says, in our ids; ids that the graph does not have are left out."""
    fields = q_params if isinstance(q_params, Mapping) else {}
    return {
        "pinned": [id_of[name] for name in _list(q_params, "pinnedIds") if isinstance(name, str) and name in id_of],
        "clicked": id_of.get(str(fields.get("clickedId")), ""),
        "link_type": str(fields.get("linkType") or "both"),
        "sg_pos": str(fields.get("sg_pos") or ""),
    }


def _info(
    metadata: Mapping[str, Any], own: Mapping[str, Any], nodes: Sequence[Node], n_layers: int, id_of: Mapping[str, str]
) -> dict[str, Any]:
    clts = [str(name) for name in _list(metadata, "transcoder_list")]
    info: dict[str, Any] = {"model": str(metadata.get("scan", "unknown")), "clt": ", ".join(clts), "n_layers": n_layers}
    settings = metadata.get("pruning_settings")
    settings = settings if isinstance(settings, Mapping) else {}
    for name in ("node_threshold", "edge_threshold"):
        value = metadata.get(name, settings.get(name))
        if type(value) in (int, float) and not own:
            info[name] = value
    info["active_features"] = sum(node.kind == "feature" for node in nodes)
    if isinstance(own.get("info"), Mapping):
        info |= own["info"]
    info["slug"] = str(metadata.get("slug", "graph"))
    info["metadata"] = {key: value for key, value in metadata.items() if key not in _READ}
    totals = metadata.get("bias_totals")
    if isinstance(totals, Mapping):
        info["bias_totals"] = {id_of[name]: total for name, total in totals.items() if name in id_of}
    return info


def _token_ids(nodes: Sequence[Node], own: Mapping[str, Any], n_tokens: int) -> tuple[int, ...]:
    """Return the prompt's token ids, -1 where the file does not tell."""
    stored = own.get("token_ids")
    if isinstance(stored, list) and len(stored) == n_tokens and all(type(token) is int for token in stored):
        return tuple(stored)
    known = {node.position: node.number for node in nodes if node.kind == "token"}
    return tuple(known.get(position, -1) for position in range(n_tokens))


def _scores(metadata: Mapping[str, Any], own: Mapping[str, Any]) -> GraphScores:
    stored = own.get("scores")
    told = {"replacement": metadata.get("replacement_score"), "completeness": metadata.get("completeness_score")}
    told |= stored if isinstance(stored, Mapping) else {}
    values = [told.get(name) for name in GraphScores._fields]
    return GraphScores(*(float(value) if isinstance(value, int | float) else float("nan") for value in values))
