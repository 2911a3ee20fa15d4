from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.errors import ConfigError, InterventionError, WorkbenchError
from workbench.interventions.generation import Generation
from workbench.widgets.generation_view import GenerationView, Settings
from workbench.widgets.page import page

SECONDS = 120.0  # how long to wait for what never takes long, before calling it lost


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, n_features=16), clt_name="tiny")


@pytest.fixture(scope="module")
def steer(bench: wb.Session) -> list[wb.Edit]:
    graph = bench.attribute(tiny_prompt(), progress=False)
    strongest = graph.nodes[graph.nodes["kind"] == "feature"].nlargest(1, "influence").iloc[0]
    return [wb.Edit.everywhere(int(strongest["layer"]), int(strongest["feature"]), add=40)]


@pytest.fixture
def view(bench: wb.Session, steer: list[wb.Edit]) -> Iterator[GenerationView]:
    made = bench.steer(tiny_prompt(), steer, max_new_tokens=6, stop_at_end=False)
    assert made.wait(SECONDS), made.error
    yield made
    made.close()


def shown(view: GenerationView, run: str) -> list[int]:
    return [token["id"] for token in view.texts[run]]


class Held:
    """A generation that goes on when it is told to."""

    def __init__(self, generating: Any) -> None:
        self._generating = generating
        self.steps, self.at_work = threading.Semaphore(0), threading.Semaphore(0)
        self.produced = 0

    def __iter__(self) -> Iterator[Any]:
        for token in self._generating:
            self.at_work.release()
            assert self.steps.acquire(timeout=SECONDS)
            self.produced += 1
            yield token

    def cancel(self) -> None:
        self._generating.cancel()

    @property
    def result(self) -> Generation:
        result: Generation = self._generating.result
        return result


# --- what is shown ----------------------------------------------------------------------------------------------------


def test_both_texts_are_those_of_generate(bench: wb.Session, steer: list[wb.Edit], view: GenerationView) -> None:
    expected = bench.generate(tiny_prompt(), steer, max_new_tokens=6, stop_at_end=False)
    assert shown(view, "clean") == list(expected.clean.token_ids)
    assert shown(view, "steered") == list(expected.steered.token_ids)
    assert view.side_by_side.equals(expected.side_by_side)
    assert view.tokens.equals(expected.tokens)
    assert view.endings == {"clean": "length", "steered": "length"}
    assert not view.running


def test_every_token_tells_its_alternatives_and_what_the_clean_model_makes_of_it(view: GenerationView) -> None:
    for run in ("clean", "steered"):
        for step, token in enumerate(view.texts[run]):
            row = view.tokens[(view.tokens["run"] == run) & (view.tokens["step"] == step)].iloc[0]
            assert token["probability"] == row["probability"]
            assert token["clean"] == row["clean_probability"]
            assert [other["probability"] for other in token["alternatives"]] == sorted(
                (other["probability"] for other in token["alternatives"]), reverse=True
            )
            assert token["alternatives"][0]["id"] == token["id"], "the most probable one is taken"
    assert any(token["kl"] > 0 for token in view.texts["steered"])
    assert all(token["kl"] == 0 for token in view.texts["clean"])


def test_the_place_where_the_texts_part_is_the_first_that_differs(view: GenerationView) -> None:
    clean, steered = shown(view, "clean"), shown(view, "steered")
    assert clean != steered
    assert view.parts_at is not None
    assert clean[: view.parts_at] == steered[: view.parts_at]
    assert clean[view.parts_at] != steered[view.parts_at]


def test_without_edits_there_is_one_text_and_nothing_parts(bench: wb.Session) -> None:
    view = bench.steer(tiny_prompt(), max_new_tokens=3)
    assert view.wait(SECONDS)
    assert list(view.texts) == ["clean"]
    assert view.parts_at is None
    assert view.edits == []
    view.close()


def test_the_chosen_token_has_its_alternatives_as_a_table(view: GenerationView) -> None:
    everything = view.alternatives
    view.chosen = ("steered", 2)
    assert (view.alternatives["run"] == "steered").all()
    assert (view.alternatives["step"] == 2).all()
    assert 0 < len(view.alternatives) < len(everything)


def test_the_prompt_the_edits_and_the_settings_are_said(view: GenerationView) -> None:
    assert "".join(view.prompt) == "".join(view.result.prompt)
    assert view.edits == [str(view.result.edits[0])]
    assert view.mode == "propagated"
    assert view.chat is False
    assert view.made == {"seed": 0, "temperature": 0.0, "max_new_tokens": 6}


# --- again, and stopping ----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_text_and_another_one_another(bench: wb.Session, steer: list[wb.Edit]) -> None:
    view = bench.steer(tiny_prompt(), iter(steer), max_new_tokens=8, temperature=2.0, seed=3, stop_at_end=False)
    assert view.wait(SECONDS), view.error
    first = shown(view, "steered")
    for seed, same in ((3, True), (4, False), (3, True)):
        view.seed = seed
        view.start()
        assert view.wait(SECONDS), view.error
        assert (shown(view, "steered") == first) is same
        assert view.made["seed"] == seed
    view.close()


