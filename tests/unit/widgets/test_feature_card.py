from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

from workbench.errors import ConfigError, PromptError
from workbench.widgets import FeatureCard, TokenStrip
from workbench.widgets.page import page

CARD: dict[str, Any] = {
    "model": "tiny",
    "clt": "tiny",
    "layer": np.int64(12),
    "feature": 311,
    "label": "Texas \ud83d",
    "label_source": "rule",
    "label_score": np.float32(0.75),
    "kind": "input-like",
    "family": "token",
    "density": 0.5,
    "n_active": 2,
    "n_tokens": 4,
    "max_activation": 3.0,
    "histogram": {"edges": np.array([0.0, 1.5, 3.0]), "counts": np.array([1, 1])},
    "quantiles": {"0.5": 1.0, "0.99": float("nan")},
    "examples": [{"group": "top", "tokens": ("<s>", "Texas"), "activations": [0.0, 3.0], "peak": 1, "activation": 3.0}],
    "top_logits": [{"token_id": 5, "token": "</script><script>", "value": 1.0}],
    "bottom_logits": [],
    "top_tokens": [],
    "positions": {"edges": [1, 2], "counts": [2]},
    "upstream": [{"layer": 3, "feature": 7, "label": "x", "twera": 0.5}],
    "downstream": [],
}


class Asked:
    """A card whose requests are answered as JavaScript would hear it."""

    def __init__(self, card: FeatureCard, monkeypatch: pytest.MonkeyPatch) -> None:
        self.card = card
        self.replies: list[dict[str, Any]] = []
        monkeypatch.setattr(card, "send", lambda content, buffers=None: self.replies.append(content))

    def ask(self, method: str, text: str) -> dict[str, Any]:
        message = {"kind": "request", "id": "1", "method": method, "params": {"text": text}}
        self.card._handle_custom_msg(message, [])
        assert self.card._answers is not None
        assert self.card._answers.wait(60)
        return self.replies.pop()


def test_a_card_is_sent_as_json_can_carry_it() -> None:
    card = FeatureCard(CARD)
    assert (card.label, card.card["label_score"], card.card["layer"]) == ("Texas ?", 0.75, 12)
    assert card.card["histogram"] == {"edges": [0.0, 1.5, 3.0], "counts": [1, 1]}
    assert card.card["quantiles"] == {"0.5": 1.0, "0.99": None}
    assert card.card["examples"][0]["tokens"] == ["<s>", "Texas"]
    assert (card.can_try, card.can_steer, card.selected_feature) == (False, False, None)
    assert "</script><script>" not in page(card, title="A card")


def test_a_card_of_an_atlas_is_asked_for_its_json() -> None:
    class Card:
        def to_json(self) -> dict[str, Any]:
            return CARD

    assert FeatureCard(Card()).card["feature"] == 311


def test_what_a_compact_atlas_leaves_out_is_left_out() -> None:
    card = FeatureCard({"layer": 3, "feature": 7})
    assert card.label == ""
    assert card.card["examples"] == []
    assert card.card["positions"] == {"edges": [], "counts": []}


def test_label_and_neighbour_can_be_observed() -> None:
    card = FeatureCard(CARD)
    heard: list[Any] = []
    card.observe(lambda change: heard.append(change["new"]), ["label", "selected_feature"])
    card.set_state({"label": "the state of Texas"})
    card.set_state({"selected_feature": [3, 7]})
    assert heard == ["the state of Texas", (3, 7)]


def test_a_text_is_tried_and_its_result_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_text(text: str) -> dict[str, Any]:
        if text == "":
            raise PromptError("The prompt is empty: give at least one character of text.")
        return {"tokens": text.split(), "activations": np.arange(len(text.split()), dtype=np.float32)}

    asked = Asked(FeatureCard(CARD, try_text=try_text), monkeypatch)
    assert asked.ask("try_text", "In Texas")["result"] is None
    assert asked.card.tried == {"text": "In Texas", "tokens": ["In", "Texas"], "activations": [0.0, 1.0]}
    reply = asked.ask("try_text", "")
    assert reply["error"] == "The prompt is empty: give at least one character of text."
    assert asked.card.tried["text"] == "In Texas"


@pytest.mark.parametrize(
    ("tried", "message"),
    [
        (["In"], "must return a mapping"),
        ({"tokens": ["In"], "activations": []}, "1 tokens and 0 activations"),
        ({"tokens": ["In"], "activations": [float("inf")]}, "not finite"),
    ],
)
def test_what_is_no_result_is_said(tried: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(FeatureCard(CARD, try_text=lambda text: tried), monkeypatch)
    assert message in asked.ask("try_text", "In")["error"]
    assert asked.card.tried == {}


def test_the_newest_text_wins() -> None:
    begun, go = threading.Event(), threading.Event()
    ran: list[str] = []

    def try_text(text: str) -> dict[str, Any]:
        ran.append(text)
        begun.set()
        assert go.wait(60)
        return {"tokens": [text], "activations": [1.0]}

    card = FeatureCard(CARD, try_text=try_text)
    replies: list[dict[str, Any]] = []
    card.send = lambda content, buffers=None: replies.append(content)  # type: ignore[method-assign]
    for number, text in enumerate(("one", "two", "three")):
        message = {"kind": "request", "id": str(number), "method": "try_text", "params": {"text": text}}
        card._handle_custom_msg(message, [])
        assert begun.wait(60)
    go.set()
    assert card._answers is not None
    assert card._answers.wait(60)
    assert ran == ["one", "three"]
    assert card.tried["text"] == "three"
    assert [reply["id"] for reply in replies if reply.get("superseded")] == ["1"]


def test_steering_opens_what_it_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    opened = TokenStrip(["a"], [1.0])

    def steer(text: str) -> TokenStrip:
        texts.append(text)
        return opened

    asked = Asked(FeatureCard(CARD, steer=steer), monkeypatch)
    asked.ask("steer", "In Texas")
    assert texts == ["In Texas"]
    assert asked.card.steering is opened
    assert asked.card.get_state("steering")["steering"] == f"anywidget:{opened.model_id}"
    assert "give it try_text" in asked.ask("try_text", "In")["error"]


def test_another_feature_takes_the_place_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(FeatureCard(CARD, try_text=lambda text: {"tokens": [text], "activations": [1.0]}), monkeypatch)
    asked.ask("try_text", "In Texas")
    asked.card.selected_feature = (3, 7)
    asked.card.show({"layer": 3, "feature": 7, "label": "other"})
    card = asked.card
    assert (card.label, card.tried, card.selected_feature, card.can_try) == ("other", {}, None, False)


def test_a_result_for_a_feature_that_is_gone_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def try_text(text: str) -> dict[str, Any]:
        card.show({"layer": 3, "feature": 7})
        return {"tokens": [text], "activations": [1.0]}

    card = FeatureCard(CARD, try_text=try_text)
    Asked(card, monkeypatch).ask("try_text", "In Texas")
    assert card.tried == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (17, "The card is a int: give one from an atlas"),
        ({"layer": 3}, "has no feature: give one from an atlas"),
        ({**CARD, "examples": "none"}, "feature 12/311 has no list as examples"),
        ({**CARD, "histogram": {"edges": [0, 1], "counts": [1, 2]}}, "one edge more than counts as histogram"),
        ({**CARD, "examples": [{"tokens": ["a"], "activations": []}]}, "Example 0 of feature 12/311"),
        ({**CARD, "label_score": object()}, "cannot be shown: A object"),
    ],
)
def test_a_card_that_cannot_be_shown_is_said(given: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FeatureCard(given)
