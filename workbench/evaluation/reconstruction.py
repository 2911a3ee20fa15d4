"""How much of the MLPs' outputs a transcoder explains, and with how many features: FVU, L0, dead features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.evaluation.bootstrap import Resamples

# What training drops by default; see TrainConfig.outlier_factor.
OUTLIER_FACTOR = 16.0
# What is active on more tokens than this is dense: hardly a feature of anything.
DENSE = 0.1


class ResidualSums:
    """Streaming sums of what is left of the MLP outputs, by row of text and layer, in float64.

    For r = y − ŷ of n tokens it gives Σ|r|² and, with the best constant added to ŷ, Σ|r − r̄|², both for
    the text as it is and for resamples of its rows.
    """

    def __init__(self, n_rows: int, n_layers: int, d_model: int) -> None:
        self._count = torch.zeros(n_rows, n_layers, dtype=torch.float64)
        self._sum = torch.zeros(n_rows, n_layers, d_model, dtype=torch.float64)
        self._square = torch.zeros(n_rows, n_layers, dtype=torch.float64)

    def add(self, layer: int, residual: Float[Tensor, "token d_model"], row: Int[Tensor, " token"]) -> None:
        """Count the residuals of one layer on further tokens.

        Args:
            row: which row of text each token is of.
        """
        residual, row = residual.double().cpu(), row.cpu()
        self._count[:, layer].index_add_(0, row, torch.ones(len(row), dtype=torch.float64))
        self._sum[:, layer].index_add_(0, row, residual)
        self._square[:, layer].index_add_(0, row, residual.square().sum(-1))

    @property
    def n_tokens(self) -> int:
        """Tokens counted at layer 0."""
        return int(self._count[:, 0].sum())

    @property
    def mean(self) -> Float[Tensor, "layer d_model"]:
        """The mean residual r̄ of every layer."""
        return self._sum.sum(0) / self._count.sum(0).clamp(min=1)[:, None]

    @property
    def total_by_row(self) -> Float[Tensor, "row layer"]:
        """Σ|r|² of every row and layer."""
        return self._square

    def around_by_row(self, constant: Float[Tensor, "layer d_model"]) -> Float[Tensor, "row layer"]:
        """Σ|r − c|² of every row and layer, for a constant c of one's choice."""
        constant = constant.double().cpu()
        return self._square - 2 * (self._sum * constant).sum(-1) + self._count * constant.square().sum(-1)

    @property
    def centred(self) -> Float[Tensor, " layer"]:
        """Σ|r − r̄|² of every layer."""
        return self._square.sum(0) - self._sum.sum(0).square().sum(-1) / self._count.sum(0).clamp(min=1)

    def centred_in(self, resamples: Resamples) -> Float[Tensor, "resample layer"]:
        """Σ|r − r̄|² of every layer in every resample of the rows, r̄ that resample's own mean."""
        squared_sums = [resamples.totals(self._sum[:, layer]).square().sum(-1) for layer in range(self._sum.shape[1])]
        counts = resamples.totals(self._count).clamp(min=1)
        return resamples.totals(self._square) - torch.stack(squared_sums, dim=1) / counts


def fraction_of_variance_unexplained(
    left: Float[Tensor, "*resample layer"], variance: Float[Tensor, "*resample layer"]
) -> Float[Tensor, "*resample layer"]:
    """Return the FVU by layer.

    FVU of a layer = Σ|y − ŷ|² / Σ|y − ȳ|² over held-out tokens, ȳ that layer's mean over the same
    tokens. A layer whose outputs do not vary counts as unexplained (1) unless it is met exactly (0).

    Args:
        left: Σ|y − ŷ|².
        variance: Σ|y − ȳ|².

    Source: "Circuit Tracing" (2025) calls it the normalised mean squared error of the transcoder.
    """
    return torch.where(variance > 0, left / variance.clamp(min=1e-300), (left > 0).double())


class OutlierFilter:
    """Tells which tokens have at some site a norm far above the median there.

    A few tokens (attention sinks that are not at position 0) write up to a thousand times more than
    others at single layers and would own those layers' FVU. Training drops them, so the FVU is given with
    and without them. The medians are those of the first tokens seen.
    """

    def __init__(self, factor: float = OUTLIER_FACTOR) -> None:
        self.factor = factor
        self._medians: list[float] = []

    def typical(self, sites: Sequence[Float[Tensor, "token d_model"]]) -> Bool[Tensor, " token"]:
        """Return which tokens exceed ``factor`` times the median norm at no site."""
        norms = [site.norm(dim=-1) for site in sites]
        if not self._medians:
            self._medians = [float(norm.median()) for norm in norms]
        limits = [self.factor * median for median in self._medians]
        return torch.stack([norm <= limit for norm, limit in zip(norms, limits, strict=True)]).all(0)


class FeatureCounts:
    """Streaming counts of active features: L0, dead and dense features."""

    def __init__(self, n_layers: int, n_features: int) -> None:
        self._n_tokens = [0] * n_layers
        self._active = torch.zeros(n_layers, n_features, dtype=torch.int64)

    def add(self, layer: int, activations: Float[Tensor, "token feature"]) -> None:
        """Count the active features of one layer on further tokens."""
        self._n_tokens[layer] += len(activations)
        self._active[layer] += (activations != 0).sum(0).cpu()

    @property
    def l0_by_layer(self) -> list[float]:
        """Mean number of active features a token, by layer."""
        return (self._active.sum(-1).double() / torch.tensor(self._n_tokens).clamp(min=1)).tolist()

    @property
    def l0(self) -> float:
        """Mean number of active features a token, all layers together."""
        return sum(self.l0_by_layer)

    @property
    def dead_by_layer(self) -> list[float]:
        """Fraction of features never active on the held-out tokens, by layer.

        It falls as the sample grows, so it is always told together with the number of tokens.
        """
        return (self._active == 0).double().mean(-1).tolist()

    @property
    def dead_fraction(self) -> float:
        """Fraction of all features never active on the held-out tokens."""
        return float((self._active == 0).double().mean())

    @property
    def dense_fraction(self) -> float:
        """Fraction of all features active on more than 10 % of the held-out tokens."""
        return float((self._active > DENSE * torch.tensor(self._n_tokens)[:, None]).double().mean())


def reconstruct_by_layer(
    clt: CLT, x: Sequence[Float[Tensor, "token d_model"]]
) -> Iterator[tuple[int, Float[Tensor, "token feature"], Float[Tensor, "token d_model"]]]:
    """Yield layer, feature activations and reconstruction ŷ, holding one window of activations at a time.

    Args:
        x: what the transcoder reads, by layer.
    """
    activations: list[Tensor] = [torch.empty(0)] * clt.n_layers
    for layer in range(clt.n_layers):
        read = x[layer].to(clt.W_enc.dtype)
        activations[layer] = clt.encode(layer, read)
        lowest = clt.config.sources(layer)[0]
        activations[:lowest] = [torch.empty(0)] * lowest
        written = clt.decode(layer, activations)
        if clt.W_skip is not None:
            written = written + clt.skip(layer, read)
        yield layer, activations[layer], written
