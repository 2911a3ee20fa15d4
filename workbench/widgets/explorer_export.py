"""What an explorer holds, as a file that other viewers read, and as code that brings it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.attribution import Graph
from workbench.attribution.schema1 import to_schema1
from workbench.widgets.explorer_state import ExplorerState

# What schema 1 calls the link modes.
_LINK_TYPES = {"either": "either", "in": "input", "out": "output", "both": "both"}

# Traits and the constructor's arguments that set them, in the order in which they are read best.
_ARGUMENTS = {
    "selected_ids": "selected",
    "pinned_ids": "pinned",
    "supernodes": "supernodes",
    "labels": "labels",
    "node_threshold": "node_threshold",
    "density_threshold": "density_threshold",
    "show_errors": "show_errors",
    "show_biases": "show_biases",
    "link_mode": "link_mode",
    "colour_by": "colour_by",
    "view": "view",
}


def chosen_graph(explorer: ExplorerState) -> Graph:
    """Return the explorer's graph with all that schema 1 has a place for: names, supernodes, pins, the clicked node."""
    graph = explorer.graph
    # Schema 1 has no bias nodes.
    exported = [node for node in explorer.pinned_ids if not node.startswith("b/")]
    q_params = {
        **graph.info.get("q_params", {}),
        "pinned": exported,
        "clicked": explorer.selected_ids[-1] if explorer.selected_ids else "",
        "link_type": _LINK_TYPES[explorer.link_mode],
    }
    return replace(graph, info={**graph.info, "q_params": q_params})


def schema1_text(explorer: ExplorerState) -> str:
    """Return the explorer's graph as graph JSON schema 1, see :func:`workbench.attribution.schema1.to_schema1`."""
    return json.dumps(to_schema1(chosen_graph(explorer)), ensure_ascii=False, allow_nan=False)


def snippet(explorer: ExplorerState) -> str:
    """Return Python code that makes the graph anew, with the usual targets, and brings the explorer's state back."""
    lines = []
    for trait, argument in _ARGUMENTS.items():
        value = getattr(explorer, trait)
        if value == explorer.traits()[trait].default():
            continue
        if trait == "supernodes":
            value = {group["name"]: group["ids"] for group in value}
        lines.append(f"    {argument}={_literal(value)},\n")
    explored = "graph,\n" + "".join(lines) if lines else "graph"
    opened = f"bench.explore(\n    {explored})" if lines else f"bench.explore({explored})"
    graph = explorer.graph
    thresholds = [f"{name}={graph.info[name]!r}" for name in ("node_threshold", "edge_threshold") if name in graph.info]
    pruned = f".prune({', '.join(thresholds)})" if thresholds else ""
    prompt, needed = _prompt(graph)
    return f"{needed}graph = bench.attribute({prompt}){pruned}\nexplorer = {opened}\n"


def _prompt(graph: Graph) -> tuple[str, str]:
    """Return what the graph was made from as code, and the import that this needs.

    It is the text, or the tokens where that text alone would give other ones: those of a chat, say.
    """
    if "".join(graph.tokens[1:]) == graph.prompt:
        return repr(graph.prompt), ""
    return f"torch.tensor({list(graph.token_ids)})", "import torch\n\n"


def _literal(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) > 1:
        inner = "".join(f"        {name!r}: {part!r},\n" for name, part in value.items())
        return f"{{\n{inner}    }}"
    return repr(value)
