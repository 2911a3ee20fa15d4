"""Sliders on feature activations: move one, and the model's next token follows."""

from __future__ import annotations

import logging
import math
import numbers
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import pandas as pd
import traitlets

from workbench.errors import ConfigError, InterventionError, WorkbenchError
from workbench.interventions import Edit
from workbench.widgets.kit import NewestWins, Widget
from workbench.widgets.kit.plain import plain_text

_log = logging.getLogger(__name__)

LOWEST, CLEAN, HIGHEST = -5.0, 1.0, 5.0
MODES = ("propagated", "direct")
_COLUMNS = ("node_id", "kind", "layer", "feature", "position")
_TOKEN_COLUMNS = ("token", "token_id", "before", "after")


class HasTokens(Protocol):
    """What a run returns: an :class:`workbench.interventions.Intervention`, or what has such a table.

    ``tokens`` has the columns token, token_id, before and after (probabilities). A float ``kl``, the divergence in
    nats, is shown where there is one.
    """

    @property
    def tokens(self) -> pd.DataFrame: ...


Run: TypeAlias = Callable[[list[Edit], str], HasTokens]


class Asked(NamedTuple):
    """What one run of the model is for: the factor of every node, and the mode."""

    values: Mapping[str, float]
    mode: str

    @property
    def edits(self) -> list[Edit]:
        return [Edit.node(node_id, factor=factor) for node_id, factor in self.values.items() if factor != CLEAN]

    def wire(self) -> dict[str, Any]:
        return {"values": dict(self.values), "mode": self.mode}


class _Checked(traitlets.TraitType[Any, Any]):
    """A trait whose owner checks what is assigned, before anything of its state changes.

    The check stands in ``validate``, not in ``@traitlets.validate``: the latter is put off while a message from
    JavaScript is applied.
    """

    def __init__(self, check: str, default: Any) -> None:
        super().__init__(default)
        self._check = check

    def validate(self, obj: Any, value: Any) -> Any:
        return getattr(obj, self._check)(value)

    def set(self, obj: Any, value: Any) -> None:
        with obj.state_lock:
            super().set(obj, value)


