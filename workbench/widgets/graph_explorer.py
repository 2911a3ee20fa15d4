"""The attribution graph in a notebook cell: look, select, pin, name, and read the selection back as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
import traitlets

from workbench.attribution import Graph
from workbench.attribution.difference import GraphDifference
from workbench.errors import ConfigError
from workbench.widgets.explorer_diff import difference_from, drawn_difference
from workbench.widgets.explorer_paths import best_paths
from workbench.widgets.graph_view import connections, drawn_graph, edges_between
from workbench.widgets.kit import Columns, Widget
from workbench.widgets.kit.requests import Method

VIEWS = ("graph", "subgraph", "table", "paths", "diff")
"""What can stand in the explorer's left area: the values of its trait ``view``."""

Nodes: TypeAlias = pd.DataFrame | Sequence[str] | str
"""A choice of nodes: a table with a column ``node_id`` (such as rows of ``graph.nodes``), a list of ids, or one id."""


class GraphExplorer(Widget, bundle="graph-explorer"):
    """An attribution graph to explore: token positions from left to right, layers from bottom to top.

    What the user does is state that Python can read, set and observe, and that a saved notebook keeps:
    ``explorer.observe(f, "selected_ids")`` calls ``f`` after every click.

    Args:
        graph: the graph; prune and label it first (``session.label(graph.prune())``).
        max_nodes: how many nodes travel with the widget, the most influential ones; tokens and logits always do.
        max_edges: how many edges between them do. The edges of a clicked node come from Python, all of them.
        node_threshold: share of the nodes' influence to draw, from 0 to 1; the slider in the widget changes it.
        selected: nodes to begin with, see :data:`Nodes`; the details of the last one are shown.
        pinned: nodes whose names stay visible; by default those that were pinned in the file that the graph came from.
        show_errors: draw error nodes.
        show_biases: draw bias nodes.
        labels: node id → name; wins over the graph's own labels.
        height: height in CSS pixels; never more than the window's.
        other: a second graph to compare with, or the difference of both; the view ``"diff"`` shows it.
        view: what to show first, one of :data:`VIEWS`.

    Attributes:
        selected_ids: ids of the selected nodes, in the order chosen.
        pinned_ids: ids of the pinned nodes, in the order chosen.
        hovered_id: id of the node under the pointer, or None.
        labels: the names that the user gave: node id → text.
        view: what is shown beside the node's details, one of :data:`VIEWS`.
        difference: how the other graph differs, as tables; None without one.

    Raises:
        ConfigError: a node is not in the graph, or an argument is out of range.
    """

    _nodes = Columns()
    _edges = Columns()
    _difference = Columns()
    _info = traitlets.Dict().tag(sync=True)
    selected_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    pinned_ids = traitlets.List(traitlets.Unicode()).tag(sync=True)
    # Python is told late where the pointer is: an echo of it would move the view back to where the pointer was.
    hovered_id = traitlets.Unicode(None, allow_none=True).tag(sync=True, echo_update=False)
    labels = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode()).tag(sync=True)
    node_threshold = traitlets.Float(0.8).tag(sync=True)
    show_errors = traitlets.Bool(True).tag(sync=True)
    show_biases = traitlets.Bool(False).tag(sync=True)
    height = traitlets.Int(520).tag(sync=True)
    view = traitlets.Unicode("graph").tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        *,
        max_nodes: int = 2000,
        max_edges: int = 20_000,
        node_threshold: float = 0.8,
        selected: Nodes = (),
        pinned: Nodes | None = None,
        show_errors: bool = True,
        show_biases: bool = False,
        labels: Mapping[str, str] | None = None,
        height: int = 520,
        other: Graph | GraphDifference | None = None,
        view: str = "graph",
    ) -> None:
        for name, value in (("max_nodes", max_nodes), ("max_edges", max_edges)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, but something has to be drawn: give a number from 1.")
        self._graph = graph
        self.difference = None if other is None else difference_from(graph, other)
        changes = None if self.difference is None else drawn_difference(self.difference)
        if pinned is None:
            pinned = [node for node in graph.info.get("q_params", {}).get("pinned", ()) if node in graph.row_of_node]
        selected_ids, pinned_ids = self._ids(selected), self._ids(pinned)
        drawn = drawn_graph(graph, max_nodes=max_nodes, max_edges=max_edges, keep={*selected_ids, *pinned_ids})
        super().__init__(
            _nodes=drawn.nodes,
            _edges=drawn.edges,
            _difference={} if changes is None else changes.nodes,
            _info={**_info(graph), "other": None if changes is None else changes.info},
            selected_ids=selected_ids,
            pinned_ids=pinned_ids,
            node_threshold=node_threshold,
            show_errors=show_errors,
            show_biases=show_biases,
            labels=dict(labels or {}),
            height=height,
            view=view,
        )

    @property
    def graph(self) -> Graph:
        """The graph with the names that the user gave."""
        return self._graph.with_labels(self.labels) if self.labels else self._graph

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
    def selected_edges(self) -> pd.DataFrame:
        """The rows of ``graph.edges`` that begin or end at a selected node, the most influential first."""
        graph = self._graph
        rows = graph.row_of_node[self.selected_ids]
        is_source, is_target = (np.isin(index, rows) for index in (graph.source_index, graph.target_index))
        into = edges_between(graph, _where(is_target), _where(np.ones_like(is_source)))
        out_of = edges_between(graph, _where(~is_target), _where(is_source))
        edges = pd.concat([into, out_of]).sort_values("influence", ascending=False, kind="stable", ignore_index=True)
        names = pd.Categorical(graph.nodes["node_id"], categories=graph.nodes["node_id"])
        return edges.assign(source=names[edges["source"].to_numpy()], target=names[edges["target"].to_numpy()])

    def methods(self) -> Mapping[str, Method]:
        """Return what the widget asks for: the connections of a node, the best paths between nodes."""
        return {
            "connections": self._connections,
            "paths": lambda params: best_paths(self._graph, params),
        }

    def __repr__(self) -> str:
        prompt = self._graph.prompt
        shown = prompt if len(prompt) <= 40 else f"{prompt[:39]}…"
        return f"GraphExplorer(graph of {shown!r}: {len(self._graph.nodes):,} nodes, {self._graph.n_edges:,} edges)"

    @traitlets.validate("selected_ids", "pinned_ids")
    def _known_nodes(self, proposal: traitlets.Bunch) -> list[str]:
        return self._ids(proposal["value"])

    @traitlets.validate("labels")
    def _known_labels(self, proposal: traitlets.Bunch) -> dict[str, str]:
        self._ids(list(proposal["value"]))
        value: dict[str, str] = proposal["value"]
        return value

    @traitlets.validate("node_threshold")
    def _share(self, proposal: traitlets.Bunch) -> float:
        value = float(proposal["value"])
        if not 0 <= value <= 1:
            raise ConfigError(
                f"The node_threshold is {value}, but it is a share of the influence: give a number from 0 to 1."
            )
        return value

    @traitlets.validate("height")
    def _tall_enough(self, proposal: traitlets.Bunch) -> int:
        value = int(proposal["value"])
        if value < 240:
            raise ConfigError(f"The height is {value} pixels, but layers need room: give at least 240.")
        return value

    @traitlets.validate("view")
    def _known_view(self, proposal: traitlets.Bunch) -> str:
        value = str(proposal["value"])
        if value not in VIEWS:
            raise ConfigError(f"There is no view {value!r}: give one of {', '.join(VIEWS)}.")
        return value

    def _connections(self, params: Mapping[str, Any]) -> dict[str, Any]:
        (node_id,) = self._ids(str(params.get("node_id")))
        return connections(self._graph, int(self._graph.row_of_node[node_id]))

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


def _where(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.flatnonzero(mask))


def _info(graph: Graph) -> dict[str, Any]:
    """Return what the widget says of the whole graph."""
    scores = graph.scores()
    return {
        "prompt": graph.prompt,
        "tokens": list(graph.tokens),
        "model": str(graph.info.get("model", "")),
        "n_layers": int(graph.info.get("n_layers", int(graph.nodes["layer"].max()))),
        "n_nodes": len(graph.nodes),
        "n_edges": graph.n_edges,
        "replacement": _finite(scores.replacement),
        "completeness": _finite(scores.completeness),
    }


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
