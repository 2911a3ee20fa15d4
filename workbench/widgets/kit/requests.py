"""Request and reply: JavaScript asks, Python computes. ``widgets/src/kit/requests.ts`` is the other half.

A request is ``{"kind": "request", "id", "method", "params"}``; its reply carries the id back with a ``result`` (and
binary buffers), an ``error`` in words, or ``superseded`` when a newer request for the same method took its place.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from workbench.errors import WorkbenchError
from workbench.widgets.kit.worker import NewestWins

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reply:
    """What a method answers: a JSON value and binary buffers."""

    result: Any
    buffers: Sequence[bytes] = field(default_factory=tuple)


Method: TypeAlias = Callable[[Mapping[str, Any]], Reply | Any]
Send: TypeAlias = Callable[[dict[str, Any], Sequence[bytes]], None]


class Answers:
    """Answers requests, each method on a worker of its own, the newest request first.

    Args:
        methods: what may be asked, by name.
        send: sends a message and its buffers to JavaScript.
        name: the widget's name, for the threads.
    """

    def __init__(self, methods: Mapping[str, Method], send: Send, *, name: str) -> None:
        self._send = send
        self._methods = dict(methods)
        self._workers: dict[str, NewestWins[dict[str, Any]]] = {
            method: NewestWins(self._answer, name=f"{name}.{method}") for method in methods
        }

    def receive(self, message: Any) -> None:
        """Take a message from JavaScript; what is no request is left to others."""
        if not isinstance(message, dict) or message.get("kind") != "request":
            return
        worker = self._workers.get(str(message.get("method")))
        if worker is None:
            known = ", ".join(sorted(self._methods)) or "none"
            self._reply(message, error=f"There is no method {message.get('method')!r} (known: {known}).")
            return
        replaced = worker.submit(message)
        if replaced is not None:
            self._reply(replaced, superseded=True)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until every request is answered; return whether that came about in time (seconds, for each method)."""
        return all(worker.wait(timeout) for worker in self._workers.values())

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()

    def _answer(self, message: dict[str, Any]) -> None:
        try:
            answer = self._methods[message["method"]](message.get("params") or {})
        except WorkbenchError as error:
            self._reply(message, error=str(error))
        except Exception as error:  # noqa: BLE001
            # Whoever asked must learn of it; on a worker thread nobody else would.
            _log.exception("The widget could not answer %r", message["method"])
            self._reply(message, error=f"{type(error).__name__}: {error}")
        else:
            answer = answer if isinstance(answer, Reply) else Reply(answer)
            self._reply(message, buffers=answer.buffers, result=answer.result)

    def _reply(self, message: dict[str, Any], *, buffers: Sequence[bytes] = (), **content: Any) -> None:
        self._send({"kind": "reply", "id": message.get("id"), **content}, buffers)
