"""Training beside a notebook: the run has a thread of its own, the notebook its kernel."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.clt import CLT, load_clt
from workbench.clt.train import harvest_model
from workbench.clt.train import train as train_clt
from workbench.clt.training.config import TrainConfig, load_train_config, recipe_from
from workbench.clt.training.control import Control, Watch
from workbench.clt.training.distributed import joined
from workbench.clt.training.run import EXPORT, RECIPE
from workbench.errors import ConfigError, WorkbenchError
from workbench.widgets.training_monitor import TrainingMonitor

_log = logging.getLogger(__name__)
# A kernel that is shut down is given about this long.
_EXIT_SECONDS = 20.0


class LiveRun:
    """A training run on a thread of its own.

    Attributes:
        recipe: what is trained.
        out: the run's folder: recipe, activations, checkpoints, metrics, and at the end ``clt/`` and ``report.json``.
        monitor: the widget that shows the run.
    """

    def __init__(self, recipe: TrainConfig, out: Path, *, resume: bool, device: str) -> None:
        self.recipe, self.out = recipe, out
        self._control = Control()
        self.monitor = TrainingMonitor(recipe, control=self._control, folder=str(out))
        self._control.held = self.monitor.show_held
        self._report: dict[str, Any] | None = None
        self._error: Exception | None = None
        self._resume, self._device = resume, device
        self._thread = threading.Thread(target=self._train, name="LiveRun", daemon=True)

    def __repr__(self) -> str:
        return f"<LiveRun {self.out}: {self.monitor.phase}>"

    @property
    def running(self) -> bool:
        """Whether the thread is at work, or paused."""
        return self._thread.is_alive()

    def pause(self) -> None:
        """Hold the run after the step that it is at.

        Raises:
            ConfigError: the run is over.
        """
        self.monitor.pause()

    def resume(self) -> None:
        """Let a paused run go on.

        Raises:
            ConfigError: the run is over.
        """
        self.monitor.resume()

    def stop(self) -> None:
        """Save and end the run after the step that it is at, and wait for that; nothing happens to one that is over.

        ``wb.train(..., resume=True)`` goes on with it.
        """
        if self.running:
            self._control.stop()
            self._thread.join()

    def wait(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for the run's end. Interrupting the kernel ends the waiting, not the run.

        Args:
            timeout: seconds, or None for as long as it takes.

        Returns:
            the report; None for a run that was stopped.

        Raises:
            WorkbenchError: what the run failed with; any other exception of the run is raised as it is.
            TimeoutError: time ran out; the run goes on.
        """
        self._thread.join(timeout)
        if self.running:
            raise TimeoutError(f"The training run in {self.out} is not over after {timeout:g} s; it goes on.")
        if self._error is not None:
            raise self._error
        return self._report

    @property
    def report(self) -> dict[str, Any]:
        """The figures on held-out text, as in ``report.json``.

        Raises:
            ConfigError: the run is not finished.
        """
        if self._report is None:
            raise ConfigError(f"The run in {self.out} has no report yet ({self.monitor.phase}): wait() for it.")
        return self._report

    @property
    def clt(self) -> CLT:
        """The transcoder that was trained.

        Raises:
            ConfigError: the run is not finished.
        """
        assert self.report
        return load_clt(self.out / EXPORT)

    def start(self) -> None:
        """Load the model and begin to train; called once, by :func:`train`.

        Raises:
            WorkbenchError: the model cannot be loaded.
        """
        # On the caller's thread: while a model is loaded, torch's default dtype is that of the model, for all threads.
        try:
            with joined(self.recipe.parallel, device=self._device) as ranks:
                self._model = harvest_model(self.recipe, self.out, ranks)
        except WorkbenchError as error:
            self.monitor.show_end("failed", error=str(error))
            raise
        self._thread.start()
        atexit.register(self._at_exit)

    def _train(self) -> None:
        monitor = self.monitor
        watch = Watch(stage=monitor.show_stage, harvested=monitor.show_harvest, stepped=monitor.show_step)
        try:
            self._report = train_clt(
                self.recipe,
                self.out,
                model=self._model,
                resume=self._resume,
                device=self._device,
                stop=self._control,
                watch=watch,
                progress=False,
            )
        except Exception as error:  # noqa: BLE001
            # wait() raises it; who does not wait sees it in the widget.
            self._error = error
            if not isinstance(error, WorkbenchError):
                _log.exception("The training run in %s failed", self.out)
            text = str(error) if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
            monitor.show_end("failed", error=text)
        else:
            if self._report is None:
                monitor.show_end("stopped")
            else:
                monitor.show_end("finished", report=self._report)
        finally:
            atexit.unregister(self._at_exit)
            # Half a gigabyte that nobody needs any more.
            del self._model

    def _at_exit(self) -> None:
        self._control.stop()
        self._thread.join(_EXIT_SECONDS)


def train(
    recipe: TrainConfig | Mapping[str, Any] | Path | str,
    *,
    out: Path | str,
    resume: bool = False,
    device: str = "auto",
) -> LiveRun:
    """Train a CLT on a thread of its own, and show its monitor where there is a notebook.

    ::

        run = wb.train({"model": "smollm2-135m-instruct", "n_features": 256, "tokens": 20_000}, out="runs/mine")
        run.wait()      # the notebook stays usable without it
        run.clt, run.report

    Args:
        recipe: the fields of :class:`workbench.clt.training.config.TrainConfig`, or a TOML file of them.
        out: the run's folder, which must not hold a run yet.
        resume: go on with the run in the folder.
        device: "auto", "cpu" or "cuda".

    Raises:
        ConfigError: the recipe cannot be used, or the folder holds a run already.
        ModelError: the model is unknown or not fetched. What goes wrong later is shown in the monitor and raised by
            :meth:`LiveRun.wait`.
    """
    if isinstance(recipe, (str, Path)):
        recipe = load_train_config(recipe)
    elif not isinstance(recipe, TrainConfig):
        recipe = recipe_from(recipe, "The recipe")
    folder = Path(out)
    if (folder / RECIPE).exists() and not resume:
        raise ConfigError(f"{folder} already holds a training run: set resume=True or choose another out.")
    run = LiveRun(recipe, folder, resume=resume, device=device)
    _show(run.monitor)
    run.start()
    return run


def _show(monitor: TrainingMonitor) -> None:
    """Display the monitor where cells have outputs."""
    # Not imported: whoever has no notebook has not loaded it either.
    ipython = sys.modules.get("IPython")
    if ipython is not None and getattr(ipython.get_ipython(), "kernel", None) is not None:
        ipython.display.display(monitor)
