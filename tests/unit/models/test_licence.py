from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from workbench.errors import ModelError
from workbench.models import fetch, named_model
from workbench.models.licence import is_accepted, require_licence

GEMMA = named_model("gemma-3-270m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_ACCEPT_LICENCE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> Terminal:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def test_an_open_licence_is_not_asked_about() -> None:
    require_licence(named_model("smollm2-135m-instruct"))


def test_where_nobody_can_answer_the_error_says_how_to_accept() -> None:
    with pytest.raises(ModelError, match=r"--accept-licence or set WORKBENCH_ACCEPT_LICENCE=1"):
        require_licence(GEMMA)


def test_nothing_is_fetched_before_the_licence_is_accepted(empty_cache: Path) -> None:
    with pytest.raises(ModelError, match="has to be accepted once"):
        fetch("gemma-3-270m")
    assert list(empty_cache.iterdir()) == []


def test_accepting_is_remembered() -> None:
    require_licence(GEMMA, accept=True)
    assert is_accepted(GEMMA)
    require_licence(GEMMA)


def test_the_environment_can_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ACCEPT_LICENCE", "1")
    require_licence(GEMMA)
    assert is_accepted(GEMMA)


def test_a_user_at_a_terminal_sees_the_terms_and_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = at_a_terminal(monkeypatch, "y\n")
    require_licence(GEMMA)
    assert "https://ai.google.dev/gemma/terms" in shown.getvalue()
    assert "Do you accept" in shown.getvalue()
    assert is_accepted(GEMMA)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_a_user_at_a_terminal_can_refuse(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    at_a_terminal(monkeypatch, answer)
    with pytest.raises(ModelError, match="was not accepted"):
        require_licence(GEMMA)
    assert not is_accepted(GEMMA)
