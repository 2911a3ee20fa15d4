from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import DifferenceTarget, Graph, attribute
from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.evaluation.scrutiny import Scrutiny, scrutinise
from workbench.evaluation.scrutiny.compare import Other
from workbench.interventions import CleanRun
from workbench.models import LoadedModel


@cache
def case() -> tuple[LoadedModel, CLT, CleanRun, Graph]:
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=20)
    clean = CleanRun.of(model, clt, tiny_tokens())
    return model, clt, clean, attribute(model, clt, tiny_tokens(), progress=False)


def other_prompt() -> CleanRun:
    """Return the run of a prompt of as many tokens, the last ones others, that the model answers otherwise."""
    model, clt, clean, _ = case()
    for token in range(2, 50):
        tokens = tiny_tokens()
        tokens[-3] = token
        run = CleanRun.of(model, clt, tokens)
        if int(run.logits.argmax()) != int(clean.logits.argmax()):
            return run
    raise AssertionError("every prompt has the same answer")


@cache
def report() -> Scrutiny:
    model, clt, clean, graph = case()
    return scrutinise(
        clean,
        graph.prune(),
        variants=[
            Other("reference", "the same shape", lambda: clt),
            Other("seed", "another seed", lambda: tiny_clt(model, n_features=20, seed=5)),
        ],
        corrupted=other_prompt(),
        probe={"a": [(0, 3, at) for at in range(6)], "b": [(0, 4, at) for at in range(6)]},
        k=6,
        n_features=8,
        n_cells=20,
        progress=False,
    )


def line(scrutiny: Scrutiny, question: str) -> dict[str, object]:
    """Return the line whose question contains a text."""
    rows = scrutiny.lines[scrutiny.lines["question"].str.contains(question, regex=False)]
    assert len(rows) == 1, f"{question}: {len(rows)} lines"
    return dict(rows.iloc[0])


def test_every_line_has_a_question_an_answer_and_a_number() -> None:
    lines = report().lines
    assert list(lines.columns) == ["part", "question", "answer", "number", "low", "high", "control", "n"]
    assert list(dict.fromkeys(lines["part"])) == ["paths", "variants", "model", "attention"]
    assert lines["question"].is_unique
    assert (lines["answer"].str.len() > 10).all()
    lens = lines["question"].str.contains("logit lens")
    assert lines["number"][~lens].notna().all()
    bounded = lines[lines["low"].notna()]
    assert len(bounded) >= 4
    assert ((bounded["low"] <= bounded["number"]) & (bounded["number"] <= bounded["high"])).all()


def test_a_clt_is_like_itself_and_a_random_one_is_not() -> None:
    variants = report().tables["variants"].set_index("variant")
    assert list(variants.index) == ["own", "shuffled", "reference", "seed"]
    assert variants.loc["reference", "influence_cosine"] == pytest.approx(1)
    assert variants.loc["reference", "effect_cosine"] == pytest.approx(1)
    assert variants.loc["reference", "found_again"] == 1
    assert variants.loc["reference", "active_too"] == 1
    assert variants.loc["reference", "replacement"] == pytest.approx(variants.loc["own", "replacement"])
    assert variants.loc["seed", "effect_cosine"] < 0.9
    assert variants.loc["seed", "found_again"] < 0.5
    assert line(report(), "the same shape")["answer"].startswith("Hardly")


def test_the_parts_of_the_answers_logit_are_those_of_the_graph() -> None:
    _, _, _, graph = case()
    row = graph.weights[graph.n_features]
    share = float(row[: graph.n_features].sum() / row.sum())
    assert line(report(), "What writes the logit")["number"] == pytest.approx(share)


def test_the_paths_shown_have_the_errors_of_the_whole_graph() -> None:
    _, _, _, graph = case()
    kind = graph.nodes["kind"].astype(str).to_numpy()[graph.source_index]
    errors = graph.weights[:, torch.from_numpy(kind == "error")].abs().sum(1) / graph.incoming
    by_node = dict(zip(graph.nodes["node_id"].astype(str).to_numpy()[graph.target_index], errors.tolist(), strict=True))
    paths = report().tables["paths"]
    for path, share in zip(paths["path"], paths["error_share"], strict=True):
        assert share == pytest.approx(np.mean([by_node[node] for node in path[1:]]))
    assert line(report(), "along the paths")["number"] == pytest.approx(paths["error_share"].mean())


def test_without_variants_and_a_corrupted_prompt_the_lines_say_what_to_do() -> None:
    _, _, clean, graph = case()
    scrutiny = scrutinise(clean, graph, command="workbench variants tiny --model tiny", k=2, n_cells=2, progress=False)
    variants = line(scrutiny, "another seed")
    assert variants["answer"] == (
        "Not measured: no variants of this CLT are here; train them with: workbench variants tiny --model tiny"
    )
    assert math.isnan(variants["number"])
    assert 'corrupted="…"' in line(scrutiny, "activation patching")["answer"]
    assert "patching" not in scrutiny.tables


def test_an_interrupt_keeps_what_there_is() -> None:
    model, clt, clean, graph = case()

    def interrupted() -> CLT:
        raise KeyboardInterrupt

    variants = [Other("reference", "the same shape", lambda: clt), Other("seed", "another seed", interrupted)]
    scrutiny = scrutinise(clean, graph, variants=variants, progress=False)
    assert scrutiny.lines["part"].tolist() == ["paths", "paths", "paths", "variants", "interrupted"]
    assert scrutiny.lines["answer"].iloc[-1] == (
        "Not measured: interrupted during: paths and variants, the model's own, the probe, attention."
    )
    assert "interrupted" in scrutiny.to_markdown()
    assert model.lock.acquire(blocking=False)


def test_a_graph_of_something_else_than_tokens_is_refused() -> None:
    model, clt, clean, _ = case()
    difference = attribute(model, clt, tiny_tokens(), targets=["w3", DifferenceTarget("w4", "w5")], progress=False)
    with pytest.raises(ConfigError, match="something else than tokens"):
        scrutinise(clean, difference, progress=False)
    with pytest.raises(ConfigError, match="at least 2 of each"):
        scrutinise(clean, case()[3], k=1, progress=False)


@pytest.mark.parametrize(
    ("corrupted", "message"),
    [
        (tiny_tokens(length=6), "without changing the number of tokens"),
        (tiny_tokens(), "is the graph's own"),
    ],
)
def test_a_corrupted_prompt_that_does_not_fit_is_refused(corrupted: torch.Tensor, message: str) -> None:
    model, clt, clean, graph = case()
    with pytest.raises(ConfigError, match=message):
        scrutinise(clean, graph, corrupted=CleanRun.of(model, clt, corrupted), progress=False)


def test_the_page_shows_text_as_text() -> None:
    rows = report().lines.assign(answer="<b>*bold*</b> | `x` $y$")
    page = Scrutiny("a <script> | b", " _the_", rows, {})
    shown = page._repr_html_()
    assert "<script>" not in shown
    assert "<b>*bold*" not in shown
    assert shown.count("<tr>") == len(rows) + 1
    text = page.to_markdown()
    assert page._repr_markdown_() == text
    assert r"\<script\> \| b" in text
    assert r"\<b\>\*bold\*\</b\> \| \`x\` \$y\$" in text
    assert len([row for row in text.splitlines() if row.startswith("| ")]) == len(rows) + 2
    assert "Is this the model" in repr(report())
