"""The sceptic's report on the default model with the CLT that is shipped."""

from __future__ import annotations

from itertools import combinations

import pytest

from workbench.attribution import attribute
from workbench.clt import default_clt, load_clt
from workbench.evaluation.scrutiny import scrutinise
from workbench.evaluation.scrutiny.compare import Other
from workbench.interventions import CleanRun
from workbench.models import LoadedModel, tokenize

pytestmark = pytest.mark.integration


def test_the_report_tells_the_clt_from_a_shuffled_one_and_finds_where_the_answer_is_carried(
    smollm2: LoadedModel,
) -> None:
    clt = load_clt(default_clt(smollm2.name), model=smollm2)
    clean = CleanRun.of(smollm2, clt, "When Mary and John went to the store, John gave a drink to")
    corrupted = CleanRun.of(smollm2, clt, "When Mary and John went to the store, Mary gave a drink to")
    graph = attribute(smollm2, clt, clean.tokens, cap=1024, progress=False)
    pairs = list(combinations(("Tom", "Anna", "Paul", "Lucy", "Mark"), 2))
    texts = {
        label: [f"When {pair[0]} and {pair[1]} went to the park, {pair[giver]} gave a drink to" for pair in pairs]
        for label, giver in (("the second gives", 1), ("the first gives", 0))
    }

    page = scrutinise(
        clean,
        graph,
        variants=[Other("reference", "the same CLT", lambda: clt)],
        corrupted=corrupted,
        probe={label: [tuple(tokenize(smollm2, text).tolist()) for text in own] for label, own in texts.items()},
        k=6,
        n_cells=60,
        progress=False,
    )

    assert page.answer == " Mary"
    lines = page.lines
    assert lines["number"].notna().all()
    scores = page.tables["variants"].set_index("variant")
    assert scores.loc["own", "replacement"] > scores.loc["shuffled", "replacement"] + 0.1
    assert scores.loc["shuffled", "effect_cosine"] < 0.5
    assert scores.loc["reference", "found_again"] == 1
    # The name that differs stands at position 10; nothing before it differs, and the last layer has moved all of it.
    patched = page.tables["patching"]
    assert (patched["position"] >= 10).all()
    assert patched.query("position == 10 and layer <= 3")["recovered"].min() > 0.9
    assert patched.query("position == 14 and layer >= 28")["recovered"].min() > 0.5
    # Who gives reaches the last position in the upper half of the model, and is no matter of the last token.
    probe = page.tables["probe"].set_index("layer")
    assert probe.loc[-1, "accuracy"] == 0.5
    assert probe.loc[20:27, "accuracy"].min() > 0.85 > 0.75 > probe.loc[0:8, "accuracy"].max()
    assert set(probe.loc[20:27, "says"]) == {"the second gives"}
    through = lines[lines["question"].str.contains("runs? through attention")]
    assert 0.2 < through["number"].iloc[0] < 1
