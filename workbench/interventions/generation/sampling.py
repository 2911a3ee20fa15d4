"""Choosing the next token."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ConfigError


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen.

    The noise of a draw depends on the seed and the step alone, so that a clean and a steered text of the same seed
    differ by what the edits do, not by luck.

    Attributes:
        temperature: 0 takes the most probable token; else probabilities are sharpened below 1, flattened above.
        top_k: draw from so many of the most probable tokens; None for all.
        top_p: draw from the smallest set of tokens whose probabilities, after the temperature, reach this sum.
        seed: of the draws.

    Raises:
        ConfigError: a number cannot be used.
    """

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise ConfigError(f"The temperature is {self.temperature}: give 0 or a positive number.")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}: give at least 1, or None for all tokens.")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}: give a number above 0 and up to 1.")
        if self.temperature == 0 and (self.top_k is not None or self.top_p is not None):
            raise ConfigError(
                "With the temperature 0 the most probable token is taken, and top_k and top_p do nothing: give a "
                "temperature or leave them out."
            )

    def pick(self, log_probabilities: Float[Tensor, " vocab"], *, step: int) -> int:
        """Return the id of the next token."""
        if self.temperature == 0:
            return int(log_probabilities.argmax())
        scaled = (log_probabilities.double() / self.temperature).log_softmax(-1).cpu()
        order = scaled.argsort(descending=True, stable=True)
        n_kept = len(order) if self.top_k is None else min(self.top_k, len(order))
        if self.top_p is not None:
            below = scaled[order].exp().cumsum(0) < self.top_p
            n_kept = min(n_kept, int(below.sum()) + 1)
        kept = order[:n_kept]
        # The largest of log-probabilities with Gumbel noise is a draw from them (Gumbel 1954; "Gumbel-max trick").
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        uniform = torch.rand(len(scaled), generator=generator, dtype=torch.float64).clamp_min(1e-300)
        noise = -(-uniform.log()).log()
        return int(kept[(scaled + noise)[kept].argmax()])
