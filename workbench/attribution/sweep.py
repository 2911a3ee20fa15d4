"""The sweep: all edges of an attribution graph in one pass from the top layer down, without autograd.

One gradient row per target is held at the residual stream. At each layer the sources that write there are
read off, the targets that read there are appended, and the rows are passed through the frozen attention.
Source of the definition: Ameisen et al., "Circuit Tracing" (2025), section "Attribution graphs".
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.attribution.local_model import ActiveFeatures, LocalModel
from workbench.attribution.sources import Columns, columns_of, written_at
from workbench.attribution.targets import LogitTargets


@dataclass(frozen=True)
class SweepResult:
    """The attribution matrix of one prompt.

    Attributes:
        weights: direct effect of each source (column) on each target (row): features, then logits.
        constant: what each target holds that no source explains: b_enc or the unembedding bias.
        value: the target's pre-activation, or its logit minus the mean logit.
    """

    weights: Float[Tensor, "target source"]
    constant: Float[Tensor, " target"]
    value: Float[Tensor, " target"]
    columns: Columns

    def row_sum_error(self) -> float:
        """Return max over targets of |Σ_s A[t,s] + constant − h_t| / Σ_s |A[t,s]|.

        The start token's MLP outputs are left out of the denominator: they are orders of magnitude
        larger than the rest and would hide an error.
        """
        deviation = (self.weights.sum(dim=1) + self.constant - self.value).abs()
        magnitude = self.weights.abs().sum(dim=1)
        for column, node in enumerate(self.columns.biases, start=self.columns.bias_start):
            if node.site == "mlp":
                magnitude = magnitude - self.weights[:, column].abs()
        return float((deviation / magnitude.clamp_min(1e-30)).max())


@torch.no_grad()
def sweep(local: LocalModel, features: ActiveFeatures, logits: LogitTargets, *, progress: bool = True) -> SweepResult:
    """Compute the direct effect of every source on every feature and logit target."""
    return _Sweep(local, features, logits).run(progress=progress)


class _Sweep:
    """The gradient rows of the targets met so far, sorted by falling position.

    Sorted so, the rows that can be non-zero at a position are the first ``counts[position]``: causality
    halves the work without a mask.
    """

    def __init__(self, local: LocalModel, features: ActiveFeatures, logits: LogitTargets) -> None:
        self.local, self.features, self.logits = local, features, logits
        self.columns = columns_of(local, len(features))
        self.bias_columns = self.columns.bias()
        n_targets = len(features) + len(logits)
        self.row_position = torch.cat([features.position, logits.position])
        # rank[t]: the place of target t among all targets, by falling position.
        self.order = self.row_position.argsort(descending=True, stable=True)
        self.rank = torch.empty_like(self.order)
        self.rank[self.order] = torch.arange(n_targets, device=self.order.device)
        dtype, device = local.reads.dtype, local.reads.device
        self.weights = torch.zeros(n_targets, self.columns.total, dtype=dtype, device=device)
        self.active = torch.empty(0, dtype=torch.long, device=device)
        self.gradient = torch.zeros(local.n_positions, 0, local.reads.shape[-1], dtype=dtype, device=device)
        self.counts = [0] * local.n_positions

    def run(self, *, progress: bool) -> SweepResult:
        local, clt = self.local, self.local.clt
        self._append_logits()
        layers = tqdm(reversed(range(local.n_layers)), total=local.n_layers, desc="Attribution", disable=not progress)
        for layer in layers:
            for written in written_at(local, self.features, self.columns, layer):
                self._read(written.position, written.columns, written.vectors)
            if local.parallel:
                passed = self._attention_back(layer)
                if clt.W_skip is not None:
                    passed += self._skip_back(layer)
                self.gradient += passed
                self._append_features(layer)
            else:
                if clt.W_skip is not None:
                    self.gradient += self._skip_back(layer)
                self._append_features(layer)
                self.gradient += self._attention_back(layer)
        for position, column in enumerate(self.columns.tokens):
            self._read(position, torch.tensor([column]), local.embeddings[position, None])
        if local.positional is not None:
            self._read_bias(0, "pos_embed", self.gradient, local.positional)
        constant = torch.cat([clt.b_enc[self.features.layer, self.features.feature], self.logits.constant])
        value = torch.cat([self.features.pre_activation, self.logits.value])
        return SweepResult(self.weights, constant, value, self.columns)

    def _read(self, position: int, columns: Int[Tensor, " source"], vectors: Float[Tensor, "source d_model"]) -> None:
        count = self.counts[position]
        rows = self.order[self.active[:count]]
        effects = self.gradient[position, :count] @ vectors.T
        self.weights[rows[:, None], columns.to(rows.device)] += effects

    def _read_bias(
        self,
        layer: int,
        site: str,
        gradient: Float[Tensor, "position target width"],
        bias: Float[Tensor, "*position width"],
    ) -> None:
        at = self.bias_columns[layer, site]
        first = self.local.n_positions - len(at)
        for position, column in enumerate(at, start=first):
            count = self.counts[position]
            rows = self.order[self.active[:count]]
            vector = bias if bias.ndim == 1 else bias[position]
            self.weights[rows, column] += gradient[position, :count] @ vector

    def _append(
        self, targets: Int[Tensor, " new"], position: Int[Tensor, " new"], rows: Float[Tensor, "new d_model"]
    ) -> None:
        ranks = torch.cat([self.active, self.rank[targets]])
        self.active, origin = ranks.sort()
        place = torch.empty_like(origin)
        place[origin] = torch.arange(len(origin), device=origin.device)
        n_old = self.gradient.shape[1]
        grown = self.gradient.new_zeros(self.gradient.shape[0], len(origin), self.gradient.shape[2])
        grown[:, place[:n_old]] = self.gradient
        grown[position, place[n_old:]] = rows
        self.gradient = grown
        at = self.row_position[self.order[self.active]]
        positions = torch.arange(self.local.n_positions, device=at.device)
        self.counts = (at[None] >= positions[:, None]).sum(dim=1).tolist()

    def _append_logits(self) -> None:
        local, logits = self.local, self.logits
        n_features = len(self.features)
        targets = torch.arange(n_features, n_features + len(logits), device=self.order.device)
        norm = local.final_norm
        rows = [
            norm.pull_back(direction, int(position))
            for direction, position in zip(logits.direction, logits.position, strict=True)
        ]
        if norm.bias is not None:
            at = self.bias_columns[local.n_layers, "ln_final"]
            for target, direction, position in zip(targets, logits.direction, logits.position, strict=True):
                self.weights[target, at[int(position)]] = direction @ norm.bias
        self._append(targets, logits.position, torch.stack(rows))

    def _append_features(self, layer: int) -> None:
        local = self.local
        targets = (self.features.layer == layer).nonzero(as_tuple=True)[0]
        if not len(targets):
            return
        position = self.features.position[targets]
        encoder = local.clt.W_enc[layer, self.features.feature[targets]]
        norm = local.read_norms[layer]
        if norm is None:
            rows = encoder
        else:
            rows = torch.empty_like(encoder)
            for at in set(position.tolist()):
                here = position == at
                rows[here] = norm.pull_back(encoder[here], at, weighted=local.reads_weighted)
            if (layer, "ln2") in self.bias_columns and norm.bias is not None:
                first = self.bias_columns[layer, "ln2"].start
                self.weights[targets, first + position - 1] += encoder @ norm.bias
        self._append(targets, position, rows)

    def _skip_back(self, layer: int) -> Float[Tensor, "position target d_model"]:
        local = self.local
        assert local.clt.W_skip is not None
        norm, passed = local.read_norms[layer], torch.zeros_like(self.gradient)
        # The start token's MLP outputs are taken as they are: no skip there.
        for position in range(1, local.n_positions):
            count = self.counts[position]
            rows = self.gradient[position, :count] @ local.clt.W_skip[layer]
            if norm is not None:
                if (layer, "ln2") in self.bias_columns and norm.bias is not None:
                    column = self.bias_columns[layer, "ln2"][position - 1]
                    self.weights[self.order[self.active[:count]], column] += rows @ norm.bias
                rows = norm.pull_back(rows, position, weighted=local.reads_weighted)
            passed[position, :count] = rows
        return passed

    def _attention_back(self, layer: int) -> Float[Tensor, "position target d_model"]:
        attention = self.local.attentions[layer]
        gradients = attention.pull_back(self.gradient, self.counts)
        if attention.post_norm is not None and attention.post_norm.bias is not None:
            self._read_bias(layer, "ln1_post", self.gradient, attention.post_norm.bias)
        if attention.b_O is not None:
            self._read_bias(layer, "b_O", gradients.output, attention.b_O)
        if attention.b_V is not None:
            self._read_bias(layer, "b_V", gradients.value, attention.b_V.flatten())
        if attention.norm.bias is not None:
            self._read_bias(layer, "ln1", gradients.normalized, attention.norm.bias)
        passed = gradients.normalized
        for position, count in enumerate(self.counts):
            passed[position, :count] = attention.norm.pull_back(passed[position, :count], position)
        return passed
