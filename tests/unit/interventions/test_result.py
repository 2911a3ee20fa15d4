from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.errors import ConfigError
from workbench.interventions import CleanRun, Edit


def clean_run(**overrides: float) -> CleanRun:
    model = tiny_model("gemma3", **overrides)
    return CleanRun.of(model, tiny_clt(model, window=2), tiny_tokens())


def test_probabilities_are_those_of_the_model_soft_cap_included() -> None:
    clean = clean_run(final_logit_softcapping=1.5)
    own = clean.model.bridge.original_model(input_ids=tiny_tokens()[None]).logits[0, -1].softmax(-1)

    result = clean.intervene([Edit(0, 1, 2, value=5)])

    torch.testing.assert_close(clean.probabilities, own, atol=1e-12, rtol=1e-9)
    capped = (1.5 * torch.tanh(result.logits.after / 1.5)).softmax(-1)
    torch.testing.assert_close(result.probabilities, capped, atol=1e-12, rtol=1e-9)
    # Logits are not capped: the graph's targets are not either.
    assert float(result.logits.after.abs().max()) > 1.5


def test_the_tokens_are_the_most_probable_of_both_runs_by_what_they_were_before() -> None:
    clean = clean_run()
    result = clean.intervene([Edit(2, 3, -1, value=-30)], k=4)
    table = result.tokens

    assert list(table.columns) == ["token", "token_id", "before", "after"]
    top = {*clean.probabilities.topk(4).indices.tolist(), *result.probabilities.topk(4).indices.tolist()}
    assert set(table["token_id"]) == top
    assert len(table) > 4
    assert table["before"].is_monotonic_decreasing
    for row in table.itertuples():
        assert row.token == clean.model.tokenizer.decode(row.token_id)
        assert row.before == float(clean.probabilities[row.token_id])
        assert row.after == float(result.probabilities[row.token_id])


def test_no_more_tokens_are_asked_for_than_there_are() -> None:
    assert len(clean_run().intervene([], k=1000).tokens) == 50


def test_the_divergence_is_that_of_the_clean_from_the_edited_distribution() -> None:
    clean = clean_run()
    result = clean.intervene([Edit(2, 3, -1, value=-30)])

    p, q = clean.probabilities, result.probabilities
    assert result.kl == pytest.approx(float((p * (p / q).log()).sum()))
    assert result.kl > 0.01


@pytest.mark.parametrize("mode", ["direct", "propagated"])
def test_the_features_are_those_downstream_that_are_active_before_or_after(mode: str) -> None:
    clean = clean_run()
    clt = clean.clt
    result = clean.intervene([Edit(0, 3, 4, value=8), Edit(1, 2, 6, add=2)], mode=mode)  # type: ignore[arg-type]

    expected = {}
    for layer in (1, 2):
        before, after = (clt.encode(layer, reads[layer]) for reads in (clean.reads, result.reads_after))
        change = clt.pre_activations(layer, result.reads_after[layer]) - clt.pre_activations(layer, clean.reads[layer])
        for position in range(4, 9):
            for feature in range(12):
                if before[position, feature] or after[position, feature]:
                    values = (before[position, feature], after[position, feature], change[position, feature])
                    expected[f"f/{layer}/{feature}/{position}"] = tuple(map(float, values))

    table = result.features
    measured = table.set_index("node_id")[["before", "after", "pre_activation_change"]]
    assert {row.Index: tuple(row[1:]) for row in measured.itertuples()} == expected
    assert (table["change"] == table["after"] - table["before"]).all()
    assert table["change"].abs().is_monotonic_decreasing
    assert (table["node_id"] == "f/" + table[["layer", "feature", "position"]].astype(str).agg("/".join, axis=1)).all()
    assert list(table["token"]) == [clean.token_strings[at] for at in table["position"]]
    # Some became active and some ceased to be.
    assert ((table["before"] == 0) & (table["after"] > 0)).any()
    assert ((table["before"] > 0) & (table["after"] == 0)).any()


