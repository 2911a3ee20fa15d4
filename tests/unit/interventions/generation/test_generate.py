from __future__ import annotations

import threading
from functools import cache
from typing import Any

import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt, tiny_tokens

from workbench.clt import CLT
from workbench.errors import ConfigError, InterventionError, PromptError
from workbench.interventions import Edit
from workbench.interventions.generation import Generating, Sampling, Token, generate
from workbench.models import LoadedModel

STEER = [Edit.everywhere(0, 3, value=9)]


@cache
def parts() -> tuple[LoadedModel, CLT]:
    model = tiny_model("llama")
    return model, tiny_clt(model, window=2)


def run(edits: Any = STEER, **options: Any) -> Any:
    return generate(*parts(), tiny_prompt(length=7), edits, **({"max_new_tokens": 6, "stop_at_end": False} | options))


def test_clean_and_steered_stand_side_by_side() -> None:
    result = run()
    table = result.side_by_side

    assert list(table.columns) == ["clean", "clean_probability", "steered", "steered_probability", "same"]
    assert list(table["clean"]) == [token.token for token in result.clean.tokens]
    assert list(table["steered"]) == result.steered.text.split()
    assert not table["same"].all()
    assert result.text == result.steered.text
    assert repr(result).startswith("Generation(1 edits, mode='propagated')\nclean:")


def test_every_token_tells_its_probability_and_what_the_clean_model_gives_it() -> None:
    model, _ = parts()
    result = run(k=3)
    table = result.tokens
    steered = table[table["run"] == "steered"]
    assert list(steered["position"]) == list(range(7, 13))
    ids = list(result.prompt_ids)
    for row in steered.itertuples():
        clean = model.bridge(torch.tensor([ids]))[0, -1].softmax(-1)
        assert row.clean_probability == pytest.approx(float(clean[row.token_id]))
        ids.append(row.token_id)
    assert (steered["kl"] > 0).all()
    assert (table.loc[table["run"] == "clean", "kl"] == 0).all()
    # The most probable token is taken: it is the first of the alternatives.
    best = result.alternatives[result.alternatives["rank"] == 0]
    assert list(best["token_id"]) == list(table["token_id"])
    assert list(best["probability"]) == list(table["probability"])
    assert len(result.alternatives) == 2 * 6 * 3


def test_without_edits_there_is_the_clean_text_alone() -> None:
    result = run([])
    assert list(result.runs) == ["clean"]
    assert result.text == result.clean.text == run().clean.text
    with pytest.raises(ConfigError, match="no steered text: give edits"):
        _ = result.steered


def test_the_clean_text_may_be_left_out() -> None:
    result = run(compare=False)
    assert list(result.runs) == ["steered"]
    assert result.steered.token_ids == run().steered.token_ids
    with pytest.raises(ConfigError, match="no clean text: give compare=True"):
        _ = result.clean


def test_an_edit_that_is_too_weak_to_matter_leaves_the_text_as_it_is() -> None:
    result = run([Edit.everywhere(0, 3, add=1e-9)], temperature=1.0, seed=5)
    assert result.side_by_side["same"].all()


def test_the_same_seed_draws_the_same_tokens_and_another_one_others() -> None:
    one, same, other = (run(temperature=1.5, seed=seed).steered.token_ids for seed in (1, 1, 2))
    assert one == same != other


