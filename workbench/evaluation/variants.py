"""The CLT and its baselines on the model's own activations: each a replacement of all MLPs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.evaluation.baselines import featureless, shuffled
from workbench.evaluation.capture import batches, reads_and_writes
from workbench.evaluation.linear_skip import LinearSkip
from workbench.evaluation.reconstruction import FeatureCounts, OutlierFilter, ResidualSums, reconstruct_by_layer
from workbench.models import LoadedModel


@dataclass(frozen=True)
class Variant:
    """One replacement of all MLPs, with what the model's own activations tell of it.

    Attributes:
        unexplained: Σ|y − ŷ|² by row of text and layer.
        unexplained_typical: the same without the tokens of outlier norm.
        counts: None where there are no features.
    """

    clt: CLT
    unexplained: Float[Tensor, "row layer"]
    unexplained_typical: Float[Tensor, "row layer"]
    counts: FeatureCounts | None = None


class Residuals:
    """Sums of what is left of the MLP outputs: over all tokens, and over those of no outlier norm."""

    def __init__(self, n_rows: int, clt: CLT) -> None:
        self.all = ResidualSums(n_rows, clt.n_layers, clt.config.d_model)
        self.typical = ResidualSums(n_rows, clt.n_layers, clt.config.d_model)

    def add(
        self,
        layer: int,
        residual: Float[Tensor, "token d_model"],
        row: Int[Tensor, " token"],
        typical: Bool[Tensor, " token"],
    ) -> None:
        """Count the residuals of one layer on further tokens."""
        self.all.add(layer, residual, row)
        self.typical.add(layer, residual[typical], row[typical.cpu()])

    def variant(self, clt: CLT, counts: FeatureCounts | None = None) -> Variant:
        """Return the variant that leaves these residuals."""
        return Variant(clt, self.all.total_by_row, self.typical.total_by_row, counts)

    def with_constant(
        self,
        clt: CLT,
        constant: Float[Tensor, "layer d_model"],
        *,
        W_skip: Float[Tensor, "layer d_model d_model"] | None = None,
    ) -> Variant:
        """Return the variant without features whose constant is subtracted from these residuals."""
        ablated = featureless(clt, constant, W_skip=W_skip)
        return Variant(ablated, self.all.around_by_row(constant), self.typical.around_by_row(constant))


@dataclass(frozen=True)
class Reconstructions:
    """What one pass over the held-out text gives.

    Attributes:
        outputs: sums of the MLP outputs themselves.
        variants: by name; ``clt`` is the CLT itself.
        final: the final norm's outputs of the model.
    """

    outputs: Residuals
    variants: dict[str, Variant]
    final: Float[Tensor, "row position d_model"]


def reconstruct(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[Tensor, "row position"],
    *,
    baselines: Collection[str],
    linear_skip: LinearSkip | None,
    seed: int,
    advance: Callable[[int], object],
) -> Reconstructions:
    """Run the model once over the text and reconstruct its MLP outputs by the CLT and its baselines.

    Args:
        baselines: names; ``skip_alone`` is left out for a CLT without a skip, ``linear_skip`` where none is given.
        seed: of the shuffled control.
    """
    n_rows = len(tokens)
    outputs = Residuals(n_rows, clt)
    candidates = {"clt": clt, **({"shuffled": shuffled(clt, seed=seed)} if "shuffled" in baselines else {})}
    left = {name: Residuals(n_rows, clt) for name in candidates}
    counts = {name: FeatureCounts(clt.n_layers, clt.n_features) for name in candidates}
    skips: dict[str, Float[Tensor, "layer d_model d_model"]] = {}
    if clt.W_skip is not None and "skip_alone" in baselines:
        skips["skip_alone"] = clt.W_skip
    if linear_skip is not None and "linear_skip" in baselines:
        skips["linear_skip"] = linear_skip.W.to(clt.W_enc)
    skip_left = {name: Residuals(n_rows, clt) for name in skips}

    outliers = OutlierFilter()
    finals = []
    for batch in batches(tokens):
        x, y, final = reads_and_writes(
            model,
            batch.tokens,
            read_hook=clt.config.read_hook,
            write_hook=clt.config.write_hook,
            dtype=clt.W_enc.dtype,
        )
        finals.append(final)
        typical = outliers.typical([*x, *y])
        for name, candidate in candidates.items():
            for layer, activations, written in reconstruct_by_layer(candidate, x):
                left[name].add(layer, y[layer] - written, batch.row, typical)
                counts[name].add(layer, activations)
        for layer in range(clt.n_layers):
            outputs.add(layer, y[layer], batch.row, typical)
            for name, W_skip in skips.items():
                skip_left[name].add(layer, y[layer] - x[layer] @ W_skip[layer].T, batch.row, typical)
        advance(batch.tokens.numel())

    variants = {name: left[name].variant(candidate, counts[name]) for name, candidate in candidates.items()}
    mean = outputs.all.mean
    for name, constant in (("mean_ablation", mean), ("zero_ablation", torch.zeros_like(mean))):
        if name in baselines:
            variants[name] = outputs.with_constant(clt, constant)
    for name, W_skip in skips.items():
        # The fitted skip has a constant of its own; a CLT's b_dec is made for its features, so that its skip alone
        # gets the best constant there is.
        fitted = linear_skip if name == "linear_skip" else None
        constant = skip_left[name].all.mean if fitted is None else fitted.b
        variants[name] = skip_left[name].with_constant(clt, constant, W_skip=W_skip)
    return Reconstructions(outputs, variants, torch.cat(finals))
