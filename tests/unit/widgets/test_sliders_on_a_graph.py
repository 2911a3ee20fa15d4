"""Sliders as a session makes them: of nodes and supernodes, with controls, sweeps and knock-on features."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.errors import ConfigError, InterventionError
from workbench.evaluation.controls import matched_controls
from workbench.widgets import InterventionSliders
from workbench.widgets.page import page

SECONDS = 120.0  # how long to wait for what never takes long, before calling it lost


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture(scope="module")
def graph(bench: wb.Session) -> wb.Graph:
    return bench.attribute(tiny_prompt(), progress=False)


@pytest.fixture(scope="module")
def features(graph: wb.Graph) -> list[str]:
    return graph.nodes[graph.nodes["kind"] == "feature"].nlargest(6, "influence")["node_id"].tolist()


@pytest.fixture
def sliders(bench: wb.Session, graph: wb.Graph, features: list[str]) -> Iterator[InterventionSliders]:
    widget = bench.sliders(graph, nodes=features[:2], supernodes={"Pair": features[2:4]})
    assert widget.wait(SECONDS), widget.error
    yield widget
    widget.close()


# --- supernodes -------------------------------------------------------------------------------------------------------


def test_a_supernodes_slider_moves_all_its_members(
    bench: wb.Session, graph: wb.Graph, features: list[str], sliders: InterventionSliders
) -> None:
    sliders.values = {"s/Pair": -2}
    assert sliders.wait(SECONDS), sliders.error
    expected = bench.intervene(graph, [wb.SupernodeEdit.nodes(features[2:4], factor=-2)])
    shown = sliders.tokens.set_index("token_id")["after"]
    assert shown.to_dict() == pytest.approx(expected.tokens.set_index("token_id")["after"].loc[shown.index].to_dict())
    assert sliders.result["kl"] == pytest.approx(expected.kl)


def test_the_copied_call_gives_what_is_shown(
    bench: wb.Session, graph: wb.Graph, features: list[str], sliders: InterventionSliders
) -> None:
    sliders.values = {features[0]: 0, "s/Pair": 2.5}
    sliders.mode = "direct"
    assert sliders.wait(SECONDS), sliders.error
    assert sliders.result["code"] == sliders.code
    # What a user pastes into a cell is run; here, too.
    again = eval(sliders.code, {"bench": bench, "graph": graph, "wb": wb})  # noqa: S307
    assert again.kl == pytest.approx(sliders.result["kl"])
    shown = sliders.tokens.set_index("token_id")["after"]
    assert shown.to_dict() == pytest.approx(again.tokens.set_index("token_id")["after"].loc[shown.index].to_dict())


@pytest.mark.parametrize("form", ["mapping", "explorer", "names"])
def test_supernodes_come_as_a_mapping_from_the_explorer_or_by_name(
    bench: wb.Session, graph: wb.Graph, features: list[str], form: str
) -> None:
    groups = {"One": features[:2], "Two": ["t/1", features[2]]}
    explorer = bench.explore(graph, supernodes=groups)
    named = explorer.graph
    given: Any = {"mapping": groups, "explorer": explorer.supernodes, "names": ["One", "Two"]}[form]
    widget = bench.sliders(named, supernodes=given)
    members = {row["id"]: sorted(row["members"]) for row in widget.nodes}
    assert members == {"s/One": sorted(features[:2]), "s/Two": [features[2]]}, "a token is no feature"
    assert widget.values == {"s/One": 1, "s/Two": 1}
    widget.close()


@pytest.mark.parametrize(
    ("supernodes", "message"),
    [
        (["None such"], "no supernode 'None such'"),
        ({"Tokens": ["t/1"]}, "has no feature to scale"),
        ({"Far": ["f/99/0/1"]}, "no f/99/0/1, of the supernode 'Far'"),
        ("One", "single text"),
        ({}, "select one or more feature nodes"),
    ],
)
def test_supernodes_that_cannot_be_used_are_named(
    bench: wb.Session, graph: wb.Graph, supernodes: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        bench.sliders(graph, supernodes=supernodes)


# --- sliders that come and go, links ----------------------------------------------------------------------------------


def test_sliders_are_added_and_removed_and_their_values_with_them(
    features: list[str], sliders: InterventionSliders
) -> None:
    sliders.values = {features[0]: 0, features[1]: 2}
    sliders.add(features[4], features[0])
    assert sliders.values == {features[0]: 0, features[1]: 2, "s/Pair": 1, features[4]: 1}
    sliders.links = [[features[4], features[0], features[1]]]
    assert set(sliders.values.values()) == {1.0}, "what is linked takes the first one's factor"
    sliders.values = {features[1]: -1}
    assert sliders.values == {features[0]: -1, features[1]: -1, "s/Pair": 1, features[4]: -1}
    sliders.remove(features[1])
    assert sliders.links == [[features[4], features[0]]]
    sliders.remove(features[4])
    assert sliders.links == []
    assert [edit.node_id for edit in sliders.edits] == [features[0]]
    assert sliders.wait(SECONDS), sliders.error
    sliders.remove("s/Pair")
    with pytest.raises(ConfigError, match="last slider"):
        sliders.remove(features[0])
    for wrong, message in (("t/1", r"t/1 \(token\) is not"), ("f/9/9/9", "no node 'f/9/9/9'"), ("s/x", "no supernode")):
        with pytest.raises(ConfigError, match=message):
            sliders.add(wrong)
    assert list(sliders.values) == [features[0]]


def test_what_can_be_added_is_found_by_id_token_and_label(
    bench: wb.Session, graph: wb.Graph, features: list[str]
) -> None:
    named = graph.with_labels({features[3]: "a label of its own"}).with_supernodes({"Group": features[4:6]})
    widget = bench.sliders(named, nodes=features[:1])
    find: Any = widget.methods()["find"]
    assert [found["id"] for found in find({"text": "its own"})] == [features[3]]
    assert [found["id"] for found in find({"text": "group"})] == ["s/Group"]
    everything = [found["id"] for found in find({"text": ""})]
    assert everything[0] == "s/Group"
    assert everything[1] == features[1], "the most influential first, without what has a slider"
    assert len(everything) == 20
    widget.methods()["add"]({"sliders": ["s/Group", features[3]]})
    assert list(widget.values) == [features[0], "s/Group", features[3]]
    widget.close()


def test_a_supernode_that_the_graph_has_not_is_dropped_on_them(
    bench: wb.Session, graph: wb.Graph, features: list[str]
) -> None:
    widget = bench.sliders(graph, nodes=features[:1])
    add: Any = widget.methods()["add"]
    pair = {"name": "My <pair>", "node_ids": [*features[2:4], "t/1"]}
    add({"supernodes": [pair]})
    assert list(widget.values) == [features[0], "s/My <pair>"]
    assert widget.nodes[1]["members"] == features[2:4], "a token has no activation to scale"
    add({"supernodes": [pair]})
    widget.values = {"s/My <pair>": 0}
    assert [edit.node_id for edit in widget.edits] == features[2:4]
    for wrong, message in (
        ({"name": "My <pair>", "node_ids": features[4:6]}, "of other nodes"),
        ({"name": "x", "node_ids": ["f/9/9/9"]}, "has no f/9/9/9"),
        ({"name": "x", "node_ids": ["t/1"]}, "no feature to scale"),
        ({"name": "x", "node_ids": "f/0/1/2"}, "no supernode"),
        ({"name": 3, "node_ids": features[:2]}, "no supernode"),
        ({"name": "x", "node_ids": [None]}, "no supernode"),
        ("text", "no supernode"),
        (None, "no supernode"),
    ):
        with pytest.raises(ConfigError, match=message):
            add({"sliders": [features[5]], "supernodes": [wrong]})
    assert list(widget.values) == [features[0], "s/My <pair>"], "nothing is added when something is wrong"
    with pytest.raises(ConfigError, match="no supernode"):
        add({"supernodes": 3})
    widget.close()


def test_sliders_without_a_graph_say_what_they_lack(bench: wb.Session, graph: wb.Graph, features: list[str]) -> None:
    widget = InterventionSliders(
        graph.select(features[:1]), lambda edits, mode: bench.intervene(graph, edits), prompt=""
    )
    assert widget.can == {"control": False, "add": False}
    with pytest.raises(ConfigError, match="without a graph"):
        widget.add(features[1])
    with pytest.raises(ConfigError, match="without a graph"):
        widget.add(supernodes={"Pair": features[1:3]})
    with pytest.raises(ConfigError, match="without matched controls"):
        widget.control_seed = 0
    assert widget.methods()["find"]({"text": ""}) == []
    widget.close()


# --- matched control --------------------------------------------------------------------------------------------------


def test_the_control_is_the_same_edit_on_another_feature(
    bench: wb.Session, graph: wb.Graph, features: list[str], sliders: InterventionSliders
) -> None:
    sliders.values = {features[0]: -3}
    sliders.control_seed = 4
    assert sliders.wait(SECONDS), sliders.error
    clean = bench._clean(graph)
    (instead,) = matched_controls(clean, [wb.Edit.node(features[0], factor=-3)], 1, seed=4)
    (edit,) = instead
    assert edit.factor == -3
    assert edit.node_id != features[0]
    expected = clean.intervene(instead)
    control = sliders.result["control"]
    assert control["ids"] == [edit.node_id]
    assert control["kl"] == pytest.approx(expected.kl)
    shown = sliders.tokens
    assert shown["control"].tolist() == pytest.approx(expected.probabilities[shown["token_id"].tolist()].tolist())
    sliders.control_seed = None
    assert sliders.wait(SECONDS)
    assert "control" not in sliders.tokens


def test_without_an_edit_the_control_is_the_clean_run(sliders: InterventionSliders) -> None:
    sliders.control_seed = 0
    assert sliders.wait(SECONDS), sliders.error
    assert sliders.result["control"]["ids"] == []
    assert sliders.tokens["control"].tolist() == pytest.approx(sliders.tokens["before"].tolist())


def test_a_control_that_cannot_be_drawn_is_said_beside_the_effect(
    sliders: InterventionSliders, features: list[str]
) -> None:
    def none(edits: Any, seed: int) -> Any:
        raise InterventionError("There are too few other features.")

    sliders._control = none
    sliders.values = {features[0]: 0}
    sliders.control_seed = 0
    assert sliders.wait(SECONDS), sliders.error
    assert sliders.result["control"] == {"error": "There are too few other features."}
    assert "control" not in sliders.tokens


@pytest.mark.parametrize("seed", [-1, 0.5, True, "0"])
def test_a_seed_that_is_none_is_refused(sliders: InterventionSliders, seed: Any) -> None:
    with pytest.raises(ConfigError, match="whole number from 0, or None"):
        sliders.control_seed = seed
    assert sliders.control_seed is None


# --- knock-on features ------------------------------------------------------------------------------------------------


def test_the_features_that_changed_are_those_of_the_intervention(
    bench: wb.Session, graph: wb.Graph, features: list[str], sliders: InterventionSliders
) -> None:
    sliders.pane = "features"
    sliders.values = {features[0]: -4, features[1]: 3}
    assert sliders.wait(SECONDS), sliders.error
    edits = [wb.Edit.node(features[0], factor=-4), wb.Edit.node(features[1], factor=3)]
    expected = bench.intervene(graph, edits).features
    expected = expected[expected["change"] != 0].reset_index(drop=True)
    assert len(expected) > 5
    pd.testing.assert_frame_equal(sliders.features, expected)
    assert sliders.knock_on["values"] == sliders.values
    assert sliders.knock_on["n_changed"] == len(expected)
    rows = sliders.knock_on["rows"]
    assert [row["id"] for row in rows] == expected["node_id"].head(40).tolist()
    assert {row["id"] for row in rows if row["edited"]} <= {features[0], features[1]}


def test_in_the_clean_run_no_feature_changes(sliders: InterventionSliders) -> None:
    sliders.pane = "features"
    assert sliders.wait(SECONDS), sliders.error
    assert sliders.features.empty
    assert sliders.knock_on["rows"] == []


# --- dose and response ------------------------------------------------------------------------------------------------


def test_a_sweep_gives_at_every_dose_what_an_intervention_gives(
    bench: wb.Session, graph: wb.Graph, features: list[str], sliders: InterventionSliders
) -> None:
    sliders.values = {features[1]: 0}
    sliders.control_seed = 1
    table = sliders.sweep(features[0], [2, -1, 1])
    assert table["factor"].unique().tolist() == [-1, 1, 2]
    for factor, rows in table.groupby("factor"):
        edits = [wb.Edit.node(features[1], factor=0), wb.Edit.node(features[0], factor=float(factor))]  # type: ignore[arg-type]
        expected = bench.intervene(graph, edits)
        assert rows["after"].tolist() == pytest.approx(expected.probabilities[rows["token_id"].tolist()].tolist())
        assert rows["kl"].tolist() == pytest.approx([expected.kl] * len(rows))
    assert {"control_after", "control_kl"} <= set(table)
    assert sliders.curve["state"] == "done"
    assert sliders.curve_table.equals(table)
    assert sliders.values[features[0]] == 1, "the slider stays where it was"
    json.dumps(sliders.get_state("curve"), allow_nan=False)


def test_linked_sliders_are_swept_together(features: list[str], sliders: InterventionSliders) -> None:
    alone = sliders.sweep(features[0], [-2, 1])
    sliders.links = [features[:2]]
    together = sliders.sweep(features[0], [-2, 1])
    assert sliders.curve["linked"] == features[:2]
    assert not np.allclose(alone["kl"].max(), together["kl"].max())


def test_a_sweep_shows_its_progress_and_can_be_cancelled(features: list[str], sliders: InterventionSliders) -> None:
    asked, go_on = threading.Semaphore(0), threading.Semaphore(0)
    run = sliders._intervene
    states: list[tuple[str, int]] = []
    sliders.observe(lambda change: states.append((change["new"]["state"], len(change["new"]["factors"]))), "curve")

    def held(edits: Any, mode: str) -> Any:
        asked.release()
        assert go_on.acquire(timeout=SECONDS)
        return run(edits, mode)

    sliders._intervene = held
    thread = threading.Thread(target=sliders.methods()["sweep"], args=({"slider": features[0]},))
    thread.start()
    assert asked.acquire(timeout=SECONDS)
    with pytest.raises(ConfigError, match="Another sweep is running"):
        sliders.sweep(features[1])
    sliders.methods()["cancel"]({})
    go_on.release()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert states[0] == ("running", 0)
    assert states[-1] == ("cancelled", 1)
    sliders._intervene = run
    assert not sliders.sweep(features[0], [0, 1]).empty, "the next one works"


def test_a_sweep_that_fails_keeps_what_there_was(features: list[str], sliders: InterventionSliders) -> None:
    run = sliders._intervene

    def failing(edits: Any, mode: str) -> Any:
        if any(edit.factor > 2 for edit in edits):
            raise InterventionError("That is too far.")
        return run(edits, mode)

    sliders._intervene = failing
    with pytest.raises(InterventionError, match="too far"):
        sliders.sweep(features[0], [0, 2, 4])
    assert sliders.curve["state"] == "failed"
    assert sliders.curve["factors"] == [0, 2]


def test_a_sweep_goes_on_without_a_control_that_cannot_be_drawn(
    features: list[str], sliders: InterventionSliders
) -> None:
    def none(edits: Any, seed: int) -> Any:
        raise InterventionError("There are too few other features.")

    sliders._control = none
    sliders.control_seed = 0
    table = sliders.sweep(features[0], [0, 1, 2])
    assert table["factor"].nunique() == 3
    assert "control_after" not in table
    assert sliders.curve["state"] == "done"
    assert sliders.curve["control_error"] == "There are too few other features."


@pytest.mark.parametrize("factors", [[1], [0, 9], [float("nan"), 1], []])
def test_doses_that_cannot_be_used_are_refused(
    features: list[str], sliders: InterventionSliders, factors: list[float]
) -> None:
    with pytest.raises(ConfigError, match="at least two factors from -5 to 5"):
        sliders.sweep(features[0], factors)
    with pytest.raises(ConfigError, match="no slider for f/9/9/9"):
        sliders.sweep("f/9/9/9")
    assert sliders.curve == {}


# --- history, stored --------------------------------------------------------------------------------------------------


def test_what_was_tried_is_a_table(features: list[str], sliders: InterventionSliders) -> None:
    for factor in (0, -1):
        sliders.values = {features[0]: factor}
        assert sliders.wait(SECONDS)
    assert sliders.history[features[0]].tolist() == [1, 0, -1]
    assert sliders.history["kl"].iloc[0] == 0
    assert {"mode", "token", "probability", "kl"} <= set(sliders.history)


def test_a_stored_widget_holds_every_pane(features: list[str], sliders: InterventionSliders) -> None:
    sliders.pane = "features"
    sliders.control_seed = 0
    sliders.values = {features[0]: 0}
    assert sliders.wait(SECONDS)
    sliders.sweep(features[0], [0, 1])
    stored = page(sliders, title="Sliders")
    for part in ("n_changed", "s/Pair", "control_kl", "bench.intervene"):
        assert part in stored
