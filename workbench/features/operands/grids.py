"""Operand grids: a feature's activation over all pairs of operands of an arithmetic prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float

from workbench.errors import ConfigError
from workbench.features.operands.families import MIN_SCORE, classify


@dataclass(frozen=True, eq=False, repr=False)
class OperandGrids:
    """Activations of features over operands, at one role of a template.

    Source of the method: Lindsey et al., "On the Biology of a Large Language Model" (2025), section "Addition".

    Attributes:
        template: the prompt with ``{a}`` and ``{b}``.
        a: the first operands, in the order of the rows.
        b: the second operands, in the order of the columns.
        role: at which token, for instance ``"last"`` or ``"b_last"``.
        features: (layer, index) of each grid.
        values: activations, 0 where the JumpReLU's threshold is not passed.
        stopped: the run was stopped; ``a`` holds the operands that were finished.
    """

    template: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    role: str
    features: tuple[tuple[int, int], ...]
    values: Float[np.ndarray, "feature a b"]
    stopped: bool = False

    def families(self, *, min_score: float = MIN_SCORE) -> pd.DataFrame:
        """Return which family of the addition study each grid belongs to, in the order of ``features``.

        See :func:`workbench.features.operands.families.classify` for the families and the score.

        Args:
            min_score: with less than this the family is ``"other"``.

        Returns:
            ``layer, feature, family, score, nearest`` (the best family, also of ``"other"``), ``operand`` (``"a"``,
            ``"b"`` or ``"either"``), ``x``, ``y`` (the centre), ``width`` (in the operands' own units), ``digits``
            (last digits), ``active`` (share of the cells), ``max_activation``.

        Raises:
            ConfigError: ``min_score`` is not between 0 and 1.
        """
        table = classify(self.values, self.a, self.b, min_score=min_score)
        table.insert(0, "layer", np.array([layer for layer, _ in self.features], dtype=np.int32))
        table.insert(1, "feature", np.array([feature for _, feature in self.features], dtype=np.int32))
        return table

    def grid(self, layer: int, feature: int) -> Float[np.ndarray, "a b"]:
        """Return one feature's grid.

        Raises:
            ConfigError: the feature is not among these.
        """
        if (layer, feature) not in self.features:
            raise ConfigError(
                f"Feature {feature} of layer {layer} is not among these {len(self.features)} grids: "
                "ask for it with features=[(layer, feature)]."
            )
        grid: np.ndarray = self.values[self.features.index((layer, feature))]
        return grid

    def select(self, features: Sequence[tuple[int, int]]) -> OperandGrids:
        """Return the grids of some features, in the order given.

        Raises:
            ConfigError: a feature is not among these.
        """
        values = [self.grid(layer, feature) for layer, feature in features]
        empty = self.values[:0]
        chosen = tuple((int(layer), int(feature)) for layer, feature in features)
        return replace(self, features=chosen, values=np.stack(values) if values else empty)

    def shuffled(self, *, seed: int = 0) -> OperandGrids:
        """Return the control: the same activations, each grid's cells in random order.

        What still finds a family in these finds it in anything. (A grid of one active cell is the exception: shuffled
        it is still an exact pair, of other operands.)
        """
        flat = self.values.reshape(len(self.values), -1)
        return replace(self, values=np.random.default_rng(seed).permuted(flat, axis=1).reshape(self.values.shape))

    def __repr__(self) -> str:
        size = f"{len(self.a)} × {len(self.b)}"
        return f"OperandGrids({self.template!r}, role {self.role!r}, {size}, {len(self.features)} features)"
