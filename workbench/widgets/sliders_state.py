"""The state of InterventionSliders: what a user sets, what is shown, and the same as tables."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
import traitlets

from workbench.errors import ConfigError
from workbench.interventions import Edit
from workbench.widgets.kit import Widget
from workbench.widgets.sliders_asked import (
    MODES,
    Asked,
    as_python,
    checked_factors,
    checked_links,
    checked_mode,
)
from workbench.widgets.sliders_curve import curve_table
from workbench.widgets.sliders_result import FEATURE_COLUMNS, TOKEN_COLUMNS, Control, HasTokens
from workbench.widgets.sliders_rows import Row

PANES = ("tokens", "features", "curve")
# What of the state decides what the model is run for.
ASKING = ("values", "mode", "control_seed")


class _Checked(traitlets.TraitType[Any, Any]):
    """A trait whose owner checks what is assigned, before anything of its state changes.

    The check stands in ``validate``, not in ``@traitlets.validate``: the latter is put off while a message from
    JavaScript is applied.
    """

    def __init__(self, check: Callable[[Any, Any], Any], default: Any) -> None:
        super().__init__(default)
        self._check = check

    def validate(self, obj: Any, value: Any) -> Any:
        return self._check(obj, value)

    def set(self, obj: Any, value: Any) -> None:
        with obj.state_lock:
            super().set(obj, value)


class SlidersState(Widget):
    """Traits and tables of :class:`workbench.widgets.InterventionSliders`, where they are explained."""

    nodes: Any = traitlets.List().tag(sync=True)
    prompt = traitlets.Unicode().tag(sync=True)
    values = _Checked(lambda self, values: self._checked_values(values), {}).tag(
        sync=True, to_json=lambda values, widget: dict(values)
    )
    mode = _Checked(lambda self, mode: checked_mode(mode), MODES[0]).tag(sync=True)
    links = _Checked(lambda self, links: checked_links(links, list(self._members)), []).tag(sync=True)
    control_seed = _Checked(lambda self, seed: self._checked_seed(seed), None).tag(sync=True)
    pane = traitlets.Enum(PANES, PANES[0]).tag(sync=True)
    # The seconds go to the views in a message of their own: stored, they would change a notebook at every run of it.
    result = traitlets.Dict().tag(sync=True, to_json=lambda result, widget: _without_seconds(result))
    knock_on = traitlets.Dict().tag(sync=True)
    curve = traitlets.Dict().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    running = traitlets.Bool(False).tag(sync=True)
    # What the newest finished run was for, whether it gave a result or an error.
    answered = traitlets.Dict().tag(sync=True)
    # What can be asked of these sliders: a control, further nodes.
    can = traitlets.Dict().tag(sync=True)

    _control: Control | None = None
    _outcome: HasTokens | None = None
    _members: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    _k = 10

    def __init__(self, rows: Sequence[Row], **traits: Any) -> None:
        self._members = _members(rows)
        self._tried: list[dict[str, Any]] = []
        super().__init__(nodes=list(rows), **traits)

    @property
    def asked(self) -> Asked:
        """The values, the mode and the control that stand now."""
        with self.state_lock:
            return Asked(self.values, self.mode, self._members, self.control_seed)

    @property
    def edits(self) -> list[Edit]:
        """The edits that stand now: one for every node whose factor is not 1."""
        return self.asked.edits

    @property
    def code(self) -> str:
        """The call of ``bench.intervene`` with the edits that stand now."""
        return as_python(self.asked, k=self._k)

    @property
    def tokens(self) -> pd.DataFrame:
        """The bars that are shown: token, token_id, before and after, the most probable before first.

        With a matched control beside it, ``control`` is the probability in the control's run.
        """
        rows = [(bar["token"], bar["id"], bar["before"], bar["after"]) for bar in self.result.get("tokens", ())]
        table = pd.DataFrame(rows, columns=list(TOKEN_COLUMNS))
        control = self.result.get("control") or {}
        return table.assign(control=control["after"]) if "after" in control else table

    @property
    def features(self) -> pd.DataFrame:
        """The features downstream that changed in the run that is shown, the most changed first.

        See :attr:`workbench.interventions.Intervention.features`, of which this leaves out the unchanged ones.
        """
        table: pd.DataFrame | None = getattr(self._outcome, "features", None)
        if table is None:
            return pd.DataFrame(columns=list(FEATURE_COLUMNS))
        return table[table["change"] != 0].reset_index(drop=True)

    @property
    def curve_table(self) -> pd.DataFrame:
        """The last sweep, one row a dose and token: factor, token, token_id, after and kl; with a control its, too."""
        return curve_table(self.curve)

    @property
    def history(self) -> pd.DataFrame:
        """What was tried, one row a run that was waited for: a column a slider, mode, token, probability and kl."""
        return pd.DataFrame(self._tried)

    def reset(self) -> None:
        """Set every factor back to 1; the mode stays."""
        self.values = {}

    def _show_rows(self, rows: list[Row], values: Mapping[str, float]) -> None:
        self._members = _members(rows)
        self.nodes = rows
        self.values = values

    def _remember(self, result: Mapping[str, Any]) -> None:
        best = max(result["tokens"], key=lambda bar: bar["after"])
        row = {**result["values"], "mode": result["mode"], "token": best["token"], "probability": best["after"]}
        row["kl"] = result["kl"]
        if not self._tried or self._tried[-1] != row:
            self._tried.append(row)

    def _checked_values(self, values: object) -> Mapping[str, float]:
        # Read-only, because a change in place would go unnoticed.
        return MappingProxyType(checked_factors(values, list(self._members), self.links))

    def _checked_seed(self, seed: object) -> int | None:
        if seed is None:
            return None
        if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or seed < 0:
            raise ConfigError(f"The control's seed is {seed!r}: give a whole number from 0, or None for no control.")
        if self._control is None:
            raise ConfigError("These sliders were made without matched controls: make them with bench.sliders.")
        return int(seed)


def _members(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    return {row["id"]: tuple(row["members"]) for row in rows}


def _without_seconds(result: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if name != "seconds"}