def test_draws_follow_the_probabilities() -> None:
    log_probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05]).double().log()

    def shares(**options: Any) -> list[float]:
        drawn = torch.tensor([Sampling(seed=1, **options).pick(log_probabilities, step=step) for step in range(2000)])
        return (torch.bincount(drawn, minlength=4) / 2000).tolist()

    assert shares(temperature=1.0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.04)
    assert shares(temperature=1.0, top_k=2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
    # The smallest set whose probabilities reach the sum.
    assert shares(temperature=1.0, top_p=0.79) == pytest.approx([0.625, 0.375, 0, 0], abs=0.04)
    assert shares(temperature=1.0, top_p=0.81)[2] > 0.1
    assert shares(temperature=1.0, top_p=0.01) == [1, 0, 0, 0]
    # Half the temperature squares the probabilities.
    squares = torch.tensor([0.5, 0.3, 0.15, 0.05]) ** 2
    assert shares(temperature=0.5) == pytest.approx((squares / squares.sum()).tolist(), abs=0.04)


def test_tokens_are_handed_out_as_they_are_produced() -> None:
    generating = Generating(*parts(), tiny_prompt(length=7), STEER, max_new_tokens=3, stop_at_end=False)
    first = next(generating)
    assert (first.run, first.step, first.position) == ("clean", 0, 7)
    assert generating.result.clean.token_ids == (first.token_id,)
    rest = list(generating)
    assert [(token.run, token.step) for token in rest] == [
        ("steered", 0), ("clean", 1), ("steered", 1), ("clean", 2), ("steered", 2),
    ]  # fmt: skip
    assert {run.ending for run in generating.result.runs.values()} == {"length"}


def test_a_generation_can_be_cancelled_by_its_callback_and_from_another_thread() -> None:
    seen: list[Token] = []

    def stop_at_the_third(token: Token) -> bool:
        seen.append(token)
        return len(seen) < 3

    result = run(on_token=stop_at_the_third)
    assert len(seen) == 3
    assert [len(side.tokens) for side in result.runs.values()] == [2, 1]
    assert result.clean.ending == result.steered.ending == "cancelled"

    generating = Generating(*parts(), tiny_prompt(length=7), STEER, max_new_tokens=50)
    next(generating)
    thread = threading.Thread(target=generating.cancel)
    thread.start()
    thread.join()
    assert list(generating) == []
    assert pd.isna(generating.result.side_by_side["steered"].iloc[0]) or not generating.result.steered.tokens


def test_a_text_ends_where_the_model_ends_it() -> None:
    model, _ = parts()
    open_ended = run([])
    end = open_ended.clean.token_ids[2]
    at = model.tokenizer.eos_token
    try:
        model.tokenizer.eos_token = model.tokenizer.convert_ids_to_tokens(end)
        ended = run([], stop_at_end=True)
    finally:
        model.tokenizer.eos_token = at
    first = open_ended.clean.token_ids.index(end)
    assert ended.clean.token_ids == open_ended.clean.token_ids[: first + 1]
    assert ended.clean.ending == "end"


def test_a_chat_goes_through_the_template() -> None:
    model, clt = parts()
    model.tokenizer.chat_template = "{{ bos_token }} {{ messages[0]['content'] }} w9 w8"
    try:
        result = generate(model, clt, "w3 w4", STEER, chat=True, max_new_tokens=2, stop_at_end=False)
    finally:
        model.tokenizer.chat_template = None
    assert list(result.prompt) == ["<s>", "w3", "w4", "w9", "w8"]
    with pytest.raises(PromptError, match="no chat template"):
        generate(model, clt, "w3 w4", chat=True)


def test_the_picture_shows_every_token() -> None:
    result = run()
    bars = result.plot().data
    assert [bar.name for bar in bars] == ["clean: own", "steered: clean model after the same text", "steered: own"]
    assert list(bars[2].y) == [token.probability for token in result.steered.tokens]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"max_new_tokens": 0}, ConfigError, "max_new_tokens is 0: give at least 1"),
        ({"k": 0}, ConfigError, "k is 0"),
        ({"max_new_tokens": 58}, PromptError, "7 tokens and 58 new ones are more than the 64 that 'tiny-llama' can"),
        ({"temperature": -1}, ConfigError, "temperature is -1: give 0 or a positive number"),
        ({"temperature": float("nan")}, ConfigError, "temperature is nan"),
        ({"temperature": 1, "top_k": 0}, ConfigError, "top_k is 0: give at least 1"),
        ({"temperature": 1, "top_p": 1.5}, ConfigError, "top_p is 1.5: give a number above 0 and up to 1"),
        ({"top_k": 5}, ConfigError, "top_k and top_p do nothing: give a temperature"),
        ({"mode": "frozen"}, InterventionError, "no mode 'frozen'"),
        ({"mode": "constrained"}, InterventionError, "needs until"),
        ({"edits": [Edit(0, 3, 7, value=1)]}, InterventionError, "prompt has positions 1 to 6 after its start token"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        run(**options)


def test_a_factor_on_a_feature_that_is_inactive_on_the_prompt_is_refused_before_any_steered_token() -> None:
    model, clt = parts()
    from workbench.interventions import CleanRun

    clean = CleanRun.of(model, clt, tiny_tokens(length=7))
    off = next(feature for feature in range(12) if not clean.activations(0)[4, feature])
    with pytest.raises(InterventionError, match=f"feature 0/{off} at position 4 is inactive"):
        run([Edit(0, off, 4, factor=2)])
    never = next(feature for feature in range(12) if not clean.activations(0)[:, feature].any())
    # It may become active later on.
    assert len(run([Edit.everywhere(0, never, factor=2)]).steered.tokens) == 6
    assert torch.equal(model.bridge(tiny_tokens()[None]), tiny_model("llama").bridge(tiny_tokens()[None]))
