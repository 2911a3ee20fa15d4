"""What the user of a graph explorer chose: traits that go both ways, each checked when it is set, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import pandas as pd
import traitlets

from workbench.attribution import Graph
from workbench.errors import ConfigError
from workbench.widgets.explorer_paths import checked_query, paths_of
from workbench.widgets.kit import Widget

VIEWS = ("graph", "subgraph", "card", "table", "paths", "diff")
"""What can stand in the explorer's left area: the values of its trait ``view``."""
LINK_MODES = ("either", "in", "out", "both")
"""Which edges stand out around the chosen nodes: all of theirs, those into them, those out of them, those between."""
COLOURS = ("sign", "share")
"""What an edge's colour shows: whether its weight is positive, or how large a share of the target's input it is."""

Nodes: TypeAlias = pd.DataFrame | Sequence[str] | str
"""A choice of nodes: a table with a column ``node_id`` (such as rows of ``graph.nodes``), a list of ids, or one id."""

_CHOICES = {"view": VIEWS, "link_mode": LINK_MODES, "colour_by": COLOURS}


class Supernodes(traitlets.List[Any]):
    """Groups of nodes as JavaScript has them, ``[{"name", "ids"}]``; takes a mapping name → node ids too."""

    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, Mapping):
            value = [{"name": name, "ids": ids} for name, ids in value.items()]
        return super().validate(obj, value)


