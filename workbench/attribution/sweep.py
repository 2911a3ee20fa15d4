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

# Gradient rows (targets × positions) that pass an attention layer at once: what they become on the way
# stays in the processor's cache, and in memory that the allocator hands out again instead of fresh pages.
_ROWS = 2048


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


@dataclass
class _Block:
    """The targets of one position, from the highest layer down, so that those met so far are the first ones.

    A target at a position touches the positions up to it alone: causality is in the shape.

    Attributes:
        targets: rows of the final matrix.
        gradient: at the residual stream.
        weights: the block's rows of the matrix, in its own order.
        active: how many targets have been met.
    """

    position: int
    targets: Int[Tensor, " target"]
    gradient: Float[Tensor, "target position d_model"]
    weights: Float[Tensor, "target source"]
    active: int = 0

    @property
    def rows(self) -> Float[Tensor, "active position d_model"]:
        return self.gradient[: self.active]


class _Sweep:
    def __init__(self, local: LocalModel, features: ActiveFeatures, logits: LogitTargets) -> None:
        self.local, self.features, self.logits = local, features, logits
        self.columns = columns_of(local, len(features))
        self.bias_columns = self.columns.bias()
        # Inside, feature columns are sorted by position, then layer: what one layer reads off is one slice.
        self.column_order = torch.argsort(features.position * local.n_layers + features.layer, stable=True)
        position = torch.cat([features.position, logits.position])
        layer = torch.cat([features.layer, torch.full_like(logits.position, local.n_layers)])
        d_model = local.reads.shape[-1]
        self.blocks: list[_Block] = []
        for at in position.unique(sorted=True).tolist():  # type: ignore[no-untyped-call]
            here = (position == at).nonzero(as_tuple=True)[0]
            targets = here[layer[here].argsort(descending=True, stable=True)]
            self.blocks.append(
                _Block(
                    position=at,
                    targets=targets,
                    gradient=local.reads.new_zeros(len(targets), at + 1, d_model),
                    weights=local.reads.new_zeros(len(targets), self.columns.total),
                )
            )

    def run(self, *, progress: bool) -> SweepResult:
        local, clt = self.local, self.local.clt
        self._append_logits()
        for layer in tqdm(
            reversed(range(local.n_layers)), total=local.n_layers, desc="Attribution", disable=not progress
        ):
            self._read_layer(layer)
            if local.parallel:
                for block in self.blocks:
                    for rows, weights in _chunks(block):
                        passed = self._attention_back(layer, rows, weights)
                        if clt.W_skip is not None:
                            passed[:, 1:] += self._skip_back(layer, rows, weights)
                        rows += passed
                self._append_features(layer)
            else:
                if clt.W_skip is not None:
                    for block in self.blocks:
                        for rows, weights in _chunks(block):
                            rows[:, 1:] += self._skip_back(layer, rows, weights)
                self._append_features(layer)
                for block in self.blocks:
                    for rows, weights in _chunks(block):
                        rows += self._attention_back(layer, rows, weights)
        for block in self.blocks:
            first = self.columns.tokens.start
            upto = slice(first, first + block.position + 1)
            block.weights[:, upto] = torch.linalg.vecdot(block.gradient, local.embeddings[: block.position + 1])
            if local.positional is not None:
                at = self.bias_columns[0, "pos_embed"].start
                positional = local.positional[: block.position + 1]
                block.weights[:, at : at + block.position + 1] = torch.linalg.vecdot(block.gradient, positional)
        return self._collect()

    def _collect(self) -> SweepResult:
        """Bring rows and columns into the order of the graph's nodes."""
        n_features = len(self.features)
        inverse = torch.arange(self.columns.total, device=self.column_order.device)
        inverse[self.column_order] = torch.arange(n_features, device=self.column_order.device)
        weights = self.local.reads.new_empty(n_features + len(self.logits), self.columns.total)
        while self.blocks:
            block = self.blocks.pop()
            weights[block.targets] = block.weights[:, inverse]
        constant = torch.cat([self.local.clt.b_enc[self.features.layer, self.features.feature], self.logits.constant])
        value = torch.cat([self.features.pre_activation, self.logits.value])
        return SweepResult(weights, constant, value, self.columns)

    def _read_layer(self, layer: int) -> None:
        """Read off what every source that writes at a layer does to the targets met so far."""
        for written in written_at(self.local, self.features, self.column_order, self.columns, layer):
            position = written.position
            for block in self.blocks:
                if block.position < position or not block.active:
                    continue
                rows, weights = block.gradient[: block.active, position], block.weights[: block.active]
                if len(written.features):
                    weights[:, written.feature_columns].addmm_(rows, written.features.T)
                weights[:, written.other_columns] = rows @ written.others.T

    def _append(self, targets: Int[Tensor, " new"], rows: Float[Tensor, "new d_model"]) -> None:
        """Add targets of one layer; within a block they follow those of the layers above."""
        row = torch.full((len(self.features) + len(self.logits),), -1, device=targets.device)
        row[targets] = torch.arange(len(targets), device=targets.device)
        for block in self.blocks:
            origin = row[block.targets[block.active :]]
            origin = origin[origin >= 0]
            new = slice(block.active, block.active + len(origin))
            block.gradient[new, block.position] = rows[origin]
            block.active = new.stop

    def _append_logits(self) -> None:
        local, logits = self.local, self.logits
        targets = torch.arange(len(self.features), len(self.features) + len(logits), device=self.column_order.device)
        norm = local.final_norm
        rows = torch.cat(
            [
                norm.pull_back(direction[None], first=int(position))
                for direction, position in zip(logits.direction, logits.position, strict=True)
            ]
        )
        self._append(targets, rows)
        if norm.bias is not None:
            first = self.bias_columns[local.n_layers, "ln_final"].start
            self._set_own(targets, first + logits.position, logits.direction @ norm.bias)

    def _append_features(self, layer: int) -> None:
        local = self.local
        targets = (self.features.layer == layer).nonzero(as_tuple=True)[0]
        if not len(targets):
            return
        position = self.features.position[targets]
        encoder = local.clt.W_enc[layer, self.features.feature[targets]]
        norm = local.read_norms[layer]
        rows = encoder
        if norm is not None:
            rows = torch.empty_like(encoder)
            for at in set(position.tolist()):
                here = position == at
                pulled = norm.pull_back(encoder[here][:, None], first=at, weighted=local.reads_weighted)
                rows[here] = pulled[:, 0]
        self._append(targets, rows)
        if norm is not None and norm.bias is not None and local.reads_weighted:
            first = self.bias_columns[layer, "ln2"].start
            self._set_own(targets, first + position - 1, encoder @ norm.bias)

    def _set_own(
        self, targets: Int[Tensor, " new"], columns: Int[Tensor, " new"], effect: Float[Tensor, " new"]
    ) -> None:
        """Set one weight a target: a bias that acts where the target itself reads."""
        place = torch.full((len(self.features) + len(self.logits),), -1, device=targets.device)
        place[targets] = torch.arange(len(targets), device=targets.device)
        for block in self.blocks:
            new = place[block.targets]
            here = (new >= 0).nonzero(as_tuple=True)[0]
            block.weights[here, columns[new[here]]] += effect[new[here]]

    def _skip_back(
        self, layer: int, rows: Float[Tensor, "target position d_model"], weights: Float[Tensor, "target source"]
    ) -> Float[Tensor, "target later_position d_model"]:
        """Return the gradient that the skip passes on, from position 1: the start token has none."""
        local = self.local
        assert local.clt.W_skip is not None
        norm = local.read_norms[layer]
        passed = rows[:, 1:] @ local.clt.W_skip[layer]
        if norm is None:
            return passed
        if norm.bias is not None and local.reads_weighted:
            first = self.bias_columns[layer, "ln2"].start
            weights[:, first : first + passed.shape[1]] += passed @ norm.bias
        return norm.pull_back(passed, first=1, weighted=local.reads_weighted)

    def _attention_back(
        self, layer: int, rows: Float[Tensor, "target position d_model"], weights: Float[Tensor, "target source"]
    ) -> Float[Tensor, "target position d_model"]:
        attention = self.local.attentions[layer]
        gradients = attention.pull_back(rows)
        biases = (
            ("ln1_post", rows, None if attention.post_norm is None else attention.post_norm.bias),
            ("b_O", gradients.output, attention.b_O),
            ("b_V", gradients.value, attention.b_V),
            ("ln1", gradients.normalized, attention.norm.bias),
        )
        for site, gradient, bias in biases:
            if bias is not None:
                first = self.bias_columns[layer, site].start
                weights[:, first : first + rows.shape[1]] = gradient @ bias
        return gradients.residual


def _chunks(
    block: _Block,
) -> list[tuple[Float[Tensor, "target position d_model"], Float[Tensor, "target source"]]]:
    """Return a block's active rows and their weights in pieces of about ``_ROWS`` gradient rows."""
    size = max(1, _ROWS // (block.position + 1))
    spans = [slice(start, min(start + size, block.active)) for start in range(0, block.active, size)]
    return [(block.gradient[span], block.weights[span]) for span in spans]
