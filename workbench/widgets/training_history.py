"""The course of a training run as a bounded table: however long the run, a widget carries some hundred kilobytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

SCALARS = ("step", "tokens", "seconds", "fvu", "l0", "dead", "lr", "tokens_per_s")
# Where several steps share a row, it holds the mean of what is measured and the last of what is counted or planned.
_COUNTED = np.isin(SCALARS, ("step", "tokens", "seconds", "dead", "lr"))
MAX_ROWS = 600


class History:
    """Rows of metrics; when there are too many, pairs of neighbours become one.

    Attributes:
        generation: how often rows were joined or forgotten: where that has changed, earlier rows are out of date.
        n_layers: layers of the model; 0 until the first row tells.
    """

    def __init__(self, *, max_rows: int = MAX_ROWS) -> None:
        self._max_rows = max_rows
        self.generation = -1
        self.clear()

    def __len__(self) -> int:
        return self._n

    @property
    def rows(self) -> np.ndarray:
        """The rows, float32 [row, scalar or layer]; the last may yet change."""
        return self._rows[: self._n]

    def clear(self) -> None:
        """Forget every row."""
        self.generation += 1
        self.n_layers = 0
        self._rows = np.empty((self._max_rows, len(SCALARS)), np.float32)
        self._n = self._in_last = 0
        self._stride = 1
        self._sum = np.zeros(len(SCALARS))

    def add(self, metrics: Mapping[str, Any]) -> None:
        """Take the metrics of a step, as the trainer gives them."""
        by_layer = list(metrics["fvu_by_layer"])
        if not self._n:
            self.n_layers = len(by_layer)
            self._rows = np.empty((self._max_rows, len(SCALARS) + self.n_layers), np.float32)
        row = np.array([*(metrics.get(name, math.nan) for name in SCALARS), *by_layer], np.float64)
        if self._in_last in (0, self._stride):
            if self._n == self._max_rows:
                self._join()
            self._n += 1
            self._in_last, self._sum = 0, np.zeros(len(row))
        self._in_last += 1
        self._sum += row
        mean = self._sum / self._in_last
        _scalars(mean)[_COUNTED] = _scalars(row)[_COUNTED]
        self._rows[self._n - 1] = mean

    def _join(self) -> None:
        half = self._max_rows // 2
        pairs = self._rows[: 2 * half].reshape(half, 2, -1)
        joined = pairs.mean(1)
        _scalars(joined)[:, _COUNTED] = _scalars(pairs[:, 1])[:, _COUNTED]
        self._rows[:half] = joined
        self._n, self._stride = half, 2 * self._stride
        self.generation += 1

    def scalars(self) -> pd.DataFrame:
        """Return a column for each of `SCALARS`."""
        table = pd.DataFrame(_scalars(self.rows).astype(np.float64), columns=list(SCALARS))
        return table.astype({"step": np.int64, "tokens": np.int64})

    def by_layer(self) -> pd.DataFrame:
        """Return the FVU by step (index) and layer (columns)."""
        steps = pd.Index(self.rows[:, 0].astype(np.int64), name="step")
        layers = pd.RangeIndex(self.n_layers, name="layer")
        return pd.DataFrame(self.rows[:, len(SCALARS) :].copy(), index=steps, columns=layers)


def _scalars(rows: np.ndarray) -> np.ndarray:
    return rows[..., : len(SCALARS)]
