"""Dose and response: the next token's probabilities over the factors of one slider, the others as they stand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from workbench.errors import ConfigError, InterventionError
from workbench.widgets.sliders_asked import HIGHEST, LOWEST, Asked
from workbench.widgets.sliders_result import Control, HasTokens, Run, divergence, probabilities
from workbench.widgets.sliders_rows import text

FACTORS: tuple[float, ...] = tuple(np.linspace(LOWEST, HIGHEST, 21).tolist())
# As many lines as can be told apart.
_LINES = 5
# Seconds between two pictures of a curve that grows.
_REST = 0.1

Publish = Callable[[dict[str, Any]], None]


class Sweep:
    """A sweep over the factors of one slider, point by point.

    Args:
        asked: the values, the mode and the control that stand.
        slider: whose factor changes; those that it is linked with change alike.
        linked: the sliders that get the same factor, itself included.
        factors: the doses.
        run, control: as of the sliders; without a control there is none.
        publish: called with what there is, at the beginning, from time to time, and at the end.
    """

    def __init__(
        self,
        asked: Asked,
        slider: str,
        linked: Sequence[str],
        factors: Sequence[float],
        *,
        run: Run,
        control: Control | None,
        publish: Publish,
    ) -> None:
        self._asked, self._slider, self._linked, self._factors = asked, slider, tuple(linked), tuple(factors)
        self._run, self._publish = run, publish
        self._control = control if asked.control_seed is not None else None
        self._control_error = ""
        self._cancelled = threading.Event()
        self._names: dict[int, str] = {}
        self._after: list[Float[np.ndarray, " vocab"]] = []
        self._control_after: list[Float[np.ndarray, " vocab"]] = []
        self._kl: list[float | None] = []
        self._control_kl: list[float | None] = []

    def cancel(self) -> None:
        """End the sweep after the point that is being run; from any thread."""
        self._cancelled.set()

    def start(self) -> dict[str, Any]:
        """Run the model at every dose, on the calling thread, and return the curve.

        Raises:
            InterventionError: the model cannot be run at one of them; what there was has been published.
        """
        told, state = 0.0, "failed"
        self._publish(self._curve("running"))
        try:
            for factor in self._factors:
                if self._cancelled.is_set():
                    break
                self._point(factor)
                if time.monotonic() - told > _REST:
                    told = time.monotonic()
                    self._publish(self._curve("running"))
            state = "done" if len(self._after) == len(self._factors) else "cancelled"
        finally:
            curve = self._curve(state)
            self._publish(curve)
        return curve

    def _point(self, factor: float) -> None:
        asked = self._asked.at(dict.fromkeys(self._linked, factor))
        edits = asked.edits
        outcome = self._run(edits, asked.mode)
        after = probabilities(outcome)
        table = outcome.tokens
        self._names |= {int(i): text(t) for i, t in zip(table["token_id"], table["token"], strict=True)}
        instead: HasTokens = outcome
        if self._control is not None and edits:
            assert asked.control_seed is not None
            try:
                instead = self._run(list(self._control(edits, asked.control_seed)), asked.mode)
            except InterventionError as error:
                # The curve is worth seeing without it.
                self._control, self._control_error = None, text(str(error))
        self._after.append(after)
        self._kl.append(divergence(outcome))
        self._control_after.append(probabilities(instead))
        self._control_kl.append(divergence(instead))

    def _curve(self, state: str) -> dict[str, Any]:
        n, after = len(self._after), self._after
        ids = sorted(self._names, key=lambda token: -max(row[token] for row in after))[:_LINES] if n else []
        with_control = self._control is not None
        columns = {token: [float(row[token]) for row in after] for token in ids}
        control = {token: [float(row[token]) for row in self._control_after] for token in ids if with_control}
        return {
            "slider": self._slider,
            "linked": list(self._linked),
            "factors": list(self._factors[:n]),
            "low": min(self._factors),
            "high": max(self._factors),
            "tokens": [{"id": token, "token": self._names[token]} for token in ids],
            "after": [columns[token] for token in ids],
            "control": [control[token] for token in ids] if with_control else None,
            "kl": self._kl[:n],
            "control_kl": self._control_kl[:n] if with_control else None,
            "control_error": self._control_error,
            "total": len(self._factors),
            "state": state,
            **self._asked.wire(),
        }


def curve_table(curve: Mapping[str, Any]) -> pd.DataFrame:
    """Return a curve as a table: one row a dose and token: factor, token, token_id, after, kl, and those of a control.

    ``kl`` is of the whole distribution, so it is the same for all tokens of a dose.
    """
    names = ["factor", "token", "token_id", "after", "kl"]
    control = curve.get("control")
    names += ["control_after", "control_kl"] if control is not None else []
    rows = []
    for line, token in enumerate(curve.get("tokens", ())):
        for at, factor in enumerate(curve["factors"]):
            row = [factor, token["token"], token["id"], curve["after"][line][at], curve["kl"][at]]
            row += [control[line][at], curve["control_kl"][at]] if control is not None else []
            rows.append(row)
    table = pd.DataFrame(rows, columns=names)
    numbers = [name for name in names if name not in ("token", "token_id")]
    return table.astype(dict.fromkeys(numbers, "float64"))


def checked_doses(factors: Sequence[float] | None) -> tuple[float, ...]:
    """Return the doses in order; by default from −5 to 5 in steps of a half.

    Raises:
        ConfigError: there are fewer than two, or one is outside of the sliders' range.
    """
    if factors is None:
        return FACTORS
    doses = sorted({float(factor) for factor in factors})
    if len(doses) < 2 or not (LOWEST <= doses[0] and doses[-1] <= HIGHEST):
        raise ConfigError(f"The doses are {doses}: give at least two factors from {LOWEST:g} to {HIGHEST:g}.")
    return tuple(doses)
