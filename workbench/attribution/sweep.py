"""The sweep: all edges of an attribution graph in one pass from the top layer down, without autograd.

One gradient row per target is held at the residual stream. At each layer the sources that write there are
read off, the targets that read there are appended, and the rows are passed through the frozen attention.
Source of the definition: Ameisen et al., "Circuit Tracing" (2025), section "Attribution graphs".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.attribution.attention import FoldedAttention
from workbench.attribution.local_model import ActiveFeatures, LocalModel
from workbench.attribution.sources import Columns, columns_of, written_at
from workbench.attribution.targets import Outputs

# Gradient rows (targets × positions) that pass an attention layer at once: what they become on the way
# stays in the processor's cache, and in memory that the allocator hands out again instead of fresh pages.
_ROWS = 2048
# Adjacent positions share a block until it has so many targets: smaller products do not fill the processor.
_TARGETS = 128


@dataclass(frozen=True)
class SweepResult:
    """The attribution matrix of one prompt.

    Attributes:
        weights: direct effect of each source (column) on each target (row): features, then outputs.
        constant: what each target holds that no source explains: b_enc or the unembedding bias.
        value: the target's pre-activation, or what the model computed for the output.
        operations: floating-point operations of the matrix products.
    """

    weights: Float[Tensor, "target source"]
    constant: Float[Tensor, " target"]
    value: Float[Tensor, " target"]
    columns: Columns
    operations: int

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
def sweep(
    local: LocalModel,
    sources: ActiveFeatures,
    outputs: Outputs,
    *,
    targets: Int[Tensor, " target"] | None = None,
    precision: torch.dtype = torch.float32,
    progress: bool = True,
) -> SweepResult:
    """Compute the direct effect of every source on every target.

    Args:
        sources: the features that get a column each; what other features write counts as error.
        outputs: the last rows.
        targets: which of ``sources`` get a row; all by default.
        precision: of the large matrix products' factors, if lower than the model's own; sums, gradients and weights
            keep the model's.
    """
    rows = sources if targets is None else sources.select(targets)
    return _Sweep(local, sources, rows, outputs, precision).run(progress)


@dataclass
class _Block:
    """The targets of adjacent positions, from the one that reads highest down, so that those met so far come first.

    A target touches the positions up to its own alone: causality is in the shape.

    Attributes:
        targets: rows of the final matrix.
        own: the position of each target.
        gradient: at the residual stream.
        weights: the block's rows of the matrix, in its own order.
        active: how many targets have been met.
        spread: how many of them have passed an attention layer; the others' gradient is at their own position alone.
    """

    targets: Int[Tensor, " target"]
    own: Int[Tensor, " target"]
    gradient: Float[Tensor, "target position d_model"]
    weights: Float[Tensor, "target source"]
    active: int = 0
    spread: int = 0

    @property
    def n_positions(self) -> int:
        return self.gradient.shape[1]

    def chunks(self, stop: int) -> Iterator[tuple[Float[Tensor, "target position d_model"], Float[Tensor, "target s"]]]:
        """Yield the first targets' rows and weights in pieces of about ``_ROWS`` gradient rows."""
        size = max(1, _ROWS // self.n_positions)
        for start in range(0, stop, size):
            span = slice(start, min(start + size, stop))
            yield self.gradient[span], self.weights[span]


class _Sweep:
    def __init__(
        self,
        local: LocalModel,
        sources: ActiveFeatures,
        features: ActiveFeatures,
        outputs: Outputs,
        precision: torch.dtype,
    ) -> None:
        # A float64 model is never rounded; float32 stands for "as the model is".
        self.dtype = local.reads.dtype if precision == torch.float32 else precision
        self.local, self.sources, self.features, self.outputs = local, sources, features, outputs
        self.device = local.reads.device
        self.columns = columns_of(local, len(sources))
        self.bias_columns = self.columns.bias()
        # Inside, feature columns are sorted by position, then layer: what one layer reads off is one slice.
        self.column_order = torch.argsort(sources.position * local.n_layers + sources.layer, stable=True)
        self.operations = 0
        order = torch.cat(
            [2 * features.layer, torch.tensor([node.order for node in outputs.nodes], device=self.device)]
        )
        self.position = torch.cat([features.position, outputs.position.to(self.device)])
        self.blocks: list[_Block] = []
        for low, high in _spans(torch.bincount(self.position, minlength=local.n_positions).tolist()):
            here = ((self.position >= low) & (self.position < high)).nonzero(as_tuple=True)[0]
            targets = here[order[here].argsort(descending=True, stable=True)]
            self.blocks.append(
                _Block(
                    targets=targets,
                    own=self.position[targets],
                    gradient=local.reads.new_zeros(len(targets), high, local.reads.shape[-1]),
                    weights=local.reads.new_zeros(len(targets), self.columns.total),
                )
            )

    def run(self, progress: bool) -> SweepResult:
        local = self.local
        self._append_final()
        for layer in tqdm(
            reversed(range(local.n_layers)), total=local.n_layers, desc="Attribution", disable=not progress
        ):
            self._append_stream(layer)
            self._read_layer(layer)
            # Parallel branches read the same residual stream: the skip of a block does not see its attention.
            if local.parallel:
                skipped = [self._skip_back(layer, block) for block in self.blocks]
                self._attention_back(layer)
                for block, passed in zip(self.blocks, skipped, strict=True):
                    if passed is not None:
                        block.gradient[: block.active, 1:] += passed
                self._append_features(layer)
            else:
                for block in self.blocks:
                    passed = self._skip_back(layer, block)
                    if passed is not None:
                        block.gradient[: block.active, 1:] += passed
                self._append_features(layer)
                self._attention_back(layer)
        self._read_embeddings()
        return self._collect()

    def _collect(self) -> SweepResult:
        """Bring rows and columns into the order of the graph's nodes."""
        inverse = torch.arange(self.columns.total, device=self.device)
        inverse[self.column_order] = torch.arange(len(self.sources), device=self.device)
        n_targets = len(self.features) + len(self.outputs)
        weights = self.local.reads.new_empty(n_targets, self.columns.total)
        while self.blocks:
            block = self.blocks.pop()
            weights.index_copy_(0, block.targets, block.weights.index_select(1, inverse))
        own = [
            weights.new_tensor([getattr(node, name) for node in self.outputs.nodes]) for name in ("constant", "value")
        ]
        constant = torch.cat([self.local.clt.b_enc[self.features.layer, self.features.feature], own[0]])
        value = torch.cat([self.features.pre_activation, own[1]])
        return SweepResult(weights, constant, value, self.columns, self.operations)

    # --- reading sources off ------------------------------------------------------------------------------------------

    def _read_layer(self, layer: int) -> None:
        """Read off what every source that writes at a layer does to the targets met so far."""
        for written in written_at(self.local, self.sources, self.column_order, self.columns, layer):
            position = written.position
            for block in self.blocks:
                if block.n_positions <= position or not block.active:
                    continue
                rows, weights = block.gradient[: block.active, position], block.weights[: block.active]
                if len(written.features):
                    self._add_product(weights[:, written.feature_columns], rows, written.features.T)
                weights[:, written.other_columns] = rows @ written.others.T
                self.operations += 2 * rows.numel() * (len(written.features) + len(written.others))

    def _read_embeddings(self) -> None:
        local = self.local
        embedded = [(self.columns.tokens.start, local.embeddings)]
        if local.positional is not None:
            embedded.append((self.bias_columns[0, "pos_embed"].start, local.positional))
        for block in self.blocks:
            n = block.n_positions
            for first, vectors in embedded:
                block.weights[:, first : first + n] += torch.linalg.vecdot(block.gradient, vectors[:n])

    def _read_through_first_attention(self) -> None:
        """Read off what tokens and biases do through the first layer's attention.

        Nothing but these few sources lies below it. So they are pushed up to its output instead of pulling every
        target's gradient down.
        """
        local, attention = self.local, self.local.attentions[0]
        n, firsts, values = local.n_positions, [self.columns.tokens.start], [attention.values(local.embeddings)]
        if local.positional is not None:
            firsts.append(self.bias_columns[0, "pos_embed"].start)
            values.append(attention.values(local.positional))
        for site, bias in (("b_V", attention.b_V), ("ln1", attention.norm.bias)):
            if bias is not None:
                firsts.append(self.bias_columns[0, site].start)
                value = bias if site == "b_V" else torch.einsum("d,kdh->kh", bias, attention.W_V)
                values.append(value.expand(n, *value.shape))
        writes = attention.head_writes(torch.stack(values))
        for query in range(n):
            upto = query + 1
            added = torch.einsum("hk,shkd->skd", attention.pattern[:, query, :upto], writes[:, :, :upto])
            post = attention.post_norm
            if post is not None:
                added = post.centre(added) * (post.weight / post.scale[query])
            for block in self.blocks:
                if block.n_positions <= query or not block.active:
                    continue
                rows, weights = block.gradient[: block.active, query], block.weights[: block.active]
                for first, vectors in zip(firsts, added, strict=True):
                    weights[:, first : first + upto].addmm_(rows, vectors.T)
                    self.operations += 2 * rows.numel() * upto

    # --- appending targets --------------------------------------------------------------------------------------------

    def _append(self, targets: Int[Tensor, " new"], rows: Float[Tensor, "new d_model"]) -> None:
        """Add targets that read at one point; within a block they follow those that read above."""
        row = torch.full((len(self.position),), -1, device=self.device)
        row[targets] = torch.arange(len(targets), device=self.device)
        for block in self.blocks:
            origin = row[block.targets[block.active :]]
            origin = origin[origin >= 0]
            new = torch.arange(block.active, block.active + len(origin), device=self.device)
            block.gradient[new, block.own[new]] = rows[origin]
            block.active += len(origin)

    def _outputs_at(self, site: str, layer: int) -> tuple[Int[Tensor, " new"], Float[Tensor, "new d_model"]]:
        """Return the rows of the outputs that read at a point, and their directions."""
        found = [at for at, node in enumerate(self.outputs.nodes) if node.site == site and node.layer == layer]
        directions = [self.outputs.nodes[at].direction for at in found]
        empty = self.local.reads.new_empty(0, self.local.reads.shape[-1])
        return (
            torch.tensor(found, dtype=torch.long, device=self.device) + len(self.features),
            torch.stack(directions) if directions else empty,
        )

    def _append_final(self) -> None:
        norm = self.local.final_norm
        targets, directions = self._outputs_at("final", self.local.n_layers)
        position = self.position[targets]
        self._append(targets, norm.pull_back_at(directions, position))
        if norm.bias is not None:
            first = self.bias_columns[self.local.n_layers, "ln_final"].start
            self._set_own(targets, first + position, directions @ norm.bias)

    def _append_stream(self, layer: int) -> None:
        self._append(*self._outputs_at("stream", layer + 1))

    def _append_features(self, layer: int) -> None:
        local = self.local
        targets = (self.features.layer == layer).nonzero(as_tuple=True)[0]
        outputs, directions = self._outputs_at("feature", layer)
        targets = torch.cat([targets, outputs])
        if not len(targets):
            return
        position = self.position[targets]
        encoder = torch.cat([local.clt.W_enc[layer, self.features.feature[self.features.layer == layer]], directions])
        norm = local.read_norms[layer]
        if norm is None:
            self._append(targets, encoder)
            return
        self._append(targets, norm.pull_back_at(encoder, position, weighted=local.reads_weighted))
        if norm.bias is not None and local.reads_weighted:
            first = self.bias_columns[layer, "ln2"].start
            self._set_own(targets, first + position - 1, encoder @ norm.bias)

    def _set_own(
        self, targets: Int[Tensor, " new"], columns: Int[Tensor, " new"], effect: Float[Tensor, " new"]
    ) -> None:
        """Set one weight a target: a bias that acts where the target itself reads."""
        place = torch.full((len(self.position),), -1, device=self.device)
        place[targets] = torch.arange(len(targets), device=self.device)
        for block in self.blocks:
            new = place[block.targets]
            here = (new >= 0).nonzero(as_tuple=True)[0]
            block.weights[here, columns[new[here]]] += effect[new[here]]

    # --- passing layers -----------------------------------------------------------------------------------------------

    def _skip_back(self, layer: int, block: _Block) -> Float[Tensor, "target later_position d_model"] | None:
        """Return the gradient that the skip passes on, from position 1: the start token has none."""
        local, active = self.local, block.active
        if local.clt.W_skip is None or not active or block.n_positions == 1:
            return None
        norm = local.read_norms[layer]
        passed = block.gradient[:active, 1:] @ local.clt.W_skip[layer]
        self.operations += 2 * passed.numel() * passed.shape[-1]
        if norm is None:
            return passed
        if norm.bias is not None and local.reads_weighted:
            first = self.bias_columns[layer, "ln2"].start
            block.weights[:active, first : first + passed.shape[1]] += passed @ norm.bias
        return norm.pull_back(passed, first=1, weighted=local.reads_weighted)

    def _attention_back(self, layer: int) -> None:
        """Pass the rows of every target met so far through a layer's attention, in place."""
        attention = self.local.attentions[layer].folded.to(self.dtype)
        for block in self.blocks:
            n = block.n_positions
            for rows, weights in block.chunks(block.active):
                for site, (bias, factor) in attention.output_biases.items():
                    first = self.bias_columns[layer, site].start
                    weights[:, first : first + n] = rows @ bias * factor[:n]
        if layer == 0:
            self._read_through_first_attention()
            return
        for block in self.blocks:
            n = block.n_positions
            for rows, weights in block.chunks(block.spread):
                self._values_back(layer, attention, rows, weights, attention.values(rows))
                self.operations += attention.operations(len(rows) * n, len(rows) * n, n)
            for start in range(block.spread, block.active, max(1, _ROWS // n)):
                span = slice(start, min(start + max(1, _ROWS // n), block.active))
                rows, own = block.gradient[span], block.own[span]
                values = attention.values_at(rows[torch.arange(len(own), device=self.device), own], own, n)
                self._values_back(layer, attention, rows, block.weights[span], values)
                self.operations += attention.operations(len(own) * n, len(own), 1)
            block.spread = block.active

    def _values_back(
        self,
        layer: int,
        attention: FoldedAttention,
        rows: Float[Tensor, "target position d_model"],
        weights: Float[Tensor, "target source"],
        values: Float[Tensor, "target position kv_head_and_d_head"],
    ) -> None:
        n = rows.shape[1]
        for site, (bias, factor) in attention.value_biases.items():
            first = self.bias_columns[layer, site].start
            weights[:, first : first + n] = values.to(bias.dtype) @ bias * factor[:n]
        self._add_product(rows.view(-1, rows.shape[-1]), values.reshape(-1, values.shape[-1]), attention.value_map)

    def _add_product(self, out: Float[Tensor, "i k"], left: Float[Tensor, "i j"], right: Float[Tensor, "j k"]) -> None:
        """Add a product to ``out`` in place; in a lower precision only its factors are rounded."""
        if self.dtype == out.dtype:
            out.addmm_(left, right)
        else:
            out += left.to(self.dtype) @ right.to(self.dtype)


def _spans(counts: list[int]) -> Iterator[tuple[int, int]]:
    """Yield ranges of adjacent positions, from the first to the last, with about ``_TARGETS`` targets or more each."""
    low = total = 0
    last = max(position for position, count in enumerate(counts) if count)
    for position, count in enumerate(counts[: last + 1]):
        total += count
        if total >= _TARGETS or position == last:
            yield low, position + 1
            low, total = position + 1, 0