def test_tables_have_the_models_precision_and_float32_at_least() -> None:
    for dtype, expected in ((torch.float64, "float64"), (torch.float32, "float32"), (torch.bfloat16, "float32")):
        model = tiny_model("llama", dtype=dtype)
        clt = tiny_clt(tiny_model("llama", dtype=torch.float32))
        clt = replace(clt, config=clt.config.model_copy(update={"fingerprint": model.fingerprint}))
        clean = CleanRun.of(model, clt.to(dtype=dtype), tiny_tokens())
        result = clean.intervene([Edit(0, 3, 4, value=8)])
        kinds = {str(result.features[name].dtype) for name in ("before", "after", "change", "pre_activation_change")}
        assert kinds == {str(result.tokens["before"].dtype)} == {expected}


def test_an_empty_table_has_the_columns_of_a_full_one() -> None:
    clean = clean_run()
    full, empty = clean.intervene([Edit(0, 3, 4, value=8)]).features, clean.intervene([]).features
    assert not len(empty)
    pd.testing.assert_series_equal(empty.dtypes.drop("token"), full.dtypes.drop("token"))


def test_it_says_in_one_line_what_came_of_it() -> None:
    clean = clean_run()
    one = repr(clean.intervene([Edit(2, 3, -1, value=-30)], mode="constrained", until=2))
    before, after = (
        f"{clean.model.tokenizer.decode(int(p.argmax()))!r} {float(p.max()):.1%}"
        for p in (clean.probabilities, clean.intervene([Edit(2, 3, -1, value=-30)]).probabilities)
    )
    assert one.startswith(f"Intervention(1 edit, mode='constrained', until=2: {before} → {after}, KL ")
    assert "0 edits" in repr(clean.intervene([]))
    assert repr(clean).startswith("CleanRun('tiny-gemma3', 'w")


def test_logits_are_a_table_of_the_whole_vocabulary_the_most_changed_first() -> None:
    clean = clean_run()
    result = clean.intervene([Edit(0, 3, 4, value=8)])
    table = result.logit_changes
    assert sorted(table["token_id"]) == list(range(50))
    assert table["change"].abs().is_monotonic_decreasing
    difference = table["after"] - table["before"]
    assert table["change"].to_numpy() == pytest.approx((difference - difference.mean()).to_numpy())
    assert table["after"].to_numpy() == pytest.approx(result.logits.after[table["token_id"].tolist()].numpy())


def test_the_divergence_is_told_at_every_position_from_the_first_edit_on() -> None:
    clean = clean_run()
    result = clean.intervene([Edit(0, 3, 4, value=8)])
    table = result.divergence
    assert list(table["position"]) == [4, 5, 6, 7, 8]
    assert list(table["token"]) == list(clean.token_strings[4:])
    assert table["kl"].iloc[-1] == pytest.approx(result.kl)
    runs = [clean.model.log_probabilities(clean.model.logits(final)) for final in (clean.final, result.final_after)]
    expected = (runs[0].exp() * (runs[0] - runs[1])).sum(-1)
    assert table["kl"].to_numpy() == pytest.approx(expected[4:].numpy())
    assert float(expected[:4].abs().max()) < 1e-12
    assert clean.intervene([]).divergence.empty


def test_what_was_edited_is_a_table() -> None:
    clean = clean_run()
    table = clean.intervene([Edit(0, 3, 4, value=8), Edit(1, 2, -1, add=2)]).edited
    assert list(table["node_id"]) == ["f/0/3/4", "f/1/2/8"]
    assert list(table["after"]) == [8, clean.activation(1, 2, 8) + 2]
    assert list(table["before"]) == [clean.activation(0, 3, 4), clean.activation(1, 2, 8)]


@pytest.mark.parametrize(
    ("what", "column"), [("tokens", "after"), ("logits", "change"), ("features", "after"), ("divergence", "kl")]
)
def test_every_table_has_its_picture(what: str, column: str) -> None:
    result = clean_run().intervene([Edit(0, 3, 4, value=8)])
    tables = {"tokens": result.tokens, "logits": result.logit_changes, "features": result.features}
    table = tables.get(what, result.divergence)
    bars = result.plot(what, k=5).data[-1]
    shown = bars.y if what == "divergence" else bars.x
    assert list(shown) == list(table[column][:5])


def test_a_picture_that_there_is_not_is_refused() -> None:
    result = clean_run().intervene([])
    with pytest.raises(ConfigError, match="no picture 'circuit' of an intervention: choose from tokens, logits"):
        result.plot("circuit")
    with pytest.raises(ConfigError, match="k is 0: give at least 1"):
        result.plot(k=0)
