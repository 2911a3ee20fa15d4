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
    """What the sources of one MLP layer write at one position."""

    position: int
    columns: Int[Tensor, " source"]
    vectors: Float[Tensor, "source d_model"]


def written_at(local: LocalModel, features: ActiveFeatures, columns: Columns, layer: int) -> Iterator[Written]:
    """Yield, position by position, the vectors that features, errors and biases add at one layer's MLP output.

    The error is what the given features miss, so a feature that is left out counts as error.
    """
    biases = columns.bias()
    mlp = biases[layer, "mlp"].start
    yield Written(0, torch.tensor([mlp]), local.writes[layer, :1])

    index, vectors = [], []
    for source in local.clt.config.sources(layer):
        at = (features.layer == source).nonzero(as_tuple=True)[0]
        decoder = local.clt.decoder(source, layer)[features.feature[at]]
        index.append(at)
        vectors.append(decoder * features.activation[at, None])
    found, rows = torch.cat(index), torch.cat(vectors)
    order = features.position[found].argsort(stable=True)
    found, rows = found[order], rows[order]
    sizes = torch.bincount(features.position[found], minlength=local.n_positions).tolist()
    skip = local.clt.skip(layer, local.reads[layer])
    b_dec = local.clt.b_dec[layer]
    start = sizes[0]
    for position in range(1, local.n_positions):
        end = start + sizes[position]
        here = rows[start:end]
        error = local.writes[layer, position] - here.sum(dim=0) - b_dec - skip[position]
        own = torch.tensor([columns.error(layer, position), biases[layer, "b_dec"][position - 1]], device=found.device)
        yield Written(
            position,
            torch.cat([found[start:end], own]),
            torch.cat([here, error[None], b_dec[None]]),
        )
        start = end