def test_stopping_ends_the_text_after_the_token_that_is_computed(bench: wb.Session, steer: list[wb.Edit]) -> None:
    held: list[Held] = []

    def stream(settings: Settings) -> Any:
        held.append(Held(bench.stream(tiny_prompt(), steer, stop_at_end=False, **settings._asdict())))
        return held[-1]

    view = GenerationView(stream, settings=Settings(max_new_tokens=50))
    assert held[0].at_work.acquire(timeout=SECONDS)
    assert view.get_state("running") == {"running": True}
    view.stop()
    held[0].steps.release()
    assert view.wait(SECONDS)
    assert held[0].produced == 1
    assert not view.running
    assert view.endings == {"clean": "cancelled", "steered": "cancelled"}
    assert len(view.texts["clean"]) == 1, "what there was stays"

    # A new one begins where an old one is at work, which ends.
    view.start()
    while len(held) < 2:
        time.sleep(0.01)
    assert held[1].at_work.acquire(timeout=SECONDS)
    view.max_new_tokens = 2
    view.start()
    held[1].steps.release()
    while len(held) < 3:
        time.sleep(0.01)
    assert view.get_state("running") == {"running": True}
    for _ in range(4):
        held[2].steps.release()
    assert view.wait(SECONDS)
    assert [len(tokens) for tokens in view.texts.values()] == [2, 2]
    assert held[1].produced == 1
    assert not view.running
    view.close()


def test_the_text_grows_while_it_is_produced(bench: wb.Session, steer: list[wb.Edit]) -> None:
    held: list[Held] = []
    lengths: list[int] = []

    def stream(settings: Settings) -> Any:
        held.append(Held(bench.stream(tiny_prompt(), steer, stop_at_end=False, **settings._asdict())))
        return held[-1]

    view = GenerationView(stream, settings=Settings(max_new_tokens=4))
    view.observe(lambda change: lengths.append(len(change["new"]["clean"])), "texts")
    for _ in range(8):
        assert held[0].at_work.acquire(timeout=SECONDS)
        held[0].steps.release()
    assert view.wait(SECONDS)
    assert lengths == sorted(lengths)
    assert lengths[-1] == 4
    view.close()


# --- errors -----------------------------------------------------------------------------------------------------------


def test_what_cannot_begin_is_the_callers_error_and_leaves_no_thread(bench: wb.Session) -> None:
    before = set(threading.enumerate())
    with pytest.raises(InterventionError, match="single Edit"):
        bench.steer(tiny_prompt(), wb.Edit.everywhere(0, 0, add=1))  # type: ignore[arg-type]
    with pytest.raises(InterventionError):
        bench.steer(tiny_prompt(), [wb.Edit.everywhere(99, 0, add=1)])
    with pytest.raises(WorkbenchError, match="max_new_tokens"):
        bench.steer(tiny_prompt(), max_new_tokens=0)
    assert not set(threading.enumerate()) - before


def test_what_fails_on_the_way_is_shown_and_the_next_one_works(bench: wb.Session, view: GenerationView) -> None:
    stream = view._stream
    assert stream is not None

    def failing(settings: Settings) -> Any:
        if settings.seed == 1:
            raise InterventionError("Not with <b>this</b> seed.")
        if settings.seed == 2:
            raise ZeroDivisionError("a defect")
        return stream(settings)

    view._stream = failing
    for seed, message in ((1, "Not with <b>this</b> seed."), (2, "ZeroDivisionError: a defect")):
        view.seed = seed
        view.start()
        assert not view.wait(SECONDS)
        assert view.error == message
        assert not view.running
        assert len(view.texts["clean"]) == 6, "the last text stays"
    view.seed = 3
    view.start()
    assert view.wait(SECONDS)
    assert view.error == ""


@pytest.mark.parametrize(("name", "value"), [("max_new_tokens", 0), ("temperature", -1.0), ("temperature", 1e400)])
def test_settings_that_cannot_be_used_are_said_at_once(view: GenerationView, name: str, value: float) -> None:
    setattr(view, name, value)
    with pytest.raises(ConfigError, match=name):
        view.start()
    assert not view.running


def test_waiting_inside_an_observer_is_refused(view: GenerationView) -> None:
    refused: list[str] = []

    def observe(change: Any) -> None:
        with pytest.raises(ConfigError) as error:
            view.wait()
        refused.append(str(error.value))

    view.observe(observe, "texts")
    view.start()
    assert view.wait(SECONDS)
    assert refused


# --- a generation that is there ---------------------------------------------------------------------------------------


def test_a_finished_generation_is_shown_without_a_thread(bench: wb.Session, steer: list[wb.Edit]) -> None:
    made = bench.generate(tiny_prompt(), steer, max_new_tokens=4)
    before = set(threading.enumerate())
    view = wb.GenerationView(made)
    assert not set(threading.enumerate()) - before
    assert shown(view, "steered") == list(made.steered.token_ids)
    assert view.result is made
    assert not view.can_start
    with pytest.raises(ConfigError, match=r"make one with bench\.steer"):
        view.start()
    view.close()


def test_stored_it_can_be_read_without_a_kernel_whatever_the_tokens_hold(
    bench: wb.Session, steer: list[wb.Edit]
) -> None:
    made = bench.generate(tiny_prompt(), steer, max_new_tokens=2)
    (first, *rest) = made.steered.tokens
    strange = replace(made.steered, tokens=(first._replace(token="<img src=x>\ud800", kl=float("nan")), *rest))
    view = GenerationView(replace(made, runs={**made.runs, "steered": strange}))
    json.dumps(view.get_state(), allow_nan=False).encode("utf-8")
    assert view.texts["steered"][0]["token"] == "<img src=x>?"
    assert view.texts["steered"][0]["kl"] is None
    stored = page(view, title="Texts")
    assert "<img src=x>" not in stored
    view.close()
