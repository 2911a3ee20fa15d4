"""A claim from its test to its row, on a tiny model."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.errors import ConfigError, FormatError, InterventionError, PromptError
from workbench.evaluation.claims.run import current_notebook

PROMPTS = [tiny_prompt(seed=seed) for seed in range(4)]


@cache
def bench() -> wb.Session:
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=40, active=0.5)
    # One feature that writes strongly against one token: a mechanism that is known.
    rows = clt.W_dec[2].clone()
    rows[5, 0] = 4 * (model.W_U[:, 7] - model.W_U[:, 9])
    rows[:5, 0] /= 20
    rows[6:, 0] /= 20
    return wb.Session(loaded=model, clt=dataclasses.replace(clt, W_dec=(*clt.W_dec[:2], rows)), clt_name="tiny")


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "claims.parquet"
    monkeypatch.setenv("WORKBENCH_CLAIMS", str(path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return path


def claim(statement: str = "Feature 2/5 pushes w7 against w9", **options: Any) -> wb.Claim:
    return bench().claim(
        statement,
        **{
            "edits": [wb.Edit(2, 5, -1, add=2.0)],
            "metric": wb.LogitDifference("w7", "w9"),
            "expect": "increase",
            "over": PROMPTS,
            "n": 8,
            "progress": False,
        }
        | options,
    )


def test_a_claim_about_a_known_mechanism_is_supported() -> None:
    result = claim()

    assert result.verdict == "supported"
    assert result.effect > 1
    assert result.interval is not None
    assert result.interval[0] <= result.effect <= result.interval[1]
    assert abs(result.control_effect) < result.effect / 4
    assert result.p == result.p_corrected < 0.01
    assert repr(result).startswith("Claim(supported: 'Feature 2/5 pushes w7 against w9'; logit of 'w7' − 'w9' +")


def test_its_opposite_is_refuted_which_is_a_result_and_no_error() -> None:
    result = claim(expect="decrease")
    assert result.verdict == "refuted"
    assert list(wb.claims()["verdict"]) == ["refuted"]


def test_what_was_measured_is_what_the_edits_and_their_controls_do() -> None:
    result = claim(over=PROMPTS[:2], n=3)
    for row, prompt in zip(result.prompts.itertuples(), PROMPTS, strict=False):
        after = bench().intervene(prompt, [wb.Edit(2, 5, -1, add=2.0)]).logits
        before, after = (float(logits[7] - logits[9]) for logits in after)
        assert (row.before, row.after, row.effect) == pytest.approx((before, after, after - before))
        own = result.controls[result.controls["prompt"] == row.prompt]["effect"]
        assert len(own) == row.n_controls == 3
        assert row.control_effect == pytest.approx(own.mean())
    assert result.effect == pytest.approx(result.prompts["effect"].mean())


def test_every_claim_is_a_row_and_more_of_them_cost_power(table: Path) -> None:
    assert wb.claims().empty
    first = claim(notebook="02.ipynb")
    for number in range(3):
        claim(f"another {number}", notebook="02.ipynb", seed=number, over=PROMPTS[:1])
    other = claim(notebook="03.ipynb")

    rows = wb.claims()
    assert rows["statement"].iloc[0] == first.statement
    assert list(rows["notebook"]) == ["02.ipynb"] * 4 + ["03.ipynb"]
    assert rows["p_corrected"].iloc[0] == pytest.approx(min(1, 4 * first.p))
    assert rows["p_corrected"].iloc[4] == other.p
    assert len(wb.claims(notebook="02.ipynb")) == 4
    assert rows["effects"].iloc[0].tolist() == pytest.approx(first.prompts["effect"].tolist())
    assert list(rows["prompts"].iloc[4]) == list(first.prompts["prompt"])
    # A single prompt has no interval.
    assert pd.isna(rows["low"].iloc[1])
    assert wb.claims(table.parent / "other.parquet").empty


def test_the_same_test_run_again_takes_the_place_of_its_row_and_a_changed_one_counts_as_one_more() -> None:
    claim(over=PROMPTS[:1])
    again = claim(over=PROMPTS[:1])
    assert (len(wb.claims()), again.n_claims) == (1, 1)
    changed = claim(over=PROMPTS[:2])
    assert (len(wb.claims()), changed.n_claims) == (2, 2)


def test_edits_may_be_found_for_each_prompt_and_metrics_may_differ() -> None:
    def strongest(clean: Any) -> list[wb.Edit]:
        return [wb.Edit(1, int(clean.activations(1)[-1].argmax()), -1, factor=0)]

    result = claim(
        edits=strongest,
        metric=None,
        over={PROMPTS[0]: wb.Probability("w3"), PROMPTS[1]: wb.Probability("w4", "w5")},
        expect="change",
    )
    probabilities = bench().intervene(PROMPTS[1], []).probabilities
    assert result.prompts["before"][1] == pytest.approx(float(probabilities[4] + probabilities[5]))
    assert result.metric == "probability of 'w3'; probability of 'w4' or 'w5'"


def test_a_metric_may_be_a_function_of_the_logits() -> None:
    def largest(logits: torch.Tensor) -> float:
        return float(logits.max())

    result = claim(metric=largest, over=PROMPTS[:1])
    assert result.metric == "largest"
    assert result.prompts["before"][0] == pytest.approx(float(bench().intervene(PROMPTS[0], []).logits.before.max()))


def test_that_nothing_changes_can_be_claimed_within_a_margin() -> None:
    weak = [wb.Edit(2, 5, -1, add=1e-4)]
    assert claim(edits=weak, expect="unchanged", margin=0.5).verdict == "supported"
    assert claim(expect="unchanged", margin=0.5).verdict == "refuted"


def test_controls_may_be_given() -> None:
    result = claim(controls=[[wb.Edit(2, other, -1, add=2.0)] for other in (1, 2, 3, 4)], over=PROMPTS[:1])
    assert list(result.controls["edits"]) == [f"feature 2/{other} at position -1 (add 2)" for other in (1, 2, 3, 4)]
    assert result.p == pytest.approx(1 / 5)
    # Too few controls to say so.
    assert result.verdict == "inconclusive"


def test_the_picture_shows_the_effect_beside_the_controls() -> None:
    result = claim(over=PROMPTS[:2])
    histogram, effect = result.plot().data
    assert np.array_equal(histogram.x, result.null)
    assert list(effect.x) == [result.effect]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"statement": " "}, ConfigError, "no statement"),
        ({"expect": "less"}, ConfigError, "no expectation 'less': choose from 'decrease', 'increase'"),
        ({"expect": "unchanged"}, ConfigError, "expect is 'unchanged' and margin None: give a margin above 0"),
        ({"margin": 1.0}, ConfigError, "with nothing else"),
        ({"expect": "unchanged", "margin": 1.0, "over": PROMPTS[:1]}, ConfigError, "give at least two prompts"),
        ({"controls": "none"}, ConfigError, "no controls 'none': give 'matched'"),
        ({"controls": []}, ConfigError, "A claim without a control says nothing"),
        ({"n": 0}, ConfigError, "A claim without a control says nothing"),
        ({"over": []}, ConfigError, "give a list of at least one"),
        ({"over": PROMPTS[0]}, ConfigError, "give a list of at least one"),
        ({"over": [PROMPTS[0]] * 2}, ConfigError, "is there twice and would count twice"),
        ({"metric": None}, ConfigError, "no metric: give one"),
        ({"over": {PROMPTS[0]: wb.Probability("w3")}}, ConfigError, "metrics of their own: leave out metric"),
        ({"metric": "w3"}, ConfigError, "The metric is 'w3': give a LogitDifference"),
        ({"metric": lambda logits: float("nan")}, ConfigError, r"Prompt 1 .*: The metric gave nan: it must"),
        ({"metric": wb.LogitDifference("w7", "w7 w8")}, PromptError, "is 2 tokens of 'tiny-llama'"),
        ({"over": [PROMPTS[0], ""]}, PromptError, "Prompt 2 cannot be tested: The prompt is empty"),
        (
            {"edits": [wb.Edit(0, 3, 77, add=1)]},
            InterventionError,
            r"Prompt 1 \('w46.*\) cannot be tested: The position",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused_and_leaves_no_row(
    options: dict[str, Any], error: type, message: str, table: Path
) -> None:
    with pytest.raises(error, match=message):
        claim(**options)
    assert not table.exists()


def test_a_damaged_table_is_noticed_before_the_test_and_left_as_it_is(table: Path) -> None:
    table.parent.mkdir()
    table.write_bytes(b"PAR1 and no more")
    with pytest.raises(FormatError, match=r"Cannot read .* as a table of claims"):
        claim(edits=lambda clean: pytest.fail("the test ran"))
    assert table.read_bytes() == b"PAR1 and no more"
    pd.DataFrame({"p": [1.0]}).to_parquet(table)
    with pytest.raises(FormatError, match="is no table of claims"):
        wb.claims()


def test_tokens_of_a_probability_are_named_once() -> None:
    with pytest.raises(ConfigError, match="give at least one, and each once"):
        wb.Probability("w3", "w3")


def test_a_kernel_knows_its_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_notebook() == "python"
    monkeypatch.setenv("JPY_SESSION_NAME", "notebooks/02_interventions.ipynb")
    assert current_notebook() == "02_interventions.ipynb"
