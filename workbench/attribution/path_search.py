"""The k best paths by the product of their edges' |shares|: exact best-first search on a layered graph."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.graph import Graph

# Rows of the matrix that are copied at once: what becomes of them stays in the processor's cache.
_ROWS = 64


class Wanted(NamedTuple):
    """What is asked for: how many paths, of how many edges, of which sign (0 for +, 1 for −, None for any)."""

    k: int
    min_length: int
    max_length: int
    sign: int | None


class Path(NamedTuple):
    """A path from its first node to ``node``; linked backwards, so that paths share what they have in common."""

    node: int
    share: float
    length: int
    before: Path | None

    def nodes(self) -> list[int]:
        nodes, at = [], self
        while True:
            nodes.append(at.node)
            if at.before is None:
                return nodes[::-1]
            at = at.before


class _State(NamedTuple):
    """A node from which a path must still go ``left`` edges with shares of a given sign (0 where any will do)."""

    node: int
    left: int
    sign: int


class Search:
    """Exact best-first search: what a state can still gain at best is known, so nothing is popped in vain.

    Attributes:
        gain: by number of edges left: the largest |product of shares| from each node to an end, by sign if one is
            asked for. Zero where it is so small that no path through there can be among the k best.
    """

    def __init__(self, graph: Graph, starts: np.ndarray, ends: np.ndarray, wanted: Wanted) -> None:
        self.graph, self.starts, self.wanted = graph, np.sort(starts), wanted
        # Nodes are rows of `nodes`; a row of the matrix is a node as target, a column one as source.
        n_nodes = len(graph.nodes)
        self.row = np.full(n_nodes, -1)
        self.row[graph.target_index] = np.arange(len(graph.weights))
        self.column = np.full(n_nodes, -1)
        self.column[graph.source_index] = np.arange(graph.weights.shape[1])
        self.signed = wanted.sign is not None
        arrived = np.zeros((2 if self.signed else 1, n_nodes))
        arrived[0, ends] = 1.0
        self.gain = [arrived]
        self._next: dict[_State, list[tuple[float, _State]]] = {}
        largest = self._largest_beginning()
        # A path cannot be longer than the graph is deep: from some length on, all gains are zero.
        while self.gain[-1].any() and len(self.gain) <= wanted.max_length:
            gain = self._one_edge_more(self.gain[-1])
            self.gain.append(gain)
            # The k best beginnings so far are k paths. What the edges before a state multiply to is at most
            # `largest`: a state that falls short of the k-th of these paths by more than that is on none of the best.
            found = self._beginnings()
            if len(found) == wanted.k:
                gain[gain < found[-1][0] / largest * (1 - 1e-9)] = 0.0

    def _shares(self, rows: Int[np.ndarray, " row"]) -> Float[Tensor, "row source"]:
        weights = self.graph.weights[torch.from_numpy(rows)].double()
        return weights / self.graph.incoming[torch.from_numpy(rows), None].double().clamp_min(1e-10)

    def _largest_beginning(self) -> float:
        """Return an upper bound of |product of shares| over the first edges of a path, infinity if there is none.

        Shares of features, errors and tokens are at most 1; those of biases are not, and begin a path at most once.
        """
        biases = torch.from_numpy((self.graph.nodes["kind"] == "bias").to_numpy()[self.graph.source_index])
        largest = 1.0
        for rows in _chunks(np.arange(len(self.graph.weights))):
            shares = self._shares(rows).abs()
            if shares.masked_fill(biases, 0).max() > 1 + 1e-4:
                return float("inf")
            largest = max(largest, float(shares.max()))
        return largest * (1 + 1e-4) ** self.graph.nodes["layer"].nunique()

    def _one_edge_more(self, gain: Float[np.ndarray, "sign node"]) -> Float[np.ndarray, "sign node"]:
        """Return the gains of paths that are one edge longer."""
        best = torch.zeros(len(gain), self.graph.weights.shape[1], dtype=torch.float64)
        for nodes in _chunks(self._reached(gain)):
            shares = self._shares(self.row[nodes])
            later = torch.from_numpy(gain[:, nodes])
            parts = [shares.clamp_min(0), shares.neg().clamp_min(0)] if self.signed else [shares.abs()]
            for sign, through in enumerate(parts):
                for after in range(len(gain)):
                    here = (through * later[after, :, None]).amax(dim=0)
                    torch.maximum(best[sign ^ after], here, out=best[sign ^ after])
        longer = np.zeros_like(gain)
        longer[:, self.graph.source_index] = best.numpy()
        return longer

    def _reached(self, gain: Float[np.ndarray, "sign node"]) -> Int[np.ndarray, " target"]:
        targets = self.graph.target_index
        reached: np.ndarray = targets[gain[:, targets].max(axis=0) > 0]
        return reached

    def _beginnings(self) -> list[tuple[float, _State]]:
        """Return the k best states to begin in; of equally good ones those of the first nodes."""
        k, sign = self.wanted.k, self.wanted.sign or 0
        lengths = range(self.wanted.min_length, len(self.gain))
        if not lengths or not len(self.starts):
            return []
        gain = np.stack([self.gain[left][sign, self.starts] for left in lengths])
        flat = gain.ravel()
        limit = max(np.partition(flat, -k)[-k] if len(flat) > k else 0.0, np.finfo(np.float64).tiny)
        left, start = np.unravel_index(np.flatnonzero(flat >= limit), gain.shape)
        node, value = self.starts[start], gain[left, start]
        ranked = np.lexsort((left, node, -value))[:k]
        return [(float(value[at]), _State(int(node[at]), lengths[int(left[at])], sign)) for at in ranked]

    def best_first(self) -> Iterator[Path]:
        """Yield the k best paths, the best first."""
        # An entry stands for a choice among ranked ones; the next choice enters when this one is taken. The order of
        # entry breaks ties, so that the same graph always gives the same paths.
        entries: list[tuple[float, int, Path | None, list[tuple[float, _State]], int]] = []
        entered = 0

        def enter(before: Path | None, choices: list[tuple[float, _State]], rank: int) -> None:
            nonlocal entered
            if rank < len(choices):
                product = 1.0 if before is None else abs(before.share)
                heapq.heappush(entries, (-product * choices[rank][0], entered, before, choices, rank))
                entered += 1

        enter(None, self._beginnings(), 0)
        n_found = 0
        while entries and n_found < self.wanted.k:
            _, _, before, choices, rank = heapq.heappop(entries)
            enter(before, choices, rank + 1)
            state = choices[rank][1]
            share = 1.0 if before is None else before.share * self._share(before.node, state.node)
            path = Path(state.node, share, 0 if before is None else before.length + 1, before)
            if state.left == 0:
                n_found += 1
                yield path
            else:
                enter(path, self._choices(state), 0)

    def _share(self, source: int, target: int) -> float:
        row = self.row[target]
        return float(self.graph.weights[row, self.column[source]]) / max(float(self.graph.incoming[row]), 1e-10)

    def _column(self, node: int, rows: Int[np.ndarray, " target"]) -> Float[np.ndarray, " target"]:
        """Return the shares of a node in some targets."""
        at = torch.from_numpy(rows)
        weights = self.graph.weights[at, self.column[node]].double()
        shares: np.ndarray = (weights / self.graph.incoming[at].double().clamp_min(1e-10)).numpy()
        return shares

    def _choices(self, state: _State) -> list[tuple[float, _State]]:
        """Return the k best next states: more can never be among the k best paths."""
        if state not in self._next:
            k, gain = self.wanted.k, self.gain[state.left - 1]
            target = self._reached(gain)
            share = self._column(state.node, self.row[target])
            sign = state.sign ^ ((share < 0) & self.signed).astype(np.int64)
            through = np.abs(share) * gain[sign, target]
            top = np.argpartition(-through, k)[:k] if len(through) > k else np.arange(len(through))
            ranked = top[np.lexsort((target[top], -through[top]))]
            self._next[state] = [
                (float(through[at]), _State(int(target[at]), state.left - 1, int(sign[at])))
                for at in ranked
                if through[at] > 0
            ]
        return self._next[state]


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    """Split rows of the matrix so that a copy of a part stays small."""
    return [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
