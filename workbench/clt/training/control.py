"""What somebody beside a training run may do: look at its progress, hold it between two steps, end it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from workbench.clt.training.trainer import StopFlag

Stage = Literal["starting", "harvesting", "training", "exporting"]
_LOOK_SECONDS = 0.2


@dataclass
class Watch:
    """Is told what a run does, on the run's own thread.

    Attributes:
        stage: called with each stage before it begins.
        harvested: called with the tokens that are stored and those that are wanted, of one cache after the other.
        stepped: called with the metrics of every step.
    """

    stage: Callable[[Stage], object] = lambda stage: None
    harvested: Callable[[int, int], object] = lambda done, wanted: None
    stepped: Callable[[Mapping[str, Any]], object] | None = None


class Control(StopFlag):
    """A stop flag that can hold a run too: whoever asks it between two steps waits while it is paused.

    Attributes:
        held: called with True when the run begins to wait, with False when it goes on; on the run's own thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held: Callable[[bool], object] = lambda held: None
        self._stop = False
        self._go = threading.Event()
        self._go.set()

    @property
    def paused(self) -> bool:
        """Whether the run waits or is about to."""
        return not self._go.is_set()

    def pause(self) -> None:
        """Hold the run after the step that it is at."""
        if not self._stop:
            self._go.clear()

    def resume(self) -> None:
        """Let the run go on."""
        self._go.set()

    def stop(self) -> None:
        """Let the run save and end after the step that it is at."""
        self._stop = True
        self._go.set()

    def __call__(self) -> bool:
        if self.paused:
            self.held(True)
            began = time.monotonic()
            # In short turns, because a signal must end a paused run too.
            while not self._go.wait(_LOOK_SECONDS) and not super().__call__():
                pass
            self.idle += time.monotonic() - began
            self.held(False)
        return self._stop or super().__call__()
