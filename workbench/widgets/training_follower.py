"""Following a training run by what it writes into its folder."""

from __future__ import annotations

import json
import threading
import weakref
from pathlib import Path

from workbench.clt.training.run import RECIPE, REPORT, recipe_of
from workbench.clt.training.trainer import METRICS
from workbench.errors import ConfigError
from workbench.files import read_json
from workbench.widgets.training_monitor import AT_REST, TrainingMonitor

_LOOK_SECONDS = 1.0


class MetricsFile:
    """Reads what has been appended to a run's metrics since the last time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._file = -1

    def new_lines(self) -> tuple[bool, list[dict[str, object]]]:
        """Return whether the file was written anew, and the whole lines that are new."""
        if not self._path.exists():
            return False, []
        status = self._path.stat()
        # A run that is resumed drops the lines after its checkpoint: a new file takes the place of the old one.
        anew = self._file not in (-1, status.st_ino) or status.st_size < self._read
        self._file = status.st_ino
        if anew:
            self._read = 0
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        lines = []
        for line in whole.splitlines():
            try:
                lines.append(dict(json.loads(line)))
            except ValueError:
                continue  # a killed process may have left half a line, which the resumed one drops
        return anew, lines


def follow(folder: Path) -> TrainingMonitor:
    """Return a monitor of the run in a folder, which follows it until it is finished; see `from_run`."""
    if not (folder / RECIPE).exists():
        raise ConfigError(f"{folder} holds no training run: give a folder that `workbench train` or wb.train wrote.")
    monitor = TrainingMonitor(recipe_of(folder), folder=str(folder))
    metrics = MetricsFile(folder / METRICS)
    _look(monitor, metrics, folder)
    if monitor.phase not in AT_REST:
        # Held weakly: a monitor that nobody has any more is followed by nobody.
        arguments = (weakref.ref(monitor), metrics, folder)
        threading.Thread(target=_follow, args=arguments, name="TrainingFollower", daemon=True).start()
    return monitor


def _follow(reference: weakref.ref[TrainingMonitor], metrics: MetricsFile, folder: Path) -> None:
    pause = threading.Event()
    while not pause.wait(_LOOK_SECONDS):
        monitor = reference()
        if monitor is None or monitor.comm is None or monitor.phase in AT_REST:
            return
        _look(monitor, metrics, folder)
        del monitor


def _look(monitor: TrainingMonitor, metrics: MetricsFile, folder: Path) -> None:
    # Looked for first: whoever wrote the report has written every line before.
    finished = (folder / REPORT).exists()
    anew, lines = metrics.new_lines()
    if anew:
        monitor.forget()
    for line in lines:
        monitor.show_step(line)
    if finished:
        monitor.show_end("finished", report=read_json(folder / REPORT))
    elif lines:
        monitor.flush()
