"""Operand grids, clusters and structure of the real models with the CLTs that are shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from workbench.clt import CLT, default_clt, load_clt
from workbench.corpus import bundled, token_batches
from workbench.features.clusters import cluster_features
from workbench.features.operands import Template, operand_grids
from workbench.features.structure import structure
from workbench.models import LoadedModel, capture, tokenize

pytestmark = pytest.mark.integration

# One digit and two, so that SmolLM2's prompts have three lengths.
A, B = (6, 9, 36, 99), (4, 9, 59, 60)


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def case(request: pytest.FixtureRequest) -> tuple[LoadedModel, CLT]:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model, load_clt(default_clt(model.name), model=model)


@pytest.mark.parametrize("role", ["a_last", "b_first", "+", "last"])
def test_each_cell_is_the_plain_runs_activation_at_the_role(
    case: tuple[LoadedModel, CLT], tmp_path: Path, role: str
) -> None:
    model, clt = case
    grids = operand_grids(
        model, clt, template="{a} + {b} = ", a=A, b=B, role=role, min_active=0, cache=tmp_path, progress=False
    )
    assert len(grids.features) > 100
    names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
    place = {feature: at for at, feature in enumerate(grids.features)}
    texts = {"a_last": lambda a, b: f"{a}"[-1], "b_first": lambda a, b: f"{b}"[0], "+": lambda a, b: "+"}
    for i, j in [(0, 0), (0, 2), (2, 1), (3, 3)]:
        a, b = A[i], B[j]
        tokens = tokenize(model, f"{a} + {b} = ")
        position = Template.parse("{a} + {b} = ").prompts(model, [a], [b], role).positions[0]
        if role in texts:
            assert model.tokenizer.decode([int(tokens[position])]).strip() == texts[role](a, b)
        else:
            assert position == len(tokens) - 1
        kept = capture(model, tokens[None], names)
        expected = np.zeros(len(place), dtype=np.float32)
        for layer, name in enumerate(names):
            activations = clt.encode(layer, kept[name][0, position].to(clt.W_enc.dtype))
            for feature in activations.nonzero()[:, 0].tolist():
                expected[place[layer, feature]] = activations[feature]
        np.testing.assert_allclose(grids.values[:, i, j], expected, atol=2e-3 * expected.max())


def test_arithmetic_features_belong_to_families_and_shuffled_ones_do_not(smollm2: LoadedModel, tmp_path: Path) -> None:
    clt = load_clt(default_clt(smollm2.name), model=smollm2)
    operands = range(30, 50)
    grids = operand_grids(
        smollm2, clt, template="{a} + {b} = ", a=operands, b=operands, cache=tmp_path, progress=False, min_active=0.02
    )
    families = grids.families()["family"].value_counts()
    assert families["other"] < len(grids.features), "some features do something with numbers"
    control = grids.shuffled().families()["family"].value_counts()
    assert control["other"] == len(grids.features)


def test_prompts_about_france_and_sums_are_told_apart(case: tuple[LoadedModel, CLT]) -> None:
    model, clt = case
    places = [f"The capital of {country} is" for country in ("France", "Spain", "Japan", "Peru", "Kenya", "Norway")]
    sums = [f"{a} + {b} = " for a, b in ((3, 4), (12, 7), (5, 31), (8, 8), (40, 2), (9, 16))]
    clusters = cluster_features(model, clt, places + sums, n_resamples=4, n_controls=1, progress=False)
    shares = clusters.prompt_table().to_numpy()
    apart = np.abs(shares[:6].mean(axis=0) - shares[6:].mean(axis=0))
    assert apart[:2].min() > 0.5, "the largest clusters follow the two kinds of prompts"
    assert clusters.stability[0] > 0.6
    # Of twelve prompts chance makes clusters too, but many small ones.
    found, permuted = clusters.control()["n_clusters"]
    assert permuted > 2 * found


def test_punctuation_gathers_other_features_than_words_of_equal_entropy(case: tuple[LoadedModel, CLT]) -> None:
    model, clt = case
    batches = token_batches(
        bundled(), model.tokenizer, batch_size=4, start_token_id=model.start_token_id, n_rows=8, split="held_out"
    )
    counted = structure(model, clt, batches, progress=False)
    assert counted.n_tokens == 8 * 127
    assert counted.smear()["smear"].gt(0).all()
    best = counted.gathering("punctuation", k=1).iloc[0]
    assert best["z"] > 5
    control = counted.gathering("control", k=1).iloc[0]
    assert best["difference"] > control["difference"]
