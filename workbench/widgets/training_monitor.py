"""The course of a training run in a notebook cell, and the buttons that hold and end it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import pandas as pd
import traitlets

from workbench.clt.training.config import TrainConfig
from workbench.clt.training.control import Control, Stage
from workbench.errors import ConfigError
from workbench.widgets.kit import Widget
from workbench.widgets.kit.binary import pack
from workbench.widgets.kit.requests import Method, Reply
from workbench.widgets.training_history import History

Phase: TypeAlias = Literal[Stage, "paused", "stopping", "finished", "stopped", "failed", "elsewhere"]
AT_REST = ("finished", "stopped", "failed")
# Seconds between two messages to the views, however fast the steps are.
INTERVAL = 0.25
_LOOK_SECONDS = 0.05
_OF_RECIPE = tuple(
    "model n_features window skip k tokens epochs batch_tokens lr lr_final warmup decay threshold_from".split()
)
_OF_REPORT = ("fvu", "fvu_by_layer", "l0", "dead_fraction", "training_seconds", "held_out_tokens", "bytes")


class TrainingMonitor(Widget, bundle="training-monitor"):
    """What a training run does: FVU over steps and by layer, L0, dead features, speed, time left.

    ``wb.train`` makes one and shows it. Of a run that is over, or that another process does::

        wb.TrainingMonitor.from_run("runs/mine")

    Args:
        recipe: the run's recipe.
        control: what the buttons act on; None for a run that is only looked at.
        folder: the run's folder, as it shall be shown.

    Attributes:
        about: the recipe and the shape of the run, as they are shown.
        phase: ``starting``, ``harvesting``, ``training``, ``paused``, ``stopping``, ``exporting``, ``finished``,
            ``stopped``, ``failed``, or ``elsewhere`` where another process does the run.
        harvest: the tokens that are stored and those that are wanted, while harvesting.
        error: why the run failed, or "".
        report: the figures on held-out text, once the run is finished.
    """

    about = traitlets.Dict().tag(sync=True)
    phase = traitlets.Enum(get_args(Phase), "starting").tag(sync=True)
    harvest: Any = traitlets.List().tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    report = traitlets.Dict().tag(sync=True)
    # Whoever asks for the state gets the rows of that moment; views that are open get in messages what is new.
    history = traitlets.Dict().tag(sync=True, to_json=lambda value, widget: widget.whole_history())

    def __init__(self, recipe: TrainConfig, *, control: Control | None = None, folder: str = "") -> None:
        self._history = History()
        self._control = control
        self._sent = (0, 0)
        self._sent_at = self._harvested_at = -math.inf
        about = {name: getattr(recipe, name) for name in _OF_RECIPE}
        # What the recipe says; a stream has a few steps less, which its first step tells.
        about["steps"] = recipe.tokens // recipe.batch_tokens * recipe.epochs
        about["folder"] = folder
        super().__init__(about=about, phase="starting" if control else "elsewhere")

    @classmethod
    def from_run(cls, folder: Path | str) -> TrainingMonitor:
        """Return the monitor of a run in a folder; while the run goes on, in whatever process, it follows.

        Raises:
            ConfigError: the folder holds no training run.
            FormatError: its recipe is damaged.
        """
        from workbench.widgets.training_follower import follow

        return follow(Path(folder))

    @property
    def metrics(self) -> pd.DataFrame:
        """The course: step, tokens, seconds, fvu, l0 (a layer), dead (share), lr, tokens_per_s.

        Of long runs a row is the mean of several steps.
        """
        with self.state_lock:
            return self._history.scalars()

    @property
    def fvu_by_layer(self) -> pd.DataFrame:
        """The FVU by step (index) and layer (columns)."""
        with self.state_lock:
            return self._history.by_layer()

    @property
    def settled(self) -> bool:
        """Whether the run is over, or somebody else's."""
        return self.phase in AT_REST or self._control is None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run is over; at once for one that another process does.

        Args:
            timeout: seconds, or None for as long as it takes.

        Returns:
            False when time ran out or the run failed; :attr:`error` says why.
        """
        end = math.inf if timeout is None else time.monotonic() + timeout
        while not self.settled and time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
        return self.settled and self.phase != "failed"

    def pause(self) -> None:
        """Hold the run after the step that it is at.

        Raises:
            ConfigError: the run is over, or another process does it.
        """
        self._controlled().pause()

    def resume(self) -> None:
        """Let a paused run go on.

        Raises:
            ConfigError: the run is over, or another process does it.
        """
        self._controlled().resume()

    def stop(self) -> None:
        """Let the run save and end after the step that it is at; it can be resumed.

        Raises:
            ConfigError: the run is over, or another process does it.
        """
        # Locked, so that a run that ends at this moment does not look as if it were still to be stopped.
        with self.state_lock:
            self._controlled().stop()
            self.publish(phase="stopping")

    def _controlled(self) -> Control:
        if self._control is None:
            raise ConfigError("Another process does this training run: stop it there.")
        if self.phase in AT_REST:
            raise ConfigError(f"This training run is over ({self.phase}): train again to go on.")
        return self._control

    def methods(self) -> Mapping[str, Method]:
        return {
            "pause": lambda params: self.pause(),
            "resume": lambda params: self.resume(),
            "stop": lambda params: self.stop(),
            "history": lambda params: self._history_reply(),
        }

    # --- what the run tells, on its own thread ------------------------------------------------------------------------

    def show_stage(self, stage: Stage) -> None:
        """Show what the run begins to do."""
        if self.phase != "stopping":
            self.publish(phase=stage)

    def show_held(self, held: bool) -> None:
        """Show that the run waits, or that it goes on."""
        self.flush()
        if self.phase != "stopping":
            self.publish(phase="paused" if held else "training" if self._history else "harvesting")

    def show_harvest(self, done: int, wanted: int) -> None:
        """Show how many tokens are stored."""
        now = time.monotonic()
        # The buffer of a stream is filled again and again while it trains.
        if self.phase == "harvesting" and (done >= wanted or now - self._harvested_at >= INTERVAL):
            self._harvested_at = now
            self.publish(harvest=[done, wanted])

    def show_step(self, metrics: Mapping[str, Any]) -> None:
        """Show the metrics of a step, as the trainer gives them."""
        with self.state_lock:
            self._history.add(metrics)
            n_steps = metrics.get("n_steps", self.about["steps"])
            if n_steps != self.about["steps"]:
                self.about = {**self.about, "steps": n_steps}
        if time.monotonic() - self._sent_at >= INTERVAL:
            self.flush()

    def show_end(self, phase: Literal["finished", "stopped", "failed"], **traits: Any) -> None:
        """Show how the run ended: its report or its error."""
        if report := traits.pop("report", None):
            traits["report"] = {name: report[name] for name in _OF_REPORT if name in report}
        self.flush()
        # The views' copy of the rows is what a notebook saves.
        self.send_state("history")
        self.publish(**traits, phase=phase)

    def forget(self) -> None:
        """Forget the course: it is told anew."""
        with self.state_lock:
            self._history.clear()

    def flush(self) -> None:
        """Send the views what is new."""
        with self.state_lock:
            self._sent_at = time.monotonic()
            history, (generation, first) = self._history, self._sent
            # The last row that was sent may have changed since.
            first = max(0, first - 1) if generation == history.generation else 0
            self._sent = (history.generation, len(history))
            message = {"kind": "rows", "generation": history.generation, "layers": history.n_layers, "first": first}
            self.send(message, buffers=[pack(history.rows[first:])["data"]])

    def whole_history(self) -> dict[str, Any]:
        """Return every row, as it is sent."""
        with self.state_lock:
            history = self._history
            return {"generation": history.generation, "layers": history.n_layers, "rows": pack(history.rows)}

    def _history_reply(self) -> Reply:
        whole = self.whole_history()
        return Reply({"generation": whole["generation"], "layers": whole["layers"]}, (whole["rows"]["data"],))
