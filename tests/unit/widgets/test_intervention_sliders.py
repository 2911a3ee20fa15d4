from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import attribute
from workbench.errors import ConfigError, InterventionError
from workbench.interventions import CleanRun, Edit
from workbench.widgets.intervention_sliders import InterventionSliders
from workbench.widgets.page import page

FIRST, SECOND = "f/3/7/2", "f/12/311/5"
SECONDS = 120.0  # how long to wait for what never takes long, before calling it lost


def nodes(**changes: Any) -> pd.DataFrame:
    """Return two rows as graph.nodes has them."""
    table = {
        "node_id": [FIRST, SECOND],
        "kind": pd.Categorical(["feature", "feature"]),
        "layer": np.array([3, 12], np.int32),
        "position": np.array([2, 5], np.int32),
        "feature": np.array([7, 311], np.int32),
        "token": pd.Categorical([" and", " went"]),
        "activation": np.array([4.0, 0.5], np.float32),
        "label": ["→ ' store'", ""],
    }
    return pd.DataFrame(table | changes)


@dataclass
class Outcome:
    tokens: pd.DataFrame
    kl: float


def halving(edits: list[Edit], mode: str) -> Outcome:
    """Give the token " Mary" what is left of 0.8 after |1 − factor| / 10 of every edit, and " John" the rest."""
    moved = sum(abs(1 - edit.factor) / 10 for edit in edits if edit.factor is not None)
    table = {
        "token": [" Mary", " John"],
        "token_id": [5, 9],
        "before": [0.8, 0.2],
        "after": [0.8 - moved, 0.2 + moved],
    }
    return Outcome(pd.DataFrame(table), kl=moved)


