"""The attribution graph in a notebook cell: look, select, pin, name, and read the selection back as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import traitlets

from workbench.attribution import Graph, GraphScores
from workbench.attribution.difference import GraphDifference
from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.features.atlas.given_labels import GivenLabels, Key
from workbench.files import atomic_file
from workbench.widgets.explorer_card import Cards, ExplorerCard
from workbench.widgets.explorer_diff import difference_from, drawn_difference
from workbench.widgets.explorer_export import schema1_text, snippet
from workbench.widgets.explorer_labels import SharedLabels
from workbench.widgets.explorer_links import LinkedExplorer
from workbench.widgets.explorer_paths import best_paths
from workbench.widgets.explorer_state import Nodes, supernodes_of
from workbench.widgets.explorer_subgraph import subgraph_answer, subgraph_edges, suggested_groups
from workbench.widgets.graph_view import connections, drawn_graph, edges_between
from workbench.widgets.kit import Columns
from workbench.widgets.kit.requests import Method, Reply


class GraphExplorer(LinkedExplorer, bundle="graph-explorer"):
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
        supernodes: name → node ids; by default the supernodes that the graph has.
        density_threshold: features that fire on a larger share of all tokens are not drawn; needs ``density``.
        link_mode: which edges stand out around the chosen nodes, see :data:`LINK_MODES`.
        colour_by: what an edge's colour shows, see :data:`COLOURS`.
        clt: the transcoder of the graph, whose decoders then count when supernodes are suggested.
        density: (layer, feature) → share of the tokens at which it fires, from an atlas.
        height: height in CSS pixels; never more than the window's.
        given: the labels that people gave to features of the CLT, which then go both ways: a name that is given to a
            feature here is kept, and all explorers and cards of the CLT show it.
        cards: makes feature cards, see :class:`workbench.widgets.explorer_card.Cards`.
        other: a second graph to compare with, or the difference of both; the view ``"diff"`` shows it.
        view: what to show first, one of :data:`VIEWS`.

    Attributes:
        selected_ids: ids of the selected nodes, in the order chosen.
        pinned_ids: ids of the pinned nodes, in the order chosen.
        hovered_id: id of the node under the pointer, or None.
        highlighted_ids: ids of nodes that are marked without being selected; a linked explorer sets them.
        labels: the names that the user gave: node id → text.
        supernodes: the groups that the user made, ``[{"name", "ids"}]``; may be set by a mapping name → ids.
        card_positions: where the cards of the subgraph were dragged to: node id, or ``"s/"`` and the name of a
            supernode → (x, y), shares of the pane's width and height.
        view: what is shown beside the node's details, one of :data:`VIEWS`.
        path_query: which paths the view ``"paths"`` shows: ``source`` and ``target`` (lists of node ids; none means
            the tokens, and the most probable output), ``k`` and ``sign`` (``"+"``, ``"-"`` or None).
        paths: those paths as a table.
        difference: how the other graph differs, as tables; None without one.

    Raises:
        ConfigError: a node is not in the graph, or an argument is out of range.
    """

    # A constructor that raises leaves an explorer half made, which is closed when Python forgets it.
    _card: ExplorerCard | None = None
    _nodes = Columns()
    _edges = Columns()
    _difference = Columns()
    _info = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        graph: Graph,
        *,
        max_nodes: int = 2000,
        max_edges: int = 20_000,
        node_threshold: float = 0.8,
        density_threshold: float = 1.0,
        selected: Nodes = (),
        pinned: Nodes | None = None,
        show_errors: bool = True,
        show_biases: bool = False,
        link_mode: str = "either",
        colour_by: str = "sign",
        labels: Mapping[str, str] | None = None,
        supernodes: Mapping[str, Iterable[str]] | None = None,
        clt: CLT | None = None,
        density: Mapping[tuple[int, int], float] | None = None,
        height: int = 560,
        given: GivenLabels | None = None,
        cards: Cards | None = None,
        other: Graph | GraphDifference | None = None,
        view: str = "graph",
    ) -> None:
        for name, value in (("max_nodes", max_nodes), ("max_edges", max_edges)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, but something has to be drawn: give a number from 1.")
        self._graph, self._clt = graph, clt
        self._card = ExplorerCard(self, cards)
        self._shared = None if given is None else SharedLabels(given, graph)
        self.difference = None if other is None else difference_from(graph, other)
        changes = None if self.difference is None else drawn_difference(self.difference)
        if pinned is None:
            pinned = [node for node in graph.info.get("q_params", {}).get("pinned", ()) if node in graph.row_of_node]
        selected_ids, pinned_ids = self._ids(selected), self._ids(pinned)
        groups = supernodes_of(graph) if supernodes is None else {name: list(ids) for name, ids in supernodes.items()}
        keep = {*selected_ids, *pinned_ids, *(node for ids in groups.values() for node in ids)}
        drawn = drawn_graph(graph, max_nodes=max_nodes, max_edges=max_edges, keep=keep, density=density)
        super().__init__(
            _nodes=drawn.nodes,
            _edges=drawn.edges,
            _difference={} if changes is None else changes.nodes,
            _info={**_info(graph), "other": None if changes is None else changes.info},
            selected_ids=selected_ids,
            pinned_ids=pinned_ids,
            node_threshold=node_threshold,
            density_threshold=density_threshold,
            show_errors=show_errors,
            show_biases=show_biases,
            link_mode=link_mode,
            colour_by=colour_by,
            labels={**({} if self._shared is None else self._shared.names()), **(labels or {})},
            supernodes=groups,
            height=height,
            view=view,
        )
        if self._shared is not None:
            self.observe(self._keep_labels, "labels")
            self._shared.given.listen(self._follow_labels)

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

    @property
    def subgraph_edges(self) -> pd.DataFrame:
        """The edges between the pinned nodes and the supernodes, summed; see ``Graph.supernode_edges``."""
        return subgraph_edges(self._graph, self.pinned_ids, self._groups())

    def subgraph_scores(self) -> GraphScores:
        """Return how much the pinned nodes and the supernodes explain alone; see ``Graph.subgraph_scores``."""
        return self._graph.subgraph_scores([*self.pinned_ids, *self.supernode_table["node_id"]])

    def to_json(self, path: Path | str) -> Path:
        """Write the graph as graph JSON schema 1 and return its path; see :meth:`Graph.to_json`.

        Names, supernodes, pins, the link mode and the node that was selected last go into it as they stand.

        Raises:
            ResourceError: the disk is full or the folder cannot be written.
        """
        path = Path(path)
        with atomic_file(path) as temporary:
            temporary.write_text(schema1_text(self), encoding="utf-8")
        return path

    def snippet(self) -> str:
        """Return Python code that makes the graph anew and brings back what was chosen in this explorer."""
        return snippet(self)

    def methods(self) -> Mapping[str, Method]:
        """Return what the widget asks for: connections, paths, scores of a subgraph, groups, files, code."""
        return {
            "connections": self._connections,
            "paths": lambda params: best_paths(self._graph, params),
            "subgraph": lambda params: subgraph_answer(self._graph, params),
            "suggest": lambda params: suggested_groups(self.graph, self._clt, params),
            "card": self._card_of,
            "schema1": lambda params: Reply(None, [schema1_text(self).encode()]),
            "snippet": lambda params: self.snippet(),
        }

    def close(self) -> None:
        """Close the widget, its card and its links."""
        if self._card is not None:
            self._card.close()
        super().close()

    def __repr__(self) -> str:
        prompt = self._graph.prompt
        shown = prompt if len(prompt) <= 40 else f"{prompt[:39]}…"
        return f"GraphExplorer(graph of {shown!r}: {len(self._graph.nodes):,} nodes, {self._graph.n_edges:,} edges)"

    def _card_of(self, params: Mapping[str, Any]) -> str | dict[str, Any]:
        assert self._card is not None
        return self._card.answer(params)

    def _keep_labels(self, change: Mapping[str, Any]) -> None:
        assert self._shared is not None
        self._shared.keep(change["old"], change["new"])

    def _follow_labels(self, changed: frozenset[Key]) -> None:
        assert self._shared is not None
        assert self._card is not None
        self.publish(labels=self._shared.followed(self.labels, changed))
        self._card.relabelled(self._shared.given, changed)

    def _connections(self, params: Mapping[str, Any]) -> dict[str, Any]:
        (node_id,) = self._ids(str(params.get("node_id")))
        return connections(self._graph, int(self._graph.row_of_node[node_id]))


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
