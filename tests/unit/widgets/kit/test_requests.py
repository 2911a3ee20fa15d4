from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from workbench.errors import PromptError
from workbench.widgets.kit import Reply, Widget
from workbench.widgets.kit.requests import Answers


def ask(method: str, number: int = 1, **params: Any) -> dict[str, Any]:
    return {"kind": "request", "id": f"view-{number}", "method": method, "params": params}


class Wire:
    """The other end: what was sent to JavaScript."""

    def __init__(self, **methods: Any) -> None:
        self.sent: list[tuple[dict[str, Any], Sequence[bytes]]] = []
        self.answers = Answers(methods, lambda content, buffers: self.sent.append((content, buffers)), name="test")

    def ask(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        for message in messages:
            self.answers.receive(message)
        assert self.answers.wait(60)
        self.answers.close()
        return [content for content, _ in self.sent]


def test_a_reply_carries_the_id_and_the_result() -> None:
    wire = Wire(double=lambda params: 2 * params["value"])
    assert wire.ask(ask("double", value=21)) == [{"kind": "reply", "id": "view-1", "result": 42}]


def test_a_reply_carries_binary_buffers() -> None:
    wire = Wire(weights=lambda params: Reply({"n": 1}, [b"\x00\x01"]))
    wire.ask(ask("weights"))
    assert wire.sent == [({"kind": "reply", "id": "view-1", "result": {"n": 1}}, [b"\x00\x01"])]


def test_an_error_of_ours_goes_back_in_its_own_words() -> None:
    def fail(params: Mapping[str, Any]) -> None:
        raise PromptError("The prompt is empty: give at least one word.")

    assert Wire(fail=fail).ask(ask("fail")) == [
        {"kind": "reply", "id": "view-1", "error": "The prompt is empty: give at least one word."}
    ]


def test_an_unexpected_error_goes_back_too_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        (reply,) = Wire(fail=lambda params: params["missing"]).ask(ask("fail"))
    assert reply["error"] == "KeyError: 'missing'"
    assert "could not answer 'fail'" in caplog.text


def test_an_unknown_method_is_answered_with_the_known_ones() -> None:
    (reply,) = Wire(double=lambda params: 0).ask(ask("triple"))
    assert reply["error"] == "There is no method 'triple' (known: double)."


def test_a_newer_request_takes_the_place_of_one_that_has_not_begun() -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(params: Mapping[str, Any]) -> int:
        started.set()
        go_on.wait()
        return int(params["value"])

    wire = Wire(slow=slow)
    wire.answers.receive(ask("slow", 1, value=1))
    started.wait()
    wire.answers.receive(ask("slow", 2, value=2))
    wire.answers.receive(ask("slow", 3, value=3))
    go_on.set()
    replies = wire.ask()
    assert replies == [
        {"kind": "reply", "id": "view-2", "superseded": True},
        {"kind": "reply", "id": "view-1", "result": 1},
        {"kind": "reply", "id": "view-3", "result": 3},
    ]


def test_messages_that_are_no_requests_are_left_alone() -> None:
    assert Wire(double=lambda params: 0).ask({"kind": "other"}, {"method": "double"}) == []  # type: ignore[arg-type]


def test_a_widget_answers_what_its_methods_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counter(Widget):
        _esm = "export default {}"

        def methods(self) -> Mapping[str, Any]:
            return {"count": lambda params: 7}

    widget = Counter()
    sent: list[Any] = []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    # As JavaScript's message arrives from the comm.
    widget._handle_custom_msg(ask("count"), [])
    assert widget._answers.wait(60)
    assert sent == [{"kind": "reply", "id": "view-1", "result": 7}]
    widget.close()