class Gate:
    """A run that begins when it is told to, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, float | None]] = []
        self.begun, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, edits: list[Edit], mode: str) -> Outcome:
        self.asked.append({edit.node_id: edit.factor for edit in edits})
        self.begun.release()
        assert self.open.wait(SECONDS)
        return halving(edits, mode)


@pytest.fixture
def sliders() -> Iterator[InterventionSliders]:
    widget = InterventionSliders(nodes(), halving, prompt="When Mary and John went to the store")
    assert widget.wait(SECONDS)
    yield widget
    widget.close()


def after(widget: InterventionSliders) -> dict[str, float]:
    return dict(zip(widget.tokens["token"], widget.tokens["after"], strict=True))


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_the_first_result_is_the_clean_run(sliders: InterventionSliders) -> None:
    assert sliders.values == {FIRST: 1, SECOND: 1}
    assert sliders.edits == []
    assert sliders.tokens["before"].tolist() == sliders.tokens["after"].tolist() == [0.8, 0.2]
    assert sliders.tokens.columns.tolist() == ["token", "token_id", "before", "after"]
    assert not sliders.running
    assert sliders.error == ""


def test_the_bars_follow_the_values_and_say_what_they_belong_to(sliders: InterventionSliders) -> None:
    sliders.values = {FIRST: 0, SECOND: -2}
    assert sliders.edits == [Edit(3, 7, 2, factor=0), Edit(12, 311, 5, factor=-2)]
    assert sliders.wait(SECONDS)
    assert after(sliders) == pytest.approx({" Mary": 0.4, " John": 0.6})
    assert sliders.result["values"] == {FIRST: 0, SECOND: -2}
    assert sliders.result["mode"] == "propagated"
    assert sliders.result["kl"] == pytest.approx(0.4)
    assert sliders.result["seconds"] >= 0


def test_nodes_that_are_not_named_go_back_to_one(sliders: InterventionSliders) -> None:
    sliders.values = {FIRST: 0}
    sliders.values = {SECOND: 2}
    assert sliders.values == {FIRST: 1, SECOND: 2}
    sliders.reset()
    assert sliders.values == {FIRST: 1, SECOND: 1}
    assert sliders.wait(SECONDS)
    assert after(sliders) == {" Mary": 0.8, " John": 0.2}


def test_the_mode_reaches_the_run() -> None:
    modes: list[str] = []

    def run(edits: list[Edit], mode: str) -> Outcome:
        modes.append(mode)
        return halving(edits, mode)

    widget = InterventionSliders(nodes(), run, prompt="", mode="direct", values={FIRST: 3})
    assert widget.wait(SECONDS)
    assert after(widget)[" Mary"] == pytest.approx(0.6)
    widget.mode = "propagated"
    assert widget.wait(SECONDS)
    widget.close()
    assert modes == ["direct", "propagated"]
    assert widget.result["mode"] == "propagated"


def test_the_most_probable_before_come_first_and_the_new_leaders_join_them() -> None:
    before = np.array([0.4, 0.3, 0.1, 0.05, 0.04, 0.03])
    edited = np.array([0.1, 0.1, 0.1, 0.05, 0.6, 0.01])

    def run(edits: list[Edit], mode: str) -> Outcome:
        shuffled = np.array([3, 0, 5, 1, 4, 2])
        table = {"token": list("abcdef"), "token_id": range(6), "before": before, "after": edited}
        return Outcome(pd.DataFrame(table).iloc[shuffled], kl=0.0)

    widget = InterventionSliders(nodes(), run, prompt="", k=3)
    assert widget.wait(SECONDS)
    widget.close()
    assert widget.tokens["token"].tolist() == ["a", "b", "c", "e"]


# --- newest wins ------------------------------------------------------------------------------------------------------


def test_a_hundred_quick_changes_end_on_the_last() -> None:
    gate = Gate()
    widget = InterventionSliders(nodes(), gate, prompt="")
    gate.begun.acquire()
    for step in range(100):
        widget.values = {FIRST: -step / 20}
    assert widget.running
    gate.open.set()
    assert widget.wait(SECONDS)
    assert gate.asked == [{}, {FIRST: -4.95}], "what was replaced before it began is never run"
    assert widget.result["values"] == {FIRST: -4.95, SECOND: 1}
    assert not widget.running
    widget.close()


def test_changes_from_two_threads_end_on_what_stands() -> None:
    widget = InterventionSliders(nodes(), halving, prompt="")

    def drag(node_id: str) -> None:
        # As messages arrive on a subshell's thread while a cell runs.
        for step in range(200):
            widget.set_state({"values": {FIRST: 1, SECOND: 1, node_id: step % 5}})

    threads = [threading.Thread(target=drag, args=(node_id,)) for node_id in (FIRST, SECOND)]
    for thread in threads:
        thread.start()
    for step in range(200):
        widget.mode = ("direct", "propagated")[step % 2]
    for thread in threads:
        thread.join(SECONDS)
    assert widget.wait(SECONDS)
    assert widget.result["values"] == widget.values
    assert widget.result["mode"] == "propagated"
    assert not widget.running
    widget.close()


def test_waiting_gives_up_in_time_and_says_so() -> None:
    gate = Gate()
    widget = InterventionSliders(nodes(), gate, prompt="")
    assert not widget.wait(0.01)
    assert widget.tokens.empty
    gate.open.set()
    assert widget.wait(SECONDS)
    widget.close()


def test_waiting_inside_an_observer_is_refused_instead_of_lasting_for_ever(sliders: InterventionSliders) -> None:
    refused: list[str] = []

    def observe(change: Any) -> None:
        with pytest.raises(ConfigError, match="observe 'result' instead") as error:
            sliders.wait()
        refused.append(str(error.value))

    sliders.observe(observe, names=["values", "result"])
    sliders.values = {FIRST: 2}
    assert sliders.wait(SECONDS)
    assert len(refused) == 2, "once for the values, here, and once for the result, on the worker's thread"


def test_closing_ends_the_thread_and_what_still_runs_is_not_shown() -> None:
    gate = Gate()
    before = set(threading.enumerate())
    widget = InterventionSliders(nodes(), gate, prompt="")
    gate.begun.acquire()
    (thread,) = set(threading.enumerate()) - before
    widget.values = {FIRST: 2}
    widget.close()
    widget.values = {FIRST: 3}
    gate.open.set()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert gate.asked == [{}]
    assert widget.result == {}


# --- errors -----------------------------------------------------------------------------------------------------------


def failing(edits: list[Edit], mode: str) -> Outcome:
    for edit in edits:
        if edit.factor == -1:
            raise InterventionError("The feature is inactive: give value or add instead.")
        if edit.factor == -2:
            raise RuntimeError("out of memory")
        if edit.factor == -3:
            return Outcome(halving([], mode).tokens.assign(after=[np.nan, 1.0]), kl=np.nan)
    return halving(edits, mode)


def test_an_error_is_shown_and_the_next_value_works(caplog: pytest.LogCaptureFixture) -> None:
    widget = InterventionSliders(nodes(), failing, prompt="")
    widget.values = {FIRST: 0}
    assert widget.wait(SECONDS)
    shown = widget.result

    widget.values = {FIRST: -1}
    assert not widget.wait(SECONDS)
    assert widget.error == "The feature is inactive: give value or add instead."
    assert widget.result == shown, "the bars of the last run that worked stay"
    assert not widget.running

    with caplog.at_level(logging.ERROR):
        widget.values = {FIRST: -2}
        assert not widget.wait(SECONDS)
    assert widget.error == "RuntimeError: out of memory"
    assert "out of memory" in caplog.text

    widget.values = {FIRST: -3}
    assert not widget.wait(SECONDS)
    assert "not finite" in widget.error

    widget.values = {FIRST: 2}
    assert widget.wait(SECONDS)
    assert widget.error == ""
    assert widget.result["values"] == {FIRST: 2, SECOND: 1}
    widget.close()


def test_an_observer_that_fails_does_not_stop_the_sliders(
    sliders: InterventionSliders, caplog: pytest.LogCaptureFixture
) -> None:
    def observe(change: Any) -> None:
        raise ValueError("from the observer")

    sliders.observe(observe, names="result")
    with caplog.at_level(logging.ERROR):
        for factor in (2, 3):
            sliders.values = {FIRST: factor}
            assert sliders.wait(SECONDS)
    assert sliders.result["values"][FIRST] == 3
    assert "from the observer" in caplog.text


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({FIRST: float("nan")}, r"The factor of f/3/7/2 is nan: give a number from -5 to 5\."),
        ({FIRST: 5.01}, "is 5.01"),
        ({FIRST: -6}, "is -6"),
        ({FIRST: "2"}, "is '2'"),
        ({FIRST: None}, "is None"),
        ({"f/1/1/1": 2}, "no slider for f/1/1/1: the sliders are of f/3/7/2, f/12/311/5"),
        ([1, 2], "are a list: give a mapping"),
    ],
)
def test_values_that_cannot_be_used_leave_everything_as_it_was(
    sliders: InterventionSliders, values: Any, message: str
) -> None:
    sliders.values = {FIRST: 2}
    assert sliders.wait(SECONDS)
    state = sliders.get_state()
    with pytest.raises(ConfigError, match=message):
        sliders.values = values
    assert sliders.get_state() == state


def test_a_mode_that_the_sliders_do_not_have_leaves_everything_as_it_was(sliders: InterventionSliders) -> None:
    state = sliders.get_state()
    for mode in ("constrained", "", None):
        with pytest.raises(ConfigError, match="'propagated' or 'direct'"):
            sliders.mode = mode
    assert sliders.get_state() == state


def test_values_cannot_be_changed_in_place_where_nobody_would_notice(sliders: InterventionSliders) -> None:
    with pytest.raises(TypeError, match="item assignment"):
        sliders.values[FIRST] = 2


def test_numbers_of_numpy_are_factors_too(sliders: InterventionSliders) -> None:
    sliders.values = {FIRST: np.float32(0.5), SECOND: np.int64(-1)}
    assert sliders.values == {FIRST: 0.5, SECOND: -1.0}
    assert json.loads(json.dumps(sliders.get_state("values"))) == {"values": {FIRST: 0.5, SECOND: -1.0}}


def test_what_javascript_sends_wrongly_is_said_and_taken_back(
    sliders: InterventionSliders, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(sliders, "send_state", lambda key=None: sent.append(key))
    sliders.set_state({"values": {FIRST: 99, SECOND: 1}})
    assert "is 99" in sliders.error
    assert sliders.values == {FIRST: 1, SECOND: 1}
    assert ["values"] in sent


# --- which nodes ------------------------------------------------------------------------------------------------------


def make(table: Any, **options: Any) -> InterventionSliders:
    return InterventionSliders(table, halving, prompt="", **options)


def test_other_nodes_than_features_are_named_with_their_kind() -> None:
    with pytest.raises(ConfigError, match=r"which f/12/311/5 \(logit\) is not: give feature nodes alone"):
        make(nodes(kind=["feature", "logit"]))


def test_no_nodes_ask_for_a_selection() -> None:
    with pytest.raises(ConfigError, match="select one or more feature nodes"):
        make(nodes().head(0))


@pytest.mark.parametrize("table", [[FIRST], nodes().drop(columns="layer")])
def test_what_are_no_rows_of_a_graph_is_refused(table: Any) -> None:
    with pytest.raises(ConfigError, match=r"give rows of graph\.nodes"):
        make(table)


def test_a_node_that_is_given_twice_gets_one_slider() -> None:
    widget = make(pd.concat([nodes(), nodes()]))
    assert [row["id"] for row in widget.nodes] == [FIRST, SECOND]
    widget.close()


def test_values_and_mode_are_checked_at_the_start_too_and_no_thread_begins() -> None:
    before = set(threading.enumerate())
    for options in ({"values": {FIRST: 9}}, {"mode": "constrained"}, {"k": 0}):
        with pytest.raises(ConfigError):
            make(nodes(), **options)
    assert not set(threading.enumerate()) - before


def test_missing_labels_and_activations_and_broken_text_can_be_sent() -> None:
    widget = make(
        nodes(label=[None, float("nan")], activation=[np.nan, 1.0], token=pd.Series(["\ud800", " x"], dtype=object))
    )
    json.dumps(widget.get_state(), allow_nan=False).encode("utf-8")
    assert [(row["label"], row["activation"], row["token"]) for row in widget.nodes] == [
        ("", None, "?"),
        ("", 1.0, " x"),
    ]
    widget.close()


# --- stored -----------------------------------------------------------------------------------------------------------


def test_a_stored_widget_holds_the_last_result_and_no_time(sliders: InterventionSliders) -> None:
    sliders.values = {FIRST: 3}
    assert sliders.wait(SECONDS)
    state = sliders.get_state()
    assert state["result"]["values"] == {FIRST: 3, SECOND: 1}
    assert [bar["token"] for bar in state["result"]["tokens"]] == [" Mary", " John"]
    assert "seconds" not in json.dumps(state["result"])
    assert "f/12/311/5" in page(sliders, title="Sliders")


# --- the real engine --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["propagated", "direct"])
def test_on_a_model_the_bars_are_those_of_its_interventions(mode: str) -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model)
    prompt = tiny_prompt()
    graph = attribute(model, clt, prompt, progress=False)
    features = graph.nodes[graph.nodes["kind"] == "feature"].head(3)
    clean = CleanRun.of(model, clt, prompt)
    widget = InterventionSliders(
        features, lambda edits, mode: clean.intervene(edits, mode=mode), prompt=prompt, mode=mode
    )
    assert widget.wait(SECONDS), widget.error
    assert widget.result["kl"] == 0
    assert np.array_equal(widget.tokens["before"], widget.tokens["after"])

    first, second, _ = features["node_id"]
    widget.values = {first: -3.0, second: 2.5}
    assert widget.wait(SECONDS), widget.error
    widget.close()
    expected = clean.intervene([Edit.node(first, factor=-3.0), Edit.node(second, factor=2.5)], mode=mode)  # type: ignore[arg-type]
    shown = widget.tokens.set_index("token_id")["after"]
    assert shown.to_dict() == pytest.approx(expected.tokens.set_index("token_id")["after"].loc[shown.index].to_dict())
    assert widget.result["kl"] == pytest.approx(expected.kl)
    assert expected.kl > 1e-4
