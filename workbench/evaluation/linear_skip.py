"""The linear skip alone: what of the MLPs a single matrix a layer explains, which no transcoder should fall short of.

Ridge regression from what a CLT reads to what it writes, in closed form from second moments that are summed over
training text in one pass. Source of the method: Hoerl & Kennard, "Ridge Regression" (1970).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.corpus import Corpus, token_rows
from workbench.errors import ConfigError
from workbench.evaluation.capture import batches, reads_and_writes
from workbench.evaluation.reconstruction import OutlierFilter
from workbench.memory import require_memory
from workbench.models import READ_HOOK, WRITE_HOOK, LoadedModel

# Times the width of SmolLM2: the error of fitting is about 1/28 of what no matrix explains.
TRAINING_TOKENS = 16_384
# Every eighth row chooses the strength of the ridge, then all rows fit the matrix.
_VALIDATION = 8
# Of the mean eigenvalue of the reads' covariance.
_RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)


@dataclass(frozen=True)
class LinearSkip:
    """ŷ = W x + b for every layer.

    Attributes:
        ridge: the strength by layer, added to the covariance of the reads.
        n_tokens: training tokens behind the fit, those of outlier norm left out.
    """

    W: Float[Tensor, "layer d_model d_model"]
    b: Float[Tensor, "layer d_model"]
    ridge: Float[Tensor, " layer"]
    n_tokens: int
    fingerprint: str
    read_hook: str
    write_hook: str


class Moments:
    """Streaming first and second moments of reads x and writes y of one layer, in float64."""

    def __init__(self, d_model: int) -> None:
        self.n = 0
        self._x, self._y = (torch.zeros(d_model, dtype=torch.float64) for _ in range(2))
        self._xx, self._xy = (torch.zeros(d_model, d_model, dtype=torch.float64) for _ in range(2))
        self._yy = 0.0

    def add(self, x: Float[Tensor, "token d_model"], y: Float[Tensor, "token d_model"]) -> None:
        """Count further tokens."""
        self.n += len(x)
        self._x += x.double().sum(0).cpu()
        self._y += y.double().sum(0).cpu()
        # The products are taken in the precision of the activations: a batch is short, their sum is not.
        self._xx += (x.T @ x).double().cpu()
        self._xy += (x.T @ y).double().cpu()
        self._yy += float(y.double().square().sum())

    def __add__(self, other: Moments) -> Moments:
        both = Moments(len(self._x))
        both.n = self.n + other.n
        both._x, both._y = self._x + other._x, self._y + other._y
        both._xx, both._xy = self._xx + other._xx, self._xy + other._xy
        both._yy = self._yy + other._yy
        return both

    @property
    def means(self) -> tuple[Float[Tensor, " d_model"], Float[Tensor, " d_model"]]:
        """The mean read and the mean write."""
        return self._x / self.n, self._y / self.n

    def around(
        self, x: Float[Tensor, " d_model"], y: Float[Tensor, " d_model"]
    ) -> tuple[Float[Tensor, "d_model d_model"], Float[Tensor, "d_model d_model"], float]:
        """Return Σ(x−c)(x−c)ᵀ, Σ(x−c)(y−c′)ᵀ and Σ|y−c′|² around a point (c, c′) of one's choice."""
        xx = self._xx - torch.outer(self._x, x) - torch.outer(x, self._x) + self.n * torch.outer(x, x)
        xy = self._xy - torch.outer(self._x, y) - torch.outer(x, self._y) + self.n * torch.outer(x, y)
        yy = self._yy - 2 * float(self._y @ y) + self.n * float(y @ y)
        return xx, xy, yy

    def ridge(self, strength: float) -> Float[Tensor, "d_model d_model"]:
        """Return the B that minimises Σ|(y−ȳ) − Bᵀ(x−x̄)|² + n · strength · |B|²."""
        xx, xy, _ = self.around(*self.means)
        xx.diagonal().add_(self.n * strength)
        return torch.cholesky_solve(xy, torch.linalg.cholesky(xx))

    def unexplained(
        self, B: Float[Tensor, "d_model d_model"], x: Float[Tensor, " d_model"], y: Float[Tensor, " d_model"]
    ) -> float:
        """Return Σ|(y−c′) − Bᵀ(x−c)|² over these tokens."""
        xx, xy, yy = self.around(x, y)
        return yy - 2 * float((B * xy).sum()) + float((B * (xx @ B)).sum())