class InterventionSliders(Widget, bundle="intervention-sliders"):
    """One slider a feature node, and the next token's probabilities in the clean and in the edited run.

    A slider is the factor of its node's clean activation: 1 leaves it as it is, 0 ablates it, −1 inverts it. The
    model runs on a thread of its own, the newest values first; what is shown last belongs to the last values. The
    traits can be set and observed from Python::

        sliders = bench.sliders(graph, nodes=explorer.selected)
        sliders.values = {"f/12/311/5": 0}      # nodes that are not named go back to 1
        sliders.wait()
        sliders.tokens

    Args:
        nodes: rows of ``graph.nodes``, features only; each (layer, feature, position) gets one slider.
        run: runs the model under edits in a mode; called on the worker's thread, so it must lock what it shares.
        prompt: the prompt's text, shown above the sliders.
        mode: ``"propagated"`` or ``"direct"``; see :func:`workbench.interventions.intervene`.
        values: node id → factor, from −5 to 5; 1 for nodes that are not named.
        k: how many of the clean run's most probable tokens are shown; the k // 2 most probable tokens of the
            edited run join them.

    Attributes:
        values: node id → factor, of every node. Assign a whole mapping: it cannot be changed in place.
        mode: the mode.
        result: what is shown: tokens, kl (nats, or None), seconds, and the values and mode that they belong to.
        error: why the newest run failed, or "".
        running: whether values wait for their result.

    Raises:
        ConfigError: no node, a node that is no feature, an unknown mode, or a factor that cannot be used.
    """

    nodes: Any = traitlets.List().tag(sync=True)
    prompt = traitlets.Unicode().tag(sync=True)
    values = _Checked("_checked_values", {}).tag(sync=True, to_json=lambda values, widget: dict(values))
    mode = _Checked("_checked_mode", MODES[0]).tag(sync=True)
    # The seconds go to the views in a message of their own: stored, they would change a notebook at every run of it.
    result = traitlets.Dict().tag(sync=True, to_json=lambda result, widget: _without_seconds(result))
    error = traitlets.Unicode().tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    # What the newest finished run was for, whether it gave a result or an error.
    answered = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        nodes: pd.DataFrame,
        run: Run,
        *,
        prompt: str,
        mode: str = MODES[0],
        values: Mapping[str, float] | None = None,
        k: int = 10,
    ) -> None:
        if k < 1:
            raise ConfigError(f"The number of tokens k is {k}: give at least 1.")
        self._intervene = run
        self._k = k
        self._closed = False
        rows = list(_rows(nodes))
        self._ids = tuple(row["id"] for row in rows)
        self._worker: NewestWins[Asked] = NewestWins(self._answer, name="InterventionSliders")
        super().__init__(nodes=rows, prompt=plain_text(prompt), values=values or {}, mode=mode)
        self.observe(self._ask, names=["values", "mode"])
        self._ask()

    @property
    def asked(self) -> Asked:
        """The values and the mode that stand now."""
        with self.state_lock:
            return Asked(self.values, self.mode)

    @property
    def edits(self) -> list[Edit]:
        """The edits that stand now: one for every node whose factor is not 1."""
        return self.asked.edits

    @property
    def tokens(self) -> pd.DataFrame:
        """The bars that are shown: token, token_id, before and after, the most probable before first."""
        rows = [(bar["token"], bar["id"], bar["before"], bar["after"]) for bar in self.result.get("tokens", ())]
        return pd.DataFrame(rows, columns=list(_TOKEN_COLUMNS))

    def reset(self) -> None:
        """Set every factor back to 1; the mode stays."""
        self.values = {}

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the bars belong to the values that stand now.

        Args:
            timeout: seconds, or None for as long as it takes.

        Returns:
            False when time ran out or the newest run failed; :attr:`error` says why.

        Raises:
            ConfigError: called from an observer of these sliders, which the result itself waits for.
        """
        if self._worker.runs_here or self.state_lock.is_mine:
            raise ConfigError("The sliders' result cannot come before this observer returns: observe 'result' instead.")
        return self._worker.wait(timeout) and not self.error and self.answered == self.asked.wire()

    def close(self) -> None:
        """Close the widget and end its thread; what runs ends first, and is not shown."""
        self._closed = True
        if worker := getattr(self, "_worker", None):  # None when the constructor raised
            worker.close()
        super().close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what JavaScript set; what cannot be used is said there, and its view shows the true values again."""
        try:
            super().set_state(sync_data)
        except ConfigError as error:
            self.publish(error=str(error))
            self.send_state(list(sync_data.keys() & {"values", "mode"}))

    def _ask(self, change: Any = None) -> None:
        if self._closed:
            return
        with self.state_lock:
            self.running = True
            self._worker.submit(self.asked)

    def _answer(self, asked: Asked) -> None:
        """Run the model and show what came of it; on the worker's thread."""
        answer: dict[str, Any] = {}
        try:
            answer["result"] = self._result(asked)
            answer["error"] = ""
        except WorkbenchError as error:
            answer["error"] = plain_text(str(error))
        except Exception as error:  # noqa: BLE001
            # Whoever moved the slider must learn of it; on a worker thread nobody else would.
            _log.exception("The intervention failed: %s", asked)
            answer["error"] = plain_text(f"{type(error).__name__}: {error}")
        with self.state_lock:
            if not self._closed:
                self.publish(**answer, answered=asked.wire(), running=asked != self.asked)
                if "result" in answer:
                    self.send({"kind": "took", "seconds": answer["result"]["seconds"]})

    def _result(self, asked: Asked) -> dict[str, Any]:
        started = time.perf_counter()
        outcome = self._intervene(asked.edits, asked.mode)
        bars = _bars(outcome.tokens, self._k)
        kl = getattr(outcome, "kl", None)
        return {
            "tokens": bars,
            "kl": None if kl is None or not math.isfinite(kl) else float(kl),
            "seconds": time.perf_counter() - started,
            **asked.wire(),
        }

    def _checked_mode(self, mode: object) -> str:
        if mode not in MODES:
            raise ConfigError(
                f"The sliders have no mode {mode!r}: choose {' or '.join(map(repr, MODES))} "
                "(intervene() knows 'constrained', too)."
            )
        return str(mode)

    def _checked_values(self, values: object) -> Mapping[str, float]:
        if not isinstance(values, Mapping):
            raise ConfigError(f"The values are a {type(values).__name__}: give a mapping of node id to factor.")
        unknown = [str(node_id) for node_id in values if node_id not in self._ids]
        if unknown:
            raise ConfigError(f"There is no slider for {_some(unknown)}: the sliders are of {_some(list(self._ids))}.")
        factors = {node_id: _factor(node_id, values.get(node_id, CLEAN)) for node_id in self._ids}
        # Read-only, because a change in place would go unnoticed.
        return MappingProxyType(factors)