class ExplorerState(Widget):
    """The part of the graph explorer that its user and Python share."""

    _graph: Graph

    selected_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pinned_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    highlighted_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # Python is told late where the pointer is: an echo of it would move the view back to where the pointer was.
    hovered_id = traitlets.Unicode(None, allow_none=True).tag(sync=True, echo_update=False)
    labels = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode()).tag(sync=True)
    supernodes = Supernodes().tag(sync=True)
    card_positions = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.List()).tag(sync=True)
    node_threshold = traitlets.Float(0.8).tag(sync=True)
    density_threshold = traitlets.Float(1.0).tag(sync=True)
    show_errors = traitlets.Bool(True).tag(sync=True)
    show_biases = traitlets.Bool(False).tag(sync=True)
    link_mode = traitlets.Unicode("either").tag(sync=True)
    colour_by = traitlets.Unicode("sign").tag(sync=True)
    height = traitlets.Int(560).tag(sync=True)
    view = traitlets.Unicode("graph").tag(sync=True)
    path_query = traitlets.Dict().tag(sync=True)

    @property
    def graph(self) -> Graph:
        """The graph with the names and supernodes that the user gave."""
        graph = self._graph.with_supernodes(self._groups())
        return graph.with_labels(self.labels) if self.labels else graph

    @property
    def selected(self) -> pd.DataFrame:
        """The selected rows of ``graph.nodes``, in the order chosen; may be set, see :data:`Nodes`."""
        return self._table(self.selected_ids)

    @selected.setter
    def selected(self, nodes: Nodes) -> None:
        self.selected_ids = self._ids(nodes)

    @property
    def pinned(self) -> pd.DataFrame:
        """The pinned rows of ``graph.nodes``, in the order chosen; may be set, see :data:`Nodes`."""
        return self._table(self.pinned_ids)

    @pinned.setter
    def pinned(self, nodes: Nodes) -> None:
        self.pinned_ids = self._ids(nodes)

    @property
    def hovered(self) -> pd.DataFrame:
        """The row of ``graph.nodes`` under the pointer, or no row; may be set to an id, or to None."""
        return self._table([] if self.hovered_id is None else [self.hovered_id])

    @hovered.setter
    def hovered(self, node_id: str | None) -> None:
        self.hovered_id = node_id

    @property
    def supernode_table(self) -> pd.DataFrame:
        """The rows of ``graph.nodes`` that are in a supernode (column ``supernode``), group by group."""
        return self._table([node_id for ids in self._groups().values() for node_id in ids])

    @property
    def paths(self) -> pd.DataFrame:
        """The best paths that ``path_query`` asks for: ``path`` (node ids), ``share`` and ``length``."""
        return paths_of(self._graph, self.path_query)

    @property
    def thresholds(self) -> dict[str, float]:
        """The thresholds of what is drawn: ``node`` and ``density``; set one of them or both by a mapping."""
        return {"node": self.node_threshold, "density": self.density_threshold}

    @thresholds.setter
    def thresholds(self, values: Mapping[str, float]) -> None:
        unknown = [name for name in values if name not in ("node", "density")]
        if unknown:
            raise ConfigError(f"There is no threshold {unknown[0]!r}: give node, density or both.")
        with self.hold_trait_notifications():
            for name, value in values.items():
                setattr(self, f"{name}_threshold", value)

    @traitlets.validate("selected_ids", "pinned_ids", "highlighted_ids")
    def _known_nodes(self, proposal: traitlets.Bunch) -> list[str]:
        return self._ids(proposal["value"])

    @traitlets.validate("hovered_id")
    def _known_node(self, proposal: traitlets.Bunch) -> str | None:
        value: str | None = proposal["value"]
        if value is not None:
            self._ids(value)
        return value

    @traitlets.validate("labels")
    def _known_labels(self, proposal: traitlets.Bunch) -> dict[str, str]:
        self._ids(list(proposal["value"]))
        value: dict[str, str] = proposal["value"]
        return value

    @traitlets.validate("supernodes")
    def _known_groups(self, proposal: traitlets.Bunch) -> list[dict[str, Any]]:
        groups: dict[str, list[str]] = {}
        for group in proposal["value"]:
            name, ids = str(group["name"]), group["ids"]
            if name in groups:
                raise ConfigError(f"Two supernodes are called {name!r}: give each a name of its own.")
            groups[name] = [ids] if isinstance(ids, str) else list(dict.fromkeys(map(str, ids)))
        self._graph.with_supernodes(groups)  # an unknown node, or one in two groups, is refused there
        return [{"name": name, "ids": ids} for name, ids in groups.items()]

    @traitlets.validate("node_threshold", "density_threshold")
    def _share(self, proposal: traitlets.Bunch) -> float:
        value, name = float(proposal["value"]), proposal["trait"].name
        if not 0 <= value <= 1:
            what = "the influence" if name == "node_threshold" else "the tokens at which a feature fires"
            raise ConfigError(f"The {name} is {value}, but it is a share of {what}: give a number from 0 to 1.")
        return value

    @traitlets.validate("path_query")
    def _usable_query(self, proposal: traitlets.Bunch) -> dict[str, Any]:
        return checked_query(self._graph, proposal["value"])

    @traitlets.validate("height")
    def _tall_enough(self, proposal: traitlets.Bunch) -> int:
        value = int(proposal["value"])
        if value < 240:
            raise ConfigError(f"The height is {value} pixels, but layers need room: give at least 240.")
        return value

    @traitlets.validate(*_CHOICES)
    def _known_choice(self, proposal: traitlets.Bunch) -> str:
        value, name = str(proposal["value"]), proposal["trait"].name
        if value not in _CHOICES[name]:
            raise ConfigError(f"There is no {name} {value!r}: give one of {', '.join(_CHOICES[name])}.")
        return value

    def _groups(self) -> dict[str, list[str]]:
        return {group["name"]: group["ids"] for group in self.supernodes}

    def _ids(self, nodes: Nodes) -> list[str]:
        """Return the ids of a choice of nodes, each once."""
        if isinstance(nodes, pd.DataFrame):
            if "node_id" not in nodes.columns:
                raise ConfigError(
                    "The table of nodes has no column node_id: choose rows of graph.nodes, or give a list of ids."
                )
            nodes = nodes["node_id"].astype(str).tolist()
        ids = list(dict.fromkeys([nodes] if isinstance(nodes, str) else nodes))
        self._graph.select(ids)  # an unknown one is refused there
        return ids

    def _table(self, ids: Sequence[str]) -> pd.DataFrame:
        return self.graph.select(ids).reset_index(drop=True)


def supernodes_of(graph: Graph) -> dict[str, list[str]]:
    """Return the supernodes that a graph came with: name → node ids."""
    nodes = graph.nodes[graph.nodes["supernode"].astype(str) != ""]
    names: Iterable[str] = nodes["supernode"].astype(str)
    groups: dict[str, list[str]] = {}
    for name, node_id in zip(names, nodes["node_id"].astype(str), strict=True):
        groups.setdefault(name, []).append(node_id)
    return groups