def training_tokens(
    model: LoadedModel, corpus: Corpus, *, row_length: int, n_tokens: int = TRAINING_TOKENS, seed: int = 0
) -> Int[Tensor, "row position"]:
    """Return rows of the part of a corpus that CLTs are trained on: ``n_tokens``, or all of a smaller corpus.

    Raises:
        FormatError: the training part does not fill a single row.
    """
    rows = token_rows(
        corpus, model.tokenizer, start_token_id=model.start_token_id, row_length=row_length, seed=seed, split="train"
    )
    return torch.stack([row for _, row in zip(range(-(-n_tokens // (row_length - 1))), rows, strict=False)])


@torch.no_grad()
def fit_linear_skip(
    model: LoadedModel,
    tokens: Int[Tensor, "row position"],
    *,
    read_hook: str = READ_HOOK,
    write_hook: str = WRITE_HOOK,
    progress: bool = True,
) -> LinearSkip:
    """Fit the linear skip to training text, without its tokens of outlier norm, as CLTs are trained.

    The strength of the ridge is, layer by layer, the best of four on every eighth row.

    Args:
        tokens: rows of training text, never of the held-out text that it is evaluated on.

    Raises:
        ConfigError: there are fewer than eight rows.
        ModelError: a hook is unknown to the model.
        ResourceError: memory does not suffice for the moments.
    """
    if tokens.ndim != 2 or len(tokens) < _VALIDATION or tokens.shape[1] < 2:
        raise ConfigError(
            f"The linear skip is fitted to at least {_VALIDATION} rows of training text, but the tokens have the "
            f"shape {tuple(tokens.shape)}: give a larger corpus or shorter rows."
        )
    n_layers, d_model = model.n_layers, model.d_model
    require_memory(8 * d_model**2 * (4 * n_layers + 6), "Fitting the linear skip", "choose a machine with more memory")
    fitting, choosing = ([Moments(d_model) for _ in range(n_layers)] for _ in range(2))
    with tqdm(total=tokens.numel(), unit=" tokens", desc="Linear skip", unit_scale=True, disable=not progress) as bar:
        outliers = OutlierFilter()
        for batch in batches(tokens.to(model.device)):
            x, y, _ = reads_and_writes(
                model,
                batch.tokens,
                read_hook=read_hook,
                write_hook=write_hook,
                dtype=torch.promote_types(model.dtype, torch.float32),
            )
            typical = outliers.typical([*x, *y])
            chooses = (batch.row % _VALIDATION == 0).to(model.device)
            for moments, chosen in ((choosing, typical & chooses), (fitting, typical & ~chooses)):
                for layer in range(n_layers):
                    moments[layer].add(x[layer][chosen], y[layer][chosen])
            bar.update(batch.tokens.numel())
        solved = [_solve(*both) for both in zip(fitting, choosing, strict=True)]
    W, b, ridge = zip(*solved, strict=True)
    return LinearSkip(
        W=torch.stack(W),
        b=torch.stack(b),
        ridge=torch.tensor(ridge),
        n_tokens=fitting[0].n + choosing[0].n,
        fingerprint=model.fingerprint,
        read_hook=read_hook,
        write_hook=write_hook,
    )


def _solve(fitting: Moments, choosing: Moments) -> tuple[Tensor, Tensor, float]:
    """Return W, b and the ridge of one layer."""
    both = fitting + choosing
    centre = fitting.means
    # The trace over the number of dimensions: the mean eigenvalue of the covariance.
    scale = float(both.around(*both.means)[0].diagonal().mean()) / both.n
    ridge = scale * min(_RIDGES, key=lambda share: choosing.unexplained(fitting.ridge(scale * share), *centre))
    B = both.ridge(ridge)
    x, y = both.means
    return B.T, y - x @ B, ridge
