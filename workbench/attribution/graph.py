"""The attribution graph: plain tables and tensors, free of widgets, sessions and models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ConfigError
from workbench.files import atomic_file

if TYPE_CHECKING:
    from workbench.attribution.difference import GraphDifference

KINDS = ("feature", "error", "token", "bias", "logit")


class GraphScores(NamedTuple):
    """How much of a graph is explained by features.

    Attributes:
        replacement: share of the end-to-end influence that begins at tokens, not at errors.
        completeness: influence-weighted share of the nodes' input that is not error.
        error_share: mean over feature and logit nodes, unweighted, of the share of their input that is error.
        row_sum_error: largest deviation of a target's explained sum from its value, relative to Σ|weights|.
    """

    replacement: float
    completeness: float
    error_share: float
    row_sum_error: float


@dataclass(frozen=True)
class Graph:
    """An attribution graph of one prompt.

    Rows of ``weights`` are the targets: the feature nodes, then the logit nodes. Columns are the sources:
    the feature, error, token and bias nodes. Both follow the order of ``nodes``.

    Attributes:
        nodes: one row a node, see DESIGN: node_id, kind, layer, position, feature, token, activation,
            influence, label, supernode, probability.
        weights: direct linear effect of each source on each target's pre-activation, or on its logit minus
            the mean logit. A pruned edge is zero.
        incoming: Σ|weight| over the feature, error and token sources of each target in the unpruned graph.
        info: model, CLT, counts, seconds and thresholds of this graph.
    """

    prompt: str
    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    nodes: pd.DataFrame
    weights: Float[Tensor, "target source"]
    incoming: Float[Tensor, " target"]
    full_scores: GraphScores
    info: Mapping[str, Any] = field(default_factory=dict)

    def select(self, node_ids: Iterable[str]) -> pd.DataFrame:
        """Return the rows of ``nodes`` with the given ids, in the order given.

        Raises:
            ConfigError: the graph has no node with one of the ids.
        """
        wanted = list(node_ids)
        rows = self.row_of_node.reindex(wanted)
        if rows.isna().any():
            missing = rows.index[rows.isna()][0]
            raise ConfigError(
                f"The graph has no node {missing!r}: take an id from graph.nodes['node_id'] "
                "(features are named f/layer/feature/position)."
            )
        return self.nodes.iloc[rows.to_numpy(np.int64)]

    @cached_property
    def row_of_node(self) -> pd.Series[int]:
        """The row in ``nodes`` of each node id."""
        return pd.Series(np.arange(len(self.nodes)), index=self.nodes["node_id"].astype(object))

    def count(self, kind: str) -> int:
        """Return the number of nodes of a kind."""
        return int((self.nodes["kind"] == kind).sum())

    @cached_property
    def n_features(self) -> int:
        return self.count("feature")

    @property
    def feature_layer(self) -> Int[Tensor, " feature"]:
        return torch.from_numpy(self.nodes["layer"].to_numpy(np.int64)[: self.n_features].copy())

    @property
    def probability(self) -> Float[Tensor, " logit"]:
        """What each output counts for in influence: a token's probability, 1 for an output that is no token."""
        rows = self.nodes.loc[self.nodes["kind"] == "logit", "probability"]
        return torch.from_numpy(rows.fillna(1.0).to_numpy(np.float32).copy()).to(self.weights.dtype)

    @property
    def source_index(self) -> np.ndarray:
        """Row in ``nodes`` of each column of ``weights``."""
        return np.flatnonzero((self.nodes["kind"] != "logit").to_numpy())

    @property
    def target_index(self) -> np.ndarray:
        """Row in ``nodes`` of each row of ``weights``."""
        return np.flatnonzero(self.nodes["kind"].isin(("feature", "logit")).to_numpy())

    @cached_property
    def edges(self) -> pd.DataFrame:
        """The edges: source, target, weight, share, influence; the most influential first.

        ``share`` is the weight over Σ|incoming| of features, errors and tokens; ``influence`` is |share|
        times the target's own influence (its probability for a logit).
        """
        target, source = self.weights.nonzero(as_tuple=True)
        weight = self.weights[target, source]
        share = weight / self.incoming[target].clamp_min(1e-10)
        reach = torch.from_numpy(self.nodes["influence"].to_numpy(np.float32)[self.target_index].copy())
        reach[self.n_features :] = self.probability.float()
        edge_influence = share.abs().float() * reach[target]
        order = edge_influence.argsort(descending=True, stable=True)
        names = pd.Categorical(self.nodes["node_id"], categories=self.nodes["node_id"])
        return pd.DataFrame(
            {
                "source": names[self.source_index[source[order].numpy()]],
                "target": names[self.target_index[target[order].numpy()]],
                "weight": weight[order].float().numpy(),
                "share": share[order].float().numpy(),
                "influence": edge_influence[order].numpy(),
            }
        )

    @property
    def n_edges(self) -> int:
        return int(self.weights.count_nonzero())

    def scores(self) -> GraphScores:
        """Return the scores of the whole graph (a pruned graph carries those of the graph it came from)."""
        return self.full_scores

    def prune(self, node_threshold: float = 0.8, edge_threshold: float = 0.98, *, keep_errors: bool = True) -> Graph:
        """Return the graph without its least influential nodes and edges.

        Args:
            node_threshold: share of the nodes' total influence to keep, from 0 to 1.
            edge_threshold: share of the edges' total influence to keep, from 0 to 1.
            keep_errors: False prunes error nodes like features, as circuit-tracer does.

        Raises:
            ConfigError: a threshold lies outside 0 to 1.
        """
        from workbench.attribution.pruning import prune

        return prune(self, node_threshold, edge_threshold, keep_errors=keep_errors)

    def subgraph_scores(self, node_ids: Iterable[str]) -> GraphScores:
        """Return the scores of some of the graph's nodes; see :func:`workbench.attribution.subgraph.subgraph_scores`.

        Raises:
            ConfigError: an id is unknown.
        """
        from workbench.attribution.subgraph import subgraph_scores

        return subgraph_scores(self, node_ids)

    def paths(self, **options: Any) -> pd.DataFrame:
        """Return the strongest paths between nodes; see :func:`workbench.attribution.paths.strongest_paths`.

        Args:
            options: among them ``source``, ``target`` (ids or sets of ids), ``k`` and ``max_length``.
        """
        from workbench.attribution.paths import strongest_paths

        return strongest_paths(self, **options)

    def average_path_length(self) -> float:
        """Return the mean length, in edges, of the paths that influence takes from its beginnings to the outputs."""
        from workbench.attribution.paths import average_path_length

        return average_path_length(self)

    def with_supernodes(self, groups: Mapping[str, Iterable[str]]) -> Graph:
        """Return the graph with the given groups of nodes: name → node ids.

        Raises:
            ConfigError: an id is unknown or in two groups.
        """
        from workbench.attribution.supernodes import with_supernodes

        return with_supernodes(self, groups)

    def supernode_edges(self) -> pd.DataFrame:
        """Return the edges between supernodes and nodes in none: source, target, weight, share, edges."""
        from workbench.attribution.supernodes import supernode_edges

        return supernode_edges(self)

    def difference(self, other: Graph, *, alignment: Mapping[int, int] | None = None) -> GraphDifference:
        """Compare with another graph; see :func:`workbench.attribution.difference.difference`.

        Args:
            alignment: position here → position there; found from the tokens by default.
        """
        from workbench.attribution.difference import difference

        return difference(self, other, alignment=alignment)

    def to_json(self, path: Path | str, *, slug: str | None = None, pinned: Sequence[str] | None = None) -> Path:
        """Write the graph as graph JSON schema 1, which circuit-tracer and Neuronpedia's viewer read; return its path.

        Args:
            slug: the graph's name in the viewer.
            pinned: ids of nodes to pin there.

        Raises:
            ResourceError: the disk is full or the folder cannot be written.
        """
        from workbench.attribution.schema1 import to_schema1

        content = json.dumps(to_schema1(self, slug=slug, pinned=pinned), ensure_ascii=False, allow_nan=False)
        with atomic_file(Path(path)) as temporary:
            temporary.write_text(content, encoding="utf-8")
        return Path(path)

    @classmethod
    def from_json(cls, source: Path | str | Mapping[str, Any]) -> Graph:
        """Read a graph in JSON schema 1: ours, circuit-tracer's or Neuronpedia's.

        Args:
            source: a file, or its parsed content.

        Raises:
            FormatError: the file is not of this schema; the message says where.
            ResourceError: the graph does not fit into memory.
        """
        from workbench.attribution.schema1 import from_schema1

        return from_schema1(source)

    def with_labels(self, labels: Mapping[str, str]) -> Graph:
        """Return the graph with the given labels, by node id."""
        nodes = self.nodes.copy()
        named = nodes["node_id"].astype(str).map(labels)
        nodes["label"] = named.where(named.notna(), nodes["label"])
        return replace(self, nodes=nodes)