def _rows(nodes: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield what JavaScript shows of each node, every (layer, feature, position) once.

    Raises:
        ConfigError: there are none, columns are missing, or a node is no feature.
    """
    if not isinstance(nodes, pd.DataFrame):
        raise ConfigError(f"The nodes are a {type(nodes).__name__}: give rows of graph.nodes.")
    missing = [column for column in _COLUMNS if column not in nodes.columns]
    if missing:
        raise ConfigError(f"The nodes have no column {', '.join(missing)}: give rows of graph.nodes.")
    if nodes.empty:
        raise ConfigError("No node was given: select one or more feature nodes in the graph.")
    others = nodes[nodes["kind"].astype(str) != "feature"]
    if not others.empty:
        named = [f"{row.node_id} ({row.kind})" for row in others.itertuples()]
        raise ConfigError(
            f"Only features have an activation that can be scaled, which {_some(named)} "
            f"{'is' if len(named) == 1 else 'are'} not: give feature nodes alone."
        )
    for row in nodes.drop_duplicates(["layer", "feature", "position"]).to_dict("records"):
        layer, feature, position = (int(row[name]) for name in ("layer", "feature", "position"))
        activation = row.get("activation")
        yield {
            "id": f"f/{layer}/{feature}/{position}",
            "layer": layer,
            "feature": feature,
            "position": position,
            "token": _text(row.get("token")),
            "label": _text(row.get("label")),
            "activation": float(activation) if activation is not None and math.isfinite(activation) else None,
        }


def _bars(tokens: pd.DataFrame, k: int) -> list[dict[str, Any]]:
    """Return the k tokens that were most probable before, then those of the k // 2 most probable after that are new.

    Raises:
        InterventionError: a probability is not finite.
    """
    if not np.isfinite(tokens[["before", "after"]].to_numpy(np.float64)).all():
        raise InterventionError("The edited model's probabilities are not finite: move the sliders closer to 1.")
    by_before = tokens.sort_values("before", ascending=False, kind="stable")
    shown = by_before.head(k)
    leading = tokens.nlargest(k // 2, "after")
    newcomers = by_before[by_before["token_id"].isin(leading["token_id"]) & ~by_before.index.isin(shown.index)]
    rows = pd.concat([shown, newcomers])
    columns = [rows[column].tolist() for column in _TOKEN_COLUMNS]
    return [
        {"token": _text(token), "id": token_id, "before": before, "after": after}
        for token, token_id, before, after in zip(*columns, strict=True)
    ]


def _without_seconds(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "seconds"}


def _factor(node_id: str, value: object) -> float:
    if not isinstance(value, numbers.Real):
        raise ConfigError(f"The factor of {node_id} is {value!r}: give a number from {LOWEST:g} to {HIGHEST:g}.")
    factor = float(value)
    if not LOWEST <= factor <= HIGHEST:  # NaN is not, either.
        raise ConfigError(f"The factor of {node_id} is {factor:g}: give a number from {LOWEST:g} to {HIGHEST:g}.")
    return factor


def _text(value: object) -> str:
    return plain_text(value) if isinstance(value, str) else ""


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
