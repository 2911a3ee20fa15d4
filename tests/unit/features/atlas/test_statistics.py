"""Every number of a tiny model's atlas against what dense activations of the same text give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from atlas_brute_force import PLAN, Dense, text_rows

from workbench.clt import CLT
from workbench.features.atlas import Atlas, Card
from workbench.features.atlas.build import _Text
from workbench.features.global_weights import global_weights
from workbench.features.logit_effects import total_decoder
from workbench.models import LoadedModel

FEATURES = [(0, 3), (1, 0), (2, 7), (2, 9)]


@pytest.fixture(scope="module")
def dense(model: LoadedModel, clt: CLT) -> Dense:
    return Dense.of(model, clt, text_rows(model, "train"))


def card_and_values(atlas: Atlas, dense: Dense, key: tuple[int, int]) -> tuple[Card, np.ndarray]:
    return atlas.card(*key), dense.of_feature(*key)


def test_the_table_has_one_row_a_feature_in_their_order(built: Atlas, clt: CLT) -> None:
    table = built.table()
    expected = [(layer, feature) for layer in range(clt.n_layers) for feature in range(clt.n_features)]
    assert list(zip(table["layer"], table["feature"], strict=True)) == expected


def test_density_counts_and_extremes(built: Atlas, dense: Dense, clt: CLT) -> None:
    flat = dense.activations.reshape(clt.n_layers, -1, clt.n_features)
    table = built.table()
    assert (table["n_active"].to_numpy() == (flat > 0).sum(axis=1).ravel()).all()
    assert table["density"].to_numpy() == pytest.approx((flat > 0).sum(axis=1).ravel() / dense.n_tokens)
    assert (table["max_activation"].to_numpy() == flat.max(axis=1).ravel()).all()
    means = flat.sum(axis=1, dtype=np.float64) / np.maximum((flat > 0).sum(axis=1), 1)
    assert table["mean_activation"].to_numpy() == pytest.approx(means.ravel(), rel=1e-5)


@pytest.mark.parametrize("key", FEATURES)
def test_histogram(built: Atlas, dense: Dense, key: tuple[int, int]) -> None:
    card, values = card_and_values(built, dense, key)
    counts, _ = np.histogram(values[values > 0], bins=card.histogram["edges"])
    assert counts.tolist() == card.histogram["counts"]
    assert sum(counts) == card.n_active


@pytest.mark.parametrize("key", FEATURES)
def test_quantiles_are_exact_to_an_eighth(built: Atlas, dense: Dense, key: tuple[int, int]) -> None:
    card, values = card_and_values(built, dense, key)
    for level, quantile in card.quantiles.items():
        exact = np.quantile(values[values > 0], float(level), method="inverted_cdf")
        assert quantile == pytest.approx(exact, rel=0.125)


@pytest.mark.parametrize("key", FEATURES)
def test_positions(built: Atlas, dense: Dense, key: tuple[int, int]) -> None:
    card, values = card_and_values(built, dense, key)
    position = np.nonzero(values)[1]
    counts, _ = np.histogram(position, bins=[*card.positions["edges"][:-1], PLAN.row_length - 0.5])
    assert counts.tolist() == card.positions["counts"]
    assert sum(card.positions["n_tokens"]) == dense.n_tokens == card.n_tokens


@pytest.mark.parametrize("key", FEATURES)
def test_top_tokens_are_those_with_the_largest_summed_activation(
    built: Atlas, dense: Dense, key: tuple[int, int]
) -> None:
    card, values = card_and_values(built, dense, key)
    totals = np.bincount(dense.tokens.ravel(), weights=values.ravel(), minlength=50)
    counts = np.bincount(dense.tokens[values > 0], minlength=50)
    occurs = np.bincount(dense.tokens[:, 1:].ravel(), minlength=50)
    best = np.argsort(-totals, kind="stable")[: PLAN.k]
    assert [row["token_id"] for row in card.top_tokens] == best.tolist()
    assert [row["count"] for row in card.top_tokens] == counts[best].tolist()
    assert [row["mean_activation"] for row in card.top_tokens] == pytest.approx(totals[best] / counts[best].tolist())
    assert [row["share"] for row in card.top_tokens] == pytest.approx(counts[best] / occurs[best].tolist())
    assert [row["token"] for row in card.top_tokens] == [f"w{token}" for token in best]


@pytest.mark.parametrize("key", FEATURES)
def test_the_top_examples_are_the_strongest_tokens_with_what_stands_around_them(
    built: Atlas, dense: Dense, key: tuple[int, int]
) -> None:
    card, values = card_and_values(built, dense, key)
    row, position = np.nonzero(values)
    order = np.lexsort((position, row, -values[row, position]))[: PLAN.n_top]
    top = [example for example in card.examples if example["group"] == "top"]
    assert len(top) == PLAN.n_top
    for example, where in zip(top, order, strict=True):
        start = max(0, position[where] - PLAN.before)
        window = slice(start, position[where] + PLAN.after + 1)
        assert example["token_ids"] == dense.tokens[row[where], window].tolist()
        assert example["activations"] == pytest.approx(values[row[where], window].tolist())
        assert example["peak"] == position[where] - start
        assert example["activation"] == values[row[where], position[where]]


@pytest.mark.parametrize("key", FEATURES)
def test_the_other_examples_are_spread_over_the_quarters_of_the_activations(
    built: Atlas, dense: Dense, key: tuple[int, int]
) -> None:
    card, values = card_and_values(built, dense, key)
    active = np.sort(values[values > 0])
    groups = {example["group"] for example in card.examples}
    assert groups == {"top", "0.75–1", "0.5–0.75", "0.25–0.5", "0–0.25"}
    for example in card.examples:
        assert example["activation"] in active
        if example["group"] == "top":
            continue
        low, high = map(float, example["group"].split("–"))
        # The group's limits are known to a bin of the histogram.
        share = np.array([np.searchsorted(active, factor * example["activation"]) for factor in (0.88, 1.13)])
        assert share[0] / len(active) <= high
        assert share[1] / len(active) >= low


def test_logits_are_those_of_the_summed_decoder_behind_the_final_norm(
    built: Atlas, model: LoadedModel, clt: CLT
) -> None:
    for layer, feature in FEATURES:
        card = built.card(layer, feature)
        decoder = total_decoder(clt, torch.tensor([layer]), torch.tensor([feature]))[0]
        weight = model.bridge.ln_final.original_component.weight.detach()
        effects = (decoder * weight) @ model.W_U
        effects = effects - effects.mean()
        order = effects.argsort(descending=True)
        assert [row["token_id"] for row in card.top_logits] == order[: PLAN.k].tolist()
        assert [row["token_id"] for row in card.bottom_logits] == order.flip(0)[: PLAN.k].tolist()
        values = [row["value"] for row in card.top_logits]
        assert values == pytest.approx(effects[order[: PLAN.k]].tolist(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_connected_features_are_those_of_the_global_weights(
    built: Atlas, model: LoadedModel, clt: CLT, direction: str
) -> None:
    rows = _Text(text_rows(model, "train"), None).sample(PLAN)
    keys = [(1, 0), (1, 3)]
    found = global_weights(model, clt, keys, [torch.from_numpy(rows)], direction=direction, progress=False)  # type: ignore[arg-type]
    partner = "source" if direction == "in" else "target"
    own = "target" if direction == "in" else "source"
    table = found.table(k=PLAN.k)
    for layer, feature in keys:
        card = built.card(layer, feature)
        rows_of = table[(table[f"{own}_layer"] == layer) & (table[f"{own}_feature"] == feature)]
        listed = card.upstream if direction == "in" else card.downstream
        assert [(one["layer"], one["feature"]) for one in listed] == list(
            zip(rows_of[f"{partner}_layer"], rows_of[f"{partner}_feature"], strict=True)
        )
        assert [one["twera"] for one in listed] == pytest.approx(rows_of["twera"].tolist(), rel=1e-3)
        labels = built.labels()
        assert [one["label"] for one in listed] == [labels[one["layer"], one["feature"]] for one in listed]


def test_a_feature_that_never_fired_has_a_card_that_says_so(built: Atlas) -> None:
    card = built.card(1, 4)
    assert (card.kind, card.label, card.n_active, card.density) == ("silent", "silent", 0, 0)
    assert card.label_reason == f"it never fired on {card.n_tokens:,} tokens"
    assert card.examples == card.top_tokens == card.upstream == card.downstream == []
    assert card.quantiles == {}
    assert len(card.top_logits) == PLAN.k


def test_a_card_is_json(built: Atlas) -> None:
    import json

    content = json.loads(json.dumps(built.card(0, 3).to_json(), allow_nan=False))
    wanted = "layer feature label label_score density examples top_logits bottom_logits histogram"
    assert set(wanted.split()) <= set(content)
