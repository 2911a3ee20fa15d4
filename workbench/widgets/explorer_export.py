"""What an explorer holds, as a file that other viewers read, and as code that brings it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from workbench.attribution import Graph
from workbench.attribution.engine import DEFAULT_CAP
from workbench.attribution.schema1 import to_schema1
from workbench.errors import ConfigError
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
    """Return Python code that makes the graph anew, as it was made, and brings the explorer's state back.

    What a graph was asked for (its targets, its cap, its precision) is known of those that were made here; of a file
    from elsewhere the code takes the defaults.

    Raises:
        ConfigError: the graph's file names a target that is none.
    """
    lines = []
    for trait, argument in _ARGUMENTS.items():
        value = getattr(explorer, trait)
        if value == explorer.traits()[trait].default():
            continue
        if trait == "supernodes":
            value = {group["name"]: group["ids"] for group in value}
        lines.append(f"{argument}={_literal(value)}")
    graph = explorer.graph
    thresholds = [f"{name}={graph.info[name]!r}" for name in ("node_threshold", "edge_threshold") if name in graph.info]
    pruned = f".prune({', '.join(thresholds)})" if thresholds else ""
    prompt, asked = _prompt(graph), _asked(graph)
    # A text may say anything; as code it begins with a quotation mark.
    names = " ".join([*asked, *([prompt] if prompt.startswith("torch.") else [])])
    needed = "import torch\n" if "torch." in names else ""
    needed += "import workbench as wb\n" if "wb." in names else ""
    if "directions[" in names:
        needed += "\n# Name → vector, of those that the graph was asked for: it does not hold them.\ndirections = {}\n"
    needed += "\n" if needed else ""
    made, shown = _call("bench.attribute", prompt, asked), _call("bench.explore", "graph", lines)
    return f"{needed}graph = {made}{pruned}\nexplorer = {shown}\n"


def _call(function: str, first: str, options: list[str]) -> str:
    """Return a call, with a line for each of its options where it has some."""
    if not options:
        return f"{function}({first})"
    lines = "".join(f"    {line},\n" for line in (first, *options))
    return f"{function}(\n{lines})"


def _prompt(graph: Graph) -> str:
    """Return what the graph was made from as code.

    It is the text, or the tokens where that text alone would give other ones: those of a chat, say.
    """
    if "".join(graph.tokens[1:]) == graph.prompt:
        return repr(graph.prompt)
    return f"torch.tensor({list(graph.token_ids)})"


def _asked(graph: Graph) -> list[str]:
    """Return the options that the graph was made with, as far as they are not the defaults."""
    options = []
    targets, cap = graph.info.get("targets"), graph.info.get("cap", DEFAULT_CAP)
    if targets is not None:
        last = len(graph.tokens) - 1
        options.append(f"targets=[{', '.join(_target(str(node), last) for node in targets)}]")
    if cap != DEFAULT_CAP and (cap is None or isinstance(cap, int)):
        options.append(f"cap={cap!r}")
    if graph.info.get("precision") == "bfloat16":
        options.append("precision=torch.bfloat16")
    return options


def _target(node_id: str, last: int) -> str:
    """Return the target of an output by its node id, see :mod:`workbench.attribution.targets`, as code."""
    try:
        match node_id.split("/"):
            case "l", token, at:
                if int(at) == last:
                    return str(int(token))
                name, values = "LogitTarget", [str(int(token))]
            case "d", plus, minus, at:
                name, values = "DifferenceTarget", [_tokens(plus), _tokens(minus)]
            case "p", layer, feature, at:
                name, values = "FeatureTarget", [str(int(layer)), str(int(feature))]
            case "r", direction, layer, at:
                name, values = "DirectionTarget", [f"directions[{direction!r}]", repr(direction)]
                if layer != "final":
                    values.append(f"layer={int(layer)}")
            case _:
                raise ValueError
        # The last position is the default.
        where = [] if int(at) == last else [f"position={int(at)}"]
    except ValueError:
        raise ConfigError(f"The graph's target {node_id!r} is no output: make the graph anew.") from None
    return f"wb.{name}({', '.join([*values, *where])})"


def _tokens(ids: str) -> str:
    """Return one side of a difference: a token's id, or a list of several."""
    tokens = [int(token) for token in ids.split("+")]
    return repr(tokens if len(tokens) > 1 else tokens[0])


def _literal(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) > 1:
        inner = "".join(f"        {name!r}: {part!r},\n" for name, part in value.items())
        return f"{{\n{inner}    }}"
    return repr(value)
