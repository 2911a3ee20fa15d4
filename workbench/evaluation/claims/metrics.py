"""What a claim is about: a number read off the logits of the next token."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from workbench.errors import ConfigError
from workbench.models import LoadedModel, token_id

# From the logits of the next token, before a soft cap, to a number.
Measure: TypeAlias = Callable[[Float[Tensor, " vocab"]], float]


@dataclass(frozen=True)
class LogitDifference:
    """The logit of one token minus that of another, both single tokens with their leading space."""

    token: str
    other: str

    def of(self, model: LoadedModel) -> Measure:
        """Return the measure for a model.

        Raises:
            PromptError: a text is no single token.
        """
        one, other = token_id(model, self.token), token_id(model, self.other)
        return lambda logits: float(logits[one] - logits[other])

    def __str__(self) -> str:
        return f"logit of {self.token!r} − {self.other!r}"


@dataclass(frozen=True, init=False)
class Probability:
    """The probability of a token, or of several together."""

    tokens: tuple[str, ...]

    def __init__(self, *tokens: str) -> None:
        if not tokens or len(set(tokens)) < len(tokens):
            raise ConfigError(f"The tokens of a probability are {tokens}: give at least one, and each once.")
        object.__setattr__(self, "tokens", tokens)

    def of(self, model: LoadedModel) -> Measure:
        """Return the measure for a model.

        Raises:
            PromptError: a text is no single token.
        """
        ids = [token_id(model, token) for token in self.tokens]
        return lambda logits: float(model.log_probabilities(logits)[ids].exp().sum())

    def __str__(self) -> str:
        return "probability of " + " or ".join(map(repr, self.tokens))


Metric: TypeAlias = LogitDifference | Probability | Measure


def measure_of(metric: Metric, model: LoadedModel) -> Measure:
    """Return a metric as a function of the logits that gives finite numbers.

    Raises:
        ConfigError: the metric is none, or gives no finite number.
        PromptError: a text is no single token.
    """
    if isinstance(metric, LogitDifference | Probability):
        return metric.of(model)
    if not callable(metric):
        raise ConfigError(
            f"The metric is {metric!r}: give a LogitDifference, a Probability or a function of the logits."
        )

    def checked(logits: Float[Tensor, " vocab"]) -> float:
        value = metric(logits)
        try:
            number = float(value)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"The metric gave {value!r}: it must return a number.") from error
        if not math.isfinite(number):
            raise ConfigError(f"The metric gave {number}: it must return a finite number.")
        return number

    return checked


def name_of(metric: Metric) -> str:
    """Return what a metric is called in the table."""
    return str(metric) if isinstance(metric, LogitDifference | Probability) else getattr(metric, "__name__", "metric")
