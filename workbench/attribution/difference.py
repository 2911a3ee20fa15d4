"""The difference of two graphs: what is in both, what is in one alone, and how much the rest has changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.graph import Graph
from workbench.errors import ConfigError


def difference(
    a: Graph, b: Graph, *, alignment: Mapping[int, int] | None = None, same_features: bool | None = None
) -> GraphDifference:
    """Compare two graphs: of one prompt before and after an edit of its text, of two prompts, or with two CLTs.

    Nodes are the same when they are of the same kind, layer and feature (or token, or site) and stand at positions
    that are aligned. Features of two different CLTs cannot be matched one to one, whatever their numbers: then
    tokens, errors, biases and outputs are compared, and the features by their totals a layer and position alone::

        change = difference(bench.attribute("... Paris is"), bench.attribute("... Rome is"))
        change.nodes, change.edges, change.totals

    Args:
        alignment: position in ``a`` → position in ``b``, one to one; positions left out stand alone. By default
            every position is aligned with the same one where the prompts are equally long, and otherwise as
            :func:`align_tokens` finds.
        same_features: whether the same numbers mean the same features; by default when both graphs name the same CLT.

    Raises:
        ConfigError: the graphs are of models with different numbers of layers, or the alignment is not one to one
            or leaves the prompts.
    """
    layers = [graph.info.get("n_layers") for graph in (a, b)]
    if layers[0] != layers[1]:
        raise ConfigError(
            f"The graphs are of models with {layers[0]} and {layers[1]} layers: compare graphs of the same model, "
            "or of two versions of it."
        )
    n_positions = len(a.tokens), len(b.tokens)
    if alignment is None:
        alignment = default_alignment(a.tokens, b.tokens)
    for positions, n, name in zip((list(alignment), list(alignment.values())), n_positions, "ab", strict=True):
        if len(set(positions)) < len(positions) or not all(0 <= at < n for at in positions):
            raise ConfigError(
                f"The alignment names the positions {positions} of {name}, which has {n} tokens: "
                "name each position once, counted from 0."
            )
    if same_features is None:
        same_features = a.info.get("clt") == b.info.get("clt")
    return GraphDifference(a, b, dict(alignment), same_features)


def default_alignment(a: Sequence[str], b: Sequence[str]) -> dict[int, int]:
    """Return position in a → position in b: the same where prompts are equally long, or by :func:`align_tokens`."""
    return {at: at for at in range(len(a))} if len(a) == len(b) else align_tokens(a, b)


def align_tokens(a: Sequence[str], b: Sequence[str]) -> dict[int, int]:
    """Return position in a → position in b for the tokens that two prompts share in the same order.

    The start tokens are aligned, and the last tokens where neither has another partner, because that is where the
    next token is predicted.
    """
    blocks = SequenceMatcher(None, list(a), list(b), autojunk=False).get_matching_blocks()
    aligned = {block.a + step: block.b + step for block in blocks for step in range(block.size)}
    last = len(a) - 1, len(b) - 1
    if last[0] not in aligned and last[1] not in aligned.values():
        aligned[last[0]] = last[1]
    return aligned


@dataclass(frozen=True)
class GraphDifference:
    """What two graphs have in common and where they differ; the tables are made when they are first asked for.

    A node or edge that only one graph has is absent from the other for one of two reasons. When the other graph
    has all active features of its prompt, an absent feature is inactive, and its activation and influence there are
    0. When the other graph is pruned or capped, an absent feature may just have been cut off: then what it has
    there is unknown and stands as NaN. Compare unpruned graphs where that matters, and prune afterwards.

    Attributes:
        alignment: position in ``a`` → position in ``b``.
        same_features: whether features are matched; False for two CLTs.
    """

    a: Graph
    b: Graph
    alignment: dict[int, int]
    same_features: bool

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """One row a node, the largest change of influence first.

        ``node`` (the id in ``a``; for a node of ``b`` alone its id at the position of ``a``, or ``b:`` and its id
        where that position is not aligned), ``where`` (both, a, b), ``kind, layer, feature``, ``position_a,
        position_b`` (−1 for none), ``token_a, token_b``, ``label``, and ``activation``, ``influence`` and
        ``probability`` each with ``_a``, ``_b`` and ``_change`` (b − a).
        """
        sides = [
            graph.nodes.iloc[self._kept(graph)].assign(node=names)
            for graph, names in ((self.a, self._names_a), (self.b, self._names_b))
        ]
        columns = ["node", "kind", "layer", "feature", "position", "token", "label", *_VALUES]
        left, right = (side[columns].astype({"token": object, "kind": object}) for side in sides)
        table = left.merge(right, on="node", how="outer", suffixes=("_a", "_b"), indicator="where", sort=False)
        table["where"] = table["where"].astype(str).map({"both": "both", "left_only": "a", "right_only": "b"})
        for name in ("kind", "layer", "feature", "label"):
            first, second = table.pop(f"{name}_a"), table.pop(f"{name}_b")
            table[name] = first.where(first.notna() & (first != ""), second)
        to_b, to_a = self.alignment, {there: here for here, there in self.alignment.items()}
        for name, other, translate in (("a", "b", to_a), ("b", "a", to_b)):
            own, partner = table[f"position_{name}"], table[f"position_{other}"]
            table[f"position_{name}"] = own.fillna(partner.map(translate)).fillna(-1).astype(np.int32)
        for name, graph in (("a", self.a), ("b", self.b)):
            feature = (table["kind"] == "feature") & (table[f"position_{name}"] >= 0)
            if _is_uncut(graph):
                table.loc[feature & table[f"influence_{name}"].isna(), f"influence_{name}"] = 0.0
            if _has_all_active(graph):
                table.loc[feature & table[f"activation_{name}"].isna(), f"activation_{name}"] = 0.0
        for value in _VALUES:
            table[f"{value}_change"] = table[f"{value}_b"] - table[f"{value}_a"]
        size = (table["influence_b"].fillna(0) - table["influence_a"].fillna(0)).abs()
        order = np.argsort(-size.to_numpy(), kind="stable")
        values = [f"{value}_{side}" for value in _VALUES for side in ("a", "b", "change")]
        table = table.iloc[order].reset_index(drop=True)
        table = table.astype({"layer": np.int32, "feature": np.int32} | dict.fromkeys(values, np.float32))
        front = ["node", "where", "kind", "layer", "feature", "position_a", "position_b", "token_a", "token_b", "label"]
        return table[front + values]

    @cached_property
    def edges(self) -> pd.DataFrame:
        """One row an edge, the largest change of influence first.

        ``source, target`` (as ``node`` in :attr:`nodes`), ``where`` (both, a, b), and ``weight``, ``share`` and
        ``influence`` (|share| times the target's influence, with the sign of the share) each with ``_a``, ``_b`` and
        ``_change``. An edge that is absent where nothing was pruned or capped has the weight 0, otherwise NaN.
        """
        return self._edge_table(None, lambda values: (values[1, 2].nan_to_num() - values[0, 2].nan_to_num()).abs())

    def inputs(self, node: str) -> pd.DataFrame:
        """Return the edges into one node, with the columns of :attr:`edges`; what lowers its input most first.

        Args:
            node: as in the column ``node`` of :attr:`nodes`.

        Raises:
            ConfigError: neither graph has edges into such a node.
        """
        table = self._edge_table(node, lambda values: (values[0, 0] - values[1, 0]).nan_to_num())
        if table.empty:
            raise ConfigError(f"Neither graph has edges into a node {node!r}: choose a feature or an output.")
        return table

    def _edge_table(
        self, target: str | None, rank: Callable[[Float[Tensor, "2 3 edge"]], Float[Tensor, " edge"]]
    ) -> pd.DataFrame:
        """Return the edges into one node or into all, those of the highest rank first.

        Args:
            rank: of the weights, shares and influences in both graphs.
        """
        names = pd.Index(self._names_a).append(pd.Index(self._names_b).difference(pd.Index(self._names_a), sort=False))
        sides = [
            _Side.of(graph, self._kept(graph), names.get_indexer(pd.Index(own)), len(names))
            for graph, own in ((self.a, self._names_a), (self.b, self._names_b))
        ]
        targets = np.flatnonzero((sides[0].row >= 0) | (sides[1].row >= 0))
        if target is not None:
            targets = targets[names[targets] == target]
        pieces = [_edges_into(targets[start : start + _ROWS], sides) for start in range(0, len(targets), _ROWS)]
        # Whole graphs have millions of edges: they are sorted as three arrays, before there is a table.
        from_code = torch.cat([torch.zeros(0, dtype=torch.int64), *(piece[0] for piece in pieces)])
        to_code = torch.cat([torch.zeros(0, dtype=torch.int64), *(piece[1] for piece in pieces)])
        values = torch.cat([torch.zeros(2, 3, 0), *(piece[2] for piece in pieces)], dim=2)
        present = values[:, 0] != 0
        if not (_is_uncut(self.a) and _is_uncut(self.b)):
            values.masked_fill_(~present[:, None], torch.nan)
        order = rank(values).argsort(descending=True, stable=True)
        from_code, to_code, present = from_code[order], to_code[order], present[:, order]
        columns = torch.empty(9, len(order))
        for number in range(3):
            first, second, change = columns[3 * number : 3 * number + 3]
            torch.index_select(values[0, number], 0, order, out=first)
            torch.index_select(values[1, number], 0, order, out=second)
            torch.sub(second, first, out=change)
        where = torch.where(present.all(dim=0), 0, torch.where(present[0], 1, 2)).to(torch.int8)
        # One block for all columns of numbers, which pandas takes over as it is.
        names_of_values = [
            f"{name}_{side}" for name in ("weight", "share", "influence") for side in ("a", "b", "change")
        ]
        table = pd.DataFrame(columns.numpy().T, columns=names_of_values, copy=False)
        codes = (
            ("source", from_code, names),
            ("target", to_code, names),
            ("where", where, pd.Index(["both", "a", "b"])),
        )
        for place, (name, code, categories) in enumerate(codes):
            table.insert(place, name, pd.Series(pd.Categorical.from_codes(code.numpy(), categories=categories)))
        return table

    @cached_property
    def totals(self) -> pd.DataFrame:
        """Features and errors a layer and position: what can be compared between any two CLTs.

        ``kind, layer, position_a, position_b`` (−1 for none), and ``count``, ``activation`` (summed) and
        ``influence`` (summed) each with ``_a``, ``_b`` and ``_change``; the largest change of influence first.
        """
        to_a = {there: here for here, there in self.alignment.items()}
        sides = []
        for side, graph in (("a", self.a), ("b", self.b)):
            nodes = graph.nodes[graph.nodes["kind"].isin(["feature", "error"])].astype({"kind": str})
            own, other = nodes["position"], nodes["position"].map(self.alignment if side == "a" else to_a)
            other = other.fillna(-1).astype(np.int32)
            nodes = nodes.assign(
                position_a=own if side == "a" else other, position_b=other if side == "a" else own, count=1
            )
            grouped = nodes.groupby(["kind", "layer", "position_a", "position_b"])[["count", "activation", "influence"]]
            sides.append(grouped.sum().astype(np.float64).add_suffix(f"_{side}"))
        table = sides[0].join(sides[1], how="outer").fillna(0.0)
        for name in ("count", "activation", "influence"):
            table[f"{name}_change"] = table[f"{name}_b"] - table[f"{name}_a"]
        counts = dict.fromkeys(("count_a", "count_b", "count_change"), np.int32)
        order = np.argsort(-table["influence_change"].abs().to_numpy(), kind="stable")
        return table.astype(counts).iloc[order].reset_index()

    def summary(self) -> pd.DataFrame:
        """Return by kind how many nodes are in both graphs and in one alone, and the influence that each part has."""
        table = self.nodes.assign(count=1)
        by_kind = table.groupby(["kind", "where"], as_index=False)[["count", "influence_a", "influence_b"]].sum()
        return by_kind.sort_values(["kind", "where"], ignore_index=True)

    def _kept(self, graph: Graph) -> Int[np.ndarray, " node"]:
        if self.same_features:
            return np.arange(len(graph.nodes))
        return np.flatnonzero((graph.nodes["kind"] != "feature").to_numpy())

    @cached_property
    def _names_a(self) -> list[str]:
        return self.a.nodes["node_id"].iloc[self._kept(self.a)].astype(str).tolist()

    @cached_property
    def _names_b(self) -> list[str]:
        to_a = {there: here for here, there in self.alignment.items()}
        nodes = self.b.nodes.iloc[self._kept(self.b)]
        return [
            # Every id ends in its position.
            f"{node.rpartition('/')[0]}/{to_a[at]}" if at in to_a else f"b:{node}"
            for node, at in zip(nodes["node_id"].astype(str), nodes["position"].tolist(), strict=True)
        ]


# Rows of the matrices that are compared at once.
_ROWS = 128
_VALUES = ("activation", "influence", "probability")


def _is_uncut(graph: Graph) -> bool:
    """Tell whether every feature that reaches an output is in the graph with all its edges."""
    unpruned = graph.info.get("node_threshold", 1) == 1 and graph.info.get("edge_threshold", 1) == 1
    return unpruned and graph.info.get("left_out_features") == 0


def _has_all_active(graph: Graph) -> bool:
    """Tell whether every active feature of the prompt is in the graph."""
    return _is_uncut(graph) and graph.info.get("active_features") == graph.n_features


class _Side(NamedTuple):
    """One graph's matrix, addressed by the numbers that its nodes have in both graphs together."""

    graph: Graph
    reach: Float[Tensor, " target"]
    row: Int[np.ndarray, " name"]
    columns: Int[np.ndarray, " source"]
    codes: Int[np.ndarray, " source"]
    n_names: int

    @classmethod
    def of(cls, graph: Graph, kept: Int[np.ndarray, " node"], code: Int[np.ndarray, " node"], n_names: int) -> _Side:
        of_node = np.full(len(graph.nodes), -1)
        of_node[kept] = code
        row = np.full(n_names, -1)
        to_code = of_node[graph.target_index]
        row[to_code[to_code >= 0]] = np.flatnonzero(to_code >= 0)
        from_code = of_node[graph.source_index]
        columns = np.flatnonzero(from_code >= 0)
        reach = torch.from_numpy(graph.nodes["influence"].to_numpy(np.float32, copy=True)[graph.target_index])
        reach[graph.n_features :] = graph.probability.float()
        return cls(graph, reach, row, columns, from_code[columns], n_names)

    def values(self, targets: Int[np.ndarray, " target"]) -> Float[Tensor, "3 target name"]:
        """Return weights, shares and signed influences; zero where there is no edge."""
        here = np.flatnonzero(self.row[targets] >= 0)
        rows, at = torch.from_numpy(self.row[targets[here]]), torch.from_numpy(here)
        found = torch.zeros(3, len(targets), self.n_names)
        weight = self.graph.weights[rows].float()
        if len(self.columns) < weight.shape[1]:
            weight = weight[:, torch.from_numpy(self.columns)]
        placed = weight.new_zeros(len(rows), self.n_names).index_copy_(1, torch.from_numpy(self.codes), weight)
        share = placed / self.graph.incoming[rows, None].float().clamp_min(1e-10)
        for number, value in enumerate((placed, share, share * self.reach[rows, None])):
            found[number].index_copy_(0, at, value)
        return found


def _edges_into(
    targets: Int[np.ndarray, " target"], sides: list[_Side]
) -> tuple[Int[Tensor, " edge"], Int[Tensor, " edge"], Float[Tensor, "2 3 edge"]]:
    """Return the sources and targets of the edges that either graph has, and their values in both."""
    first, second = (side.values(targets) for side in sides)
    target, source = ((first[0] != 0) | (second[0] != 0)).nonzero(as_tuple=True)
    # As flat numbers, one gather a graph does for all three values.
    flat = target * first.shape[2] + source
    values = torch.stack([side.flatten(1).index_select(1, flat) for side in (first, second)])
    return source, torch.from_numpy(targets)[target], values
