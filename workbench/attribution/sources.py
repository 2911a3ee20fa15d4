"""The columns of the attribution matrix: everything that writes to the residual stream."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.local_model import ActiveFeatures, LocalModel


@dataclass(frozen=True)
class BiasNode:
    """One bias: ``site`` is the parameter's name, or ``mlp`` for the start token's MLP output."""

    layer: int
    site: str
    position: int


@dataclass(frozen=True)
class Columns:
    """Where each source stands: features, then errors (layer by layer), tokens, biases.

    There is no error node at position 0, whose MLP outputs are taken as they are (bias site ``mlp``).
    """

    n_features: int
    n_layers: int
    n_positions: int
    biases: tuple[BiasNode, ...]

    @property
    def n_errors(self) -> int:
        return self.n_layers * (self.n_positions - 1)

    @property
    def total(self) -> int:
        return self.n_features + self.n_errors + self.n_positions + len(self.biases)

    def error(self, layer: int, position: int) -> int:
        return self.n_features + layer * (self.n_positions - 1) + position - 1

    @property
    def tokens(self) -> range:
        start = self.n_features + self.n_errors
        return range(start, start + self.n_positions)

    @property
    def bias_start(self) -> int:
        return self.n_features + self.n_errors + self.n_positions

    def bias(self) -> dict[tuple[int, str], range]:
        """Return the columns of each bias by layer and site, one a position that it acts at."""
        found: dict[tuple[int, str], range] = {}
        for column, node in enumerate(self.biases, start=self.bias_start):
            start = found[node.layer, node.site].start if (node.layer, node.site) in found else column
            found[node.layer, node.site] = range(start, column + 1)
        return found


def columns_of(local: LocalModel, n_features: int) -> Columns:
    """List the sources of a prompt; biases that a model does not have get no node."""
    positions = range(local.n_positions)
    biases: list[BiasNode] = []

    def add(layer: int, site: str, at: range) -> None:
        biases.extend(BiasNode(layer, site, position) for position in at)

    if local.positional is not None:
        add(0, "pos_embed", positions)
    for layer in range(local.n_layers):
        attention, read_norm = local.attentions[layer], local.read_norms[layer]
        if attention.norm.bias is not None:
            add(layer, "ln1", positions)
        if attention.b_V is not None:
            add(layer, "b_V", positions)
        if attention.b_O is not None:
            add(layer, "b_O", positions)
        if attention.post_norm is not None and attention.post_norm.bias is not None:
            add(layer, "ln1_post", positions)
        if read_norm is not None and read_norm.bias is not None and local.reads_weighted:
            add(layer, "ln2", positions[1:])
        add(layer, "b_dec", positions[1:])
        add(layer, "mlp", positions[:1])
    if local.final_norm.bias is not None:
        add(local.n_layers, "ln_final", positions)
    return Columns(n_features, local.n_layers, local.n_positions, tuple(biases))


@dataclass(frozen=True)
class Written:
    """What the sources of one MLP layer write at one position.

    Attributes:
        feature_columns: the columns of the features, sorted by position and layer.
        others: what the error and b_dec write, or what the start token's MLP wrote.
    """

    position: int
    feature_columns: slice
    features: Float[Tensor, "feature d_model"]
    other_columns: list[int]
    others: Float[Tensor, "other d_model"]


def written_at(
    local: LocalModel,
    features: ActiveFeatures,
    order: Int[Tensor, " feature"],
    columns: Columns,
    layer: int,
) -> Iterator[Written]:
    """Yield, position by position, the vectors that features, errors and biases add at one layer's MLP output.

    The error is what the given features miss, so a feature that is left out counts as error.

    Args:
        order: sorts the features by position, then layer; so the ones that write here stand in one slice
            of each position.
    """
    biases = columns.bias()
    none = local.writes.new_empty(0, local.writes.shape[-1])
    yield Written(0, slice(0, 0), none, [biases[layer, "mlp"].start], local.writes[layer, :1])

    sources = local.clt.config.sources(layer)
    found = ((features.layer[order] >= sources.start) & (features.layer[order] < sources.stop)).nonzero(as_tuple=True)[
        0
    ]
    writing = features.select(order[found])
    vectors = local.writes.new_empty(len(found), local.writes.shape[-1])
    for source in sources:
        here = writing.layer == source
        decoder = local.clt.decoder(source, layer)[writing.feature[here]]
        vectors[here] = decoder * writing.activation[here, None]
    sizes = torch.bincount(writing.position, minlength=local.n_positions).tolist()
    missing = local.writes[layer] - local.clt.b_dec[layer] - local.clt.skip(layer, local.reads[layer])
    start = 0
    for position in range(1, local.n_positions):
        end = start + sizes[position]
        here = vectors[start:end]
        first = int(found[start]) if end > start else 0
        yield Written(
            position,
            slice(first, first + end - start),
            here,
            [columns.error(layer, position), biases[layer, "b_dec"][position - 1]],
            torch.stack([missing[position] - here.sum(dim=0), local.clt.b_dec[layer]]),
        )
        start = end
