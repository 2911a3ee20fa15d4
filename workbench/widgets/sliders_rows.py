"""The rows of InterventionSliders: which feature nodes and supernodes have one, and what is shown of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd

from workbench.errors import ConfigError
from workbench.widgets.kit.plain import plain_text

Row: TypeAlias = dict[str, Any]
# Name → node ids, the explorer's list of {"name", "ids"}, or the names of supernodes that the graph has.
Supernodes: TypeAlias = Mapping[str, Sequence[str]] | Iterable[Mapping[str, Any]] | Iterable[str]

_COLUMNS = ("node_id", "kind", "layer", "feature", "position")
# A supernode's slider has this and its name for an id, as its card in the explorer; no node id begins so.
GROUP = "s/"
# So many nodes are offered for what was written so far: a list that is looked through, not searched.
_OFFERED = 20


def node_rows(nodes: pd.DataFrame) -> Iterator[Row]:
    """Yield the row of each feature node, every (layer, feature, position) once.

    Raises:
        ConfigError: there are none, columns are missing, or a node is no feature.
    """
    if not isinstance(nodes, pd.DataFrame):
        raise ConfigError(f"The nodes are a {type(nodes).__name__}: give rows of graph.nodes.")
    missing = [column for column in _COLUMNS if column not in nodes.columns]
    if missing:
        raise ConfigError(f"The nodes have no column {', '.join(missing)}: give rows of graph.nodes.")
    others = nodes[nodes["kind"].astype(str) != "feature"]
    if not others.empty:
        named = [f"{row.node_id} ({row.kind})" for row in others.itertuples()]
        raise ConfigError(
            f"Only features have an activation that can be scaled, which {some(named)} "
            f"{'is' if len(named) == 1 else 'are'} not: give feature nodes alone."
        )
    for row in nodes.drop_duplicates(["layer", "feature", "position"]).to_dict("records"):
        layer, feature, position = (int(row[name]) for name in ("layer", "feature", "position"))
        activation = row.get("activation")
        node_id = f"f/{layer}/{feature}/{position}"
        yield {
            "id": node_id,
            "members": [node_id],
            "layer": layer,
            "feature": feature,
            "position": position,
            "token": text(row.get("token")),
            "label": text(row.get("label")),
            "activation": float(activation) if activation is not None and math.isfinite(activation) else None,
        }


def group_rows(supernodes: Supernodes, catalogue: pd.DataFrame | None) -> Iterator[Row]:
    """Yield the row of each supernode; its members that are no features are left out.

    Args:
        catalogue: the rows of ``graph.nodes`` that there are, where the graph is known.

    Raises:
        ConfigError: a supernode is unknown, has no feature, or a member is not in the graph.
    """
    for name, ids in _named(supernodes, catalogue):
        features = list(dict.fromkeys(node_id for node_id in ids if node_id.startswith("f/")))
        if not features:
            raise ConfigError(f"The supernode {name!r} has no feature to scale: leave it out, or put one into it.")
        if catalogue is not None:
            known = set(catalogue["node_id"].astype(str))
            absent = [node_id for node_id in features if node_id not in known]
            if absent:
                raise ConfigError(f"The graph has no {some(absent)}, of the supernode {name!r}: take the graph's ids.")
        yield {
            "id": f"{GROUP}{name}",
            "members": features,
            "layer": None,
            "feature": None,
            "position": None,
            "token": "",
            "label": plain_text(name),
            "activation": None,
        }


def row_of(slider: str, catalogue: pd.DataFrame | None) -> Row:
    """Return the row of a node id, or of ``s/`` and the name of a supernode.

    Raises:
        ConfigError: it is not in the graph, or no feature.
    """
    catalogue = addable(catalogue)
    if slider.startswith(GROUP):
        (row,) = group_rows([slider.removeprefix(GROUP)], catalogue)
        return row
    found = catalogue[catalogue["node_id"].astype(str) == slider]
    if found.empty:
        raise ConfigError(f"The graph has no node {slider!r}: give the id of one of its features, such as f/12/311/5.")
    (row,) = node_rows(found)
    return row


def addable(catalogue: pd.DataFrame | None) -> pd.DataFrame:
    """Return the rows from which sliders can be added.

    Raises:
        ConfigError: there are none.
    """
    if catalogue is None:
        raise ConfigError(
            "These sliders were made without a graph to take nodes from: name the nodes when making them."
        )
    return catalogue


def dropped_groups(dropped: object) -> dict[str, list[str]]:
    """Return the supernodes that were dragged onto the sliders, name → node ids; anyone can drag anything there.

    Raises:
        ConfigError: they are no supernodes.
    """
    groups: dict[str, list[str]] = {}
    for group in dropped if isinstance(dropped, Sequence) else [dropped]:
        name, ids = (group.get("name"), group.get("node_ids")) if isinstance(group, Mapping) else (None, None)
        if not isinstance(name, str) or not isinstance(ids, list) or not all(isinstance(node, str) for node in ids):
            raise ConfigError("What was dropped is no supernode: drag one from an explorer of the same graph.")
        groups[name] = ids
    return groups


def offered(written: str, catalogue: pd.DataFrame | None, taken: Iterable[str]) -> list[dict[str, str]]:
    """Return what can get a slider and fits what was written: supernodes, then features, the most influential first."""
    if catalogue is None:
        return []
    wanted, taken = written.strip().casefold(), set(taken)
    groups = [(f"{GROUP}{name}", f"{len(ids)} nodes") for name, ids in _graph_groups(catalogue).items()]
    features = catalogue[catalogue["kind"].astype(str) == "feature"]
    if "influence" in features.columns:
        features = features.sort_values("influence", ascending=False, kind="stable")
    columns = [_texts(features, name) for name in ("node_id", "token", "position", "label")]
    nodes = ((node, f"{token!r} at {at} {label}".strip()) for node, token, at, label in zip(*columns, strict=True))
    found: list[dict[str, str]] = []
    for slider, name in (*groups, *nodes):
        if slider not in taken and wanted in f"{slider} {name}".casefold():
            found.append({"id": plain_text(slider), "name": plain_text(name)})
            if len(found) == _OFFERED:
                break
    return found


def labels(catalogue: pd.DataFrame | None) -> dict[str, str]:
    """Return the names of nodes that have one: node id → label."""
    if catalogue is None:
        return {}
    pairs = zip(_texts(catalogue, "node_id"), _texts(catalogue, "label"), strict=True)
    return {node_id: plain_text(label) for node_id, label in pairs if label}


def text(value: object) -> str:
    """Return text as UTF-8 can carry it; what is none as empty text."""
    return plain_text(value) if isinstance(value, str) else ""


def some(names: Sequence[str]) -> str:
    """Return the first three of some names, and how many more there are."""
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _named(supernodes: Supernodes, catalogue: pd.DataFrame | None) -> Iterator[tuple[str, list[str]]]:
    if isinstance(supernodes, str):
        raise ConfigError(f"The supernodes are the single text {supernodes!r}: give a list of names.")
    if isinstance(supernodes, Mapping):
        supernodes = [{"name": name, "ids": ids} for name, ids in supernodes.items()]
    groups = {} if catalogue is None else _graph_groups(catalogue)
    for group in supernodes:
        if isinstance(group, Mapping):
            yield str(group["name"]), [str(node_id) for node_id in group["ids"]]
        elif group in groups:
            yield str(group), groups[group]
        else:
            known = f"it has {some(list(groups))}" if groups else "name its nodes, {name: ids}"
            raise ConfigError(f"The graph has no supernode {group!r}: {known}.")


def _graph_groups(catalogue: pd.DataFrame) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for node_id, name in zip(_texts(catalogue, "node_id"), _texts(catalogue, "supernode"), strict=True):
        if name:
            groups.setdefault(name, []).append(node_id)
    return groups


def _texts(table: pd.DataFrame, column: str) -> list[str]:
    if column not in table.columns:
        return [""] * len(table)
    return ["" if value is None or value != value else str(value) for value in table[column].tolist()]
