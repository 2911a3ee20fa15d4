from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from workbench.errors import ConfigError
from workbench.widgets import TokenStrip
from workbench.widgets.page import page

TOKENS = ["<s>", "Texas", " is", "\n", "שלום", "\ufffd", "</script><script>window.pwned=1</script>"]


def test_a_strip_of_one_series_is_named_by_its_kind() -> None:
    strip = TokenStrip(TOKENS, [np.nan, 3.0, 2.0, 1.0, 0.5, 9.0, 0.0], kind="surprise")
    assert strip.tokens == TOKENS
    assert strip.names == ["surprise"]
    assert (strip.scale, strip.shown, strip.selected) == ("own", [0], None)
    assert strip.values.loc[1, "surprise"] == 3.0
    assert np.isnan(strip.values.loc[0, "surprise"])


def test_values_travel_as_bytes_series_by_series() -> None:
    values = np.arange(14, dtype=np.float64).reshape(2, 7)
    strip = TokenStrip(TOKENS, values, names=["12/311", "14/7"], shown=[1, 0])
    sent = strip.get_state("data")["data"]["values"]
    assert sent["dtype"] == "float32"
    assert np.frombuffer(sent["data"], np.float32).tolist() == list(range(14))
    assert strip.values["14/7"].tolist() == list(range(7, 14))
    assert strip.shown == [1, 0]


def test_a_click_can_be_observed_and_set_from_python() -> None:
    strip = TokenStrip(TOKENS, np.zeros(7))
    heard: list[Any] = []
    strip.observe(lambda change: heard.append(change["new"]), "selected")
    strip.set_state({"selected": 2})
    strip.selected = None
    assert heard == [2, None]
    with pytest.raises(ConfigError, match="no token 7: choose a position from 0 … 6"):
        strip.selected = 7


def test_the_full_colour_is_own_shared_or_fixed() -> None:
    assert TokenStrip(TOKENS, np.zeros(7), kind="probability").scale == 1.0
    strip = TokenStrip(TOKENS, np.zeros(7), scale=2)
    assert strip.scale == 2.0
    strip.scale = "shared"
    for wrong in ("largest", 0, -1.0, float("nan"), True, None):
        with pytest.raises(ConfigError, match="give 'own', 'shared' or a number above 0"):
            strip.scale = wrong


def test_a_saved_page_holds_the_strip_and_runs_nothing_of_its_text() -> None:
    text = page(TokenStrip(TOKENS, np.ones(7)), title="A strip")
    assert "<script>window.pwned" not in text
    assert "\\u003c/script>" in text


def test_half_a_surrogate_pair_does_not_stop_the_message() -> None:
    assert TokenStrip(["\ud83d"], [1.0], names=["\udc00"]).tokens == ["?"]


@pytest.mark.parametrize(
    ("tokens", "values", "options", "message"),
    [
        ([], [], {}, "no token to show"),
        ("Texas", [1.0], {}, "one text"),
        ([17, 4], [1.0, 2.0], {}, "Token 0 is a int: give the tokens as text"),
        (["a", "b"], [1.0], {}, r"shape \(1,\) and there are 2 tokens"),
        (["a"], [["x"]], {}, "no numbers"),
        (["a", "b"], [[1.0, 2.0], [1.0]], {}, "no numbers in series of equal length"),
        (["a"], [np.inf], {}, "infinite"),
        (["a"], [1.2], {"kind": "probability"}, "from 0 to 1"),
        (["a"], [-0.5], {"kind": "entropy"}, "entropy cannot be negative"),
        (["a"], [1.0], {"kind": "loss"}, "no kind 'loss'"),
        (["a"], [1.0], {"names": ["x", "y"]}, "1 series and 2 as names"),
        (["a"], [1.0], {"names": "x"}, "one text as names"),
        (["a"], [1.0], {"shown": [1]}, r"cannot show series 1: choose from 0 … 0"),
        (["a"], [1.0], {"shown": []}, "cannot show no series"),
        (["a"], np.ones((7, 1)), {"shown": range(7)}, "7 series cannot be told apart"),
    ],
)
def test_what_cannot_be_shown_is_said(tokens: Any, values: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TokenStrip(tokens, values, **options)
