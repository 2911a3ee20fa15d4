"""A worker thread that runs the newest input and forgets the older ones that have not begun."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Input = TypeVar("Input")

_log = logging.getLogger(__name__)


class NewestWins(Generic[Input]):
    """Runs a function on a thread of its own; an input that arrives while it runs replaces the one that waits.

    A slider sends forty values in a second and a run takes a tenth: without this they would queue up.

    Args:
        run: called with an input; must handle its own errors.
        name: the thread's name, for whoever looks at the threads of a kernel.
    """

    def __init__(self, run: Callable[[Input], None], *, name: str) -> None:
        self._run = run
        self._name = name
        self._changed = threading.Condition()
        self._waiting: list[Input] = []
        self._running = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, item: Input) -> Input | None:
        """Run an input next; return the one that it replaces, if one was waiting."""
        with self._changed:
            if self._closed:
                return item
            replaced = self._waiting.pop() if self._waiting else None
            self._waiting.append(item)
            if self._thread is None:
                # Started on first use: a widget that is only looked at costs no thread.
                self._thread = threading.Thread(target=self._loop, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return replaced

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        with self._changed:
            return not self._running and not self._waiting

    @property
    def runs_here(self) -> bool:
        """Whether the caller is what the worker runs: waiting for the worker, it would wait for itself."""
        return threading.current_thread() is self._thread

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing runs and nothing waits; return whether that came about in time (seconds)."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running and not self._waiting, timeout)

    def close(self) -> None:
        """Forget what waits and end the thread after what runs."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if self._closed:
                    return
                item = self._waiting.pop()
                self._running = True
            try:
                self._run(item)
            except Exception:  # noqa: BLE001
                # A defect, or an observer's error: said, and no reason to answer nothing any more.
                _log.exception("%s failed", self._name)
            finally:
                with self._changed:
                    self._running = False
                    self._changed.notify_all()
