"""Sliders on feature activations: move one, and the model's next token follows."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from workbench.errors import ConfigError, WorkbenchError
from workbench.widgets.kit import NewestWins
from workbench.widgets.kit.plain import plain_text
from workbench.widgets.kit.requests import Method
from workbench.widgets.sliders_asked import MODES, Asked
from workbench.widgets.sliders_curve import Sweep, checked_doses, curve_table
from workbench.widgets.sliders_result import Control, Run, control_result, shown_features, shown_result
from workbench.widgets.sliders_rows import (
    Supernodes,
    addable,
    dropped_groups,
    group_rows,
    labels,
    node_rows,
    offered,
    row_of,
)
from workbench.widgets.sliders_state import ASKING, SlidersState

_log = logging.getLogger(__name__)


class InterventionSliders(SlidersState, bundle="intervention-sliders"):
    """One slider a feature node or supernode, and the next token's probabilities in the clean and in the edited run.

    A slider is the factor of its nodes' clean activations: 1 leaves them as they are, 0 ablates them, −1 inverts
    them. The model runs on a thread of its own, the newest values first; what is shown last belongs to the last
    values. The traits can be set and observed from Python::

        sliders = bench.sliders(graph, nodes=explorer.selected, supernodes=explorer.supernodes)
        sliders.values = {"s/Texas": 0}         # what is not named goes back to 1
        sliders.wait()
        sliders.tokens, sliders.features, sliders.history
        sliders.control_seed = 0                # a matched random control beside it
        sliders.sweep("s/Texas")                # dose and response, as a table and in the widget

    Args:
        nodes: rows of ``graph.nodes``, features only; each (layer, feature, position) gets one slider.
        run: runs the model under edits in a mode; called on the worker's thread, so it must lock what it shares.
        prompt: the prompt's text, shown above the sliders.
        supernodes: name → node ids, or the explorer's; each gets one slider, whose id is ``s/`` and the name.
        control: gives the same edits on other features, by a seed; without it there are no controls.
        catalogue: all rows of ``graph.nodes``, from which further sliders can be added.
        mode: ``"propagated"`` or ``"direct"``; see :func:`workbench.interventions.intervene`.
        values: slider → factor, from −5 to 5; 1 for those that are not named.
        k: how many of the clean run's most probable tokens are shown; the k // 2 most probable tokens of the
            edited run join them.

    Attributes:
        values: slider → factor, of every slider. Assign a whole mapping: it cannot be changed in place.
        mode: the mode.
        links: groups of sliders that move together, ``[["f/3/7/2", "s/Texas"]]``; when they are linked they take the
            first one's factor.
        control_seed: draws the matched control that is shown beside the effect; None for none.
        pane: what is shown: ``"tokens"``, ``"features"`` or ``"curve"``.
        result: what is shown: tokens, kl (nats, or None), control, code, seconds, and the values, mode and seed that
            they belong to.
        knock_on: the features that changed most, once the pane ``"features"`` was shown; :attr:`features` has all.
        curve: the last sweep; :attr:`curve_table` is the same as a table.
        error: why the newest run failed, or "".
        running: whether values wait for their result.

    Raises:
        ConfigError: no node, a node that is no feature, an unknown mode, or a factor that cannot be used.
    """

    def __init__(
        self,
        nodes: pd.DataFrame | None,
        run: Run,
        *,
        prompt: str,
        supernodes: Supernodes = (),
        control: Control | None = None,
        catalogue: pd.DataFrame | None = None,
        mode: str = MODES[0],
        values: Mapping[str, float] | None = None,
        k: int = 10,
    ) -> None:
        if k < 1:
            raise ConfigError(f"The number of tokens k is {k}: give at least 1.")
        self._intervene, self._control, self._catalogue, self._k = run, control, catalogue, k
        self._closed = False
        self._sweep: Sweep | None = None
        self._sweeping = threading.Lock()
        rows = [] if nodes is None else list(node_rows(nodes))
        rows += group_rows(supernodes, catalogue)
        if not rows:
            raise ConfigError("No node was given: select one or more feature nodes in the graph.")
        self._worker: NewestWins[Asked] = NewestWins(self._answer, name="InterventionSliders")
        can = {"control": control is not None, "add": catalogue is not None}
        super().__init__(rows, prompt=plain_text(prompt), values=values or {}, mode=mode, can=can)
        self.observe(self._ask, names=list(ASKING))
        self.observe(self._align, names="links")
        self.observe(self._show_pane, names="pane")
        self._ask()

    def add(self, *sliders: str, supernodes: Supernodes = ()) -> None:
        """Add sliders: of nodes by their ids, or of supernodes by ``s/`` and their names.

        Args:
            sliders: their ids; those that there are already stay as they are.
            supernodes: supernodes that the graph has not: name → node ids, or the explorer's.

        Raises:
            ConfigError: the graph has no such feature or supernode, or is not known, or there is a slider for other
                nodes under a supernode's name; none is added then.
        """
        rows = {slider: row_of(slider, self._catalogue) for slider in sliders if slider not in self._members}
        for row in group_rows(supernodes, addable(self._catalogue)) if supernodes else ():
            there = self._members.get(row["id"])
            if there is None:
                rows[row["id"]] = row
            elif set(there) != set(row["members"]):
                raise ConfigError(
                    f"There is a slider {row['id']!r} of other nodes: remove it, or rename the supernode."
                )
        with self.state_lock:
            self._show_rows([*self.nodes, *rows.values()], self.values)

    def remove(self, slider: str) -> None:
        """Take a slider away; what it moved is as in the clean run again.

        Raises:
            ConfigError: there is no such slider, or no other one.
        """
        if slider not in self._members:
            raise ConfigError(f"There is no slider for {slider}.")
        if len(self._members) == 1:
            raise ConfigError("This is the last slider: add another one before it is removed.")
        with self.state_lock:
            groups = [[other for other in group if other != slider] for group in self.links]
            self.links = [group for group in groups if len(group) > 1]
            values = {other: factor for other, factor in self.values.items() if other != slider}
            self._show_rows([row for row in self.nodes if row["id"] != slider], values)

    def sweep(self, slider: str, factors: Sequence[float] | None = None) -> pd.DataFrame:
        """Run the model over the factors of one slider, the others as they stand; the widget shows the curve.

        Args:
            slider: its id; those that are linked with it change alike.
            factors: the doses; by default from −5 to 5 in steps of a half.

        Returns:
            :attr:`curve_table`; of a sweep that was cancelled what there was.

        Raises:
            ConfigError: there is no such slider, a dose cannot be used, or another sweep is running.
            InterventionError: the model cannot be run at a dose.
        """
        if slider not in self._members:
            raise ConfigError(f"There is no slider for {slider}: the sliders are of {', '.join(self._members)}.")
        doses = checked_doses(factors)
        if not self._sweeping.acquire(blocking=False):
            raise ConfigError("Another sweep is running: wait for it, or cancel it with cancel_sweep().")
        try:
            linked = next((group for group in self.links if slider in group), [slider])
            self._sweep = Sweep(
                self.asked,
                slider,
                linked,
                doses,
                run=self._intervene,
                control=self._control,
                publish=lambda curve: None if self._closed else self.publish(curve=curve),
            )
            return curve_table(self._sweep.start())
        finally:
            self._sweep = None
            self._sweeping.release()

    def cancel_sweep(self) -> None:
        """End the sweep that is running, if there is one; what there is of it stays."""
        sweep = self._sweep
        if sweep is not None:
            sweep.cancel()

    def methods(self) -> Mapping[str, Method]:
        """Return what the widget asks for."""
        return {
            "find": lambda params: offered(str(params.get("text", "")), self._catalogue, self._members),
            "add": lambda params: self.add(
                *map(str, params.get("sliders", ())), supernodes=dropped_groups(params.get("supernodes", ()))
            ),
            "remove": lambda params: self.remove(str(params.get("slider"))),
            "sweep": lambda params: self.sweep(str(params.get("slider"))) is None,
            "cancel": lambda params: self.cancel_sweep(),
        }

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
        """Close the widget and end its threads; what runs ends first, and is not shown."""
        self._closed = True
        if worker := getattr(self, "_worker", None):  # None when the constructor raised
            worker.close()
            self.cancel_sweep()
        super().close()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take what JavaScript set; what cannot be used is said there, and its view shows the true values again."""
        try:
            super().set_state(sync_data)
        except ConfigError as error:
            self.publish(error=str(error))
            self.send_state(list(sync_data.keys() & {*ASKING, "links"}))

    def _align(self, change: Any) -> None:
        """Give sliders that were linked the factor of the first."""
        with self.state_lock:
            self.values = {**self.values, **{s: self.values[group[0]] for group in self.links for s in group}}

    def _show_pane(self, change: Any) -> None:
        # The table of features is computed where it is looked at alone: it costs more than a run.
        if self.pane == "features":
            self._ask()

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
            if self._closed:
                return
            self.publish(**answer, answered=asked.wire(), running=asked != self.asked)
            if "result" in answer:
                self.send({"kind": "took", "seconds": answer["result"]["seconds"]})
                if not self.running:
                    self._remember(answer["result"])
        if "result" in answer and self.pane == "features" and asked == self.asked:
            # After the bars, which must not wait for it.
            knock_on = shown_features(self.features, asked, labels(self._catalogue))
            self.publish(knock_on=knock_on)

    def _result(self, asked: Asked) -> dict[str, Any]:
        started = time.perf_counter()
        self._outcome = outcome = self._intervene(asked.edits, asked.mode)
        shown = shown_result(asked, outcome, None, k=self._k)
        seconds = time.perf_counter() - started
        if asked.control_seed is not None and self._control is not None:
            ids = [bar["id"] for bar in shown["tokens"]]
            shown["control"] = control_result(asked, ids, self._intervene, self._control, asked.control_seed)
        return {**shown, "seconds": seconds}
