"""Features that fire together are found, named, and told from chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError, PromptError
from workbench.features.clusters import FeatureClusters, cluster_features
from workbench.features.clusters.grouping import best_overlaps, grouped
from workbench.models import LoadedModel, capture, tokenize
from workbench.plots import cluster_map

# Some prompts hold w5 and some w9, independently of each other; the rest is filler.
PROMPTS = [
    "w20 w5 w21 w22",
    "w23 w5 w24",
    "w9 w25 w26",
    "w27 w28 w9 w29",
    "w5 w30 w9",
    "w31 w32",
    "w33 w34 w35",
    "w36 w5 w37",
    "w9 w38",
    "w39 w40 w41",
]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    # Its MLP reads the same as its attention: in layer 0 the token alone.
    return tiny_model("pythia")


@pytest.fixture(scope="module")
def planted(model: LoadedModel) -> CLT:
    """A CLT whose only features fire on w5 (0 to 3 of layer 0) and on w9 (4 to 6), each as strongly as it likes."""
    clt = tiny_clt(model)
    words = tokenize(model, "w5 w9")
    x = capture(model, words[None], [clt.config.read_hook.format(layer=0)])[clt.config.read_hook.format(layer=0)][0]
    W_enc, threshold = clt.W_enc.clone(), torch.full_like(clt.threshold, 1e9)
    for feature in range(7):
        reads = x[1] if feature < 4 else x[2]
        W_enc[0, feature] = (1 + feature) * reads / reads.norm()
        threshold[0, feature] = 0.97 * (1 + feature) * reads.norm()
    return replace(clt, W_enc=W_enc, threshold=threshold, b_enc=torch.zeros_like(clt.b_enc))


def clusters_of(model: LoadedModel, clt: CLT, prompts: Any = PROMPTS, **options: Any) -> FeatureClusters:
    return cluster_features(model, clt, prompts, progress=False, **options)


def test_features_of_the_same_word_are_one_cluster_named_by_it(model: LoadedModel, planted: CLT) -> None:
    clusters = clusters_of(model, planted)
    table, members = clusters.table(), clusters.members()
    assert table["n_features"].tolist() == [4, 3]
    assert table["name"].tolist() == ["'w5'", "'w9'"]
    assert table["tokens"].tolist() == ["'w5' 100%", "'w9' 100%"]
    assert table["n_prompts"].tolist() == [4, 4]
    assert members["feature"].tolist() == list(range(7))
    assert members["cluster"].tolist() == [0] * 4 + [1] * 3
    assert (table["stability"] > 0.9).all()
    fires = clusters.prompt_table()
    assert fires[0].tolist() == ["w5" in prompt.split() for prompt in PROMPTS]
    assert fires[1].tolist() == ["w9" in prompt.split() for prompt in PROMPTS]


def test_features_that_fire_together_stand_together_in_the_picture(model: LoadedModel, planted: CLT) -> None:
    clusters = clusters_of(model, planted)
    places = clusters.members()[["x", "y"]].to_numpy()
    np.testing.assert_allclose(places[:4], np.tile(places[0], (4, 1)), atol=1e-6)
    assert np.linalg.norm(places[0] - places[5]) > 0.5
    figure = cluster_map(clusters)
    assert [trace.name for trace in figure.data] == ["&#x27;w5&#x27; (4)", "&#x27;w9&#x27; (3)"]
    assert sum(len(trace.x) for trace in figure.data) == 7


def test_activations_are_each_prompts_strongest_and_its_first_position_does_not_count() -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model, active=0.4)
    clt = replace(clt, threshold=clt.threshold * 1.001)
    prompts = [tiny_prompt(length=5 + seed, seed=seed) for seed in range(5)]
    clusters = clusters_of(model, clt, prompts, min_features=1)
    names = [clt.config.read_hook.format(layer=layer) for layer in range(3)]
    expected = np.zeros((3, 12, 5))
    for at, prompt in enumerate(prompts):
        kept = capture(model, tokenize(model, prompt)[None], names)
        for layer, name in enumerate(names):
            expected[layer, :, at] = clt.encode(layer, kept[name][0, 1:]).amax(dim=0)
    fires = (expected > 0).sum(axis=2)
    assert clusters.features == tuple((int(layer), int(feature)) for layer, feature in np.argwhere(fires >= 2))
    for (layer, feature), found in zip(clusters.features, clusters.activations, strict=True):
        np.testing.assert_allclose(found, expected[layer, feature], atol=1e-5)


def profiles(n_prompts: int, *, groups: int, members: int, noise: float = 0.3) -> np.ndarray:
    random = np.random.default_rng(0)
    sources = np.maximum(random.standard_normal((groups, n_prompts)), 0)
    together = np.repeat(sources, members, axis=0)
    return np.maximum(together + noise * random.standard_normal(together.shape), 0)


def test_groups_under_noise_are_found_and_permuted_profiles_have_none() -> None:
    activations = profiles(60, groups=4, members=8)
    labels = grouped(activations, 0.5, 3)
    assert [len(set(labels[8 * at : 8 * at + 8])) for at in range(4)] == [1] * 4
    assert sorted(set(labels)) == [0, 1, 2, 3]
    permuted = np.random.default_rng(1).permuted(activations, axis=1)
    assert (grouped(permuted, 0.5, 3) == -1).all()


def test_with_few_prompts_chance_makes_clusters_too_and_the_control_says_so(model: LoadedModel, planted: CLT) -> None:
    control = clusters_of(model, planted, PROMPTS[1:4], min_prompts=1, n_controls=5).control()
    assert control["data"].tolist()[0] == "found"
    assert control["n_clusters"].max() >= 1
    assert (control["n_features"][1:] > 0).any()


def test_a_cluster_is_as_stable_as_it_comes_back() -> None:
    """Jaccard by hand: of the first cluster two of three come back with one other, of the second all."""
    labels = np.array([0, 0, 0, 1, 1, 1, -1])
    one, other = [1.0, 0, 0, 1, 0], [0, 1.0, 0, 0, 1]
    drawn = np.array([one, one, [0, 0, 1.0, 0, 0], other, other, other, one])
    np.testing.assert_allclose(best_overlaps(labels, drawn, 0.9, 2), [2 / 4, 1])


def test_what_does_not_vary_in_a_draw_is_left_out_of_it() -> None:
    drawn = np.array([[1.0, 1, 1], [1.0, 0, 0], [1.0, 0, 0], [2.0, 2, 2], [3.0, 3, 3]])
    overlaps = best_overlaps(np.array([0, 0, 0, 1, 1]), drawn, 0.9, 2)
    assert overlaps[0] == 1
    assert np.isnan(overlaps[1])


def test_the_same_seed_gives_the_same_and_a_stopped_run_keeps_its_clusters(model: LoadedModel, planted: CLT) -> None:
    one, again = clusters_of(model, planted, seed=3), clusters_of(model, planted, seed=3)
    np.testing.assert_array_equal(one.stability, again.stability)
    stopped = clusters_of(model, planted, stop=lambda: True)
    np.testing.assert_array_equal(stopped.labels, one.labels)
    assert np.isnan(stopped.stability).all()
    assert len(stopped.control()) == 1


def test_of_too_many_features_those_are_kept_that_separate_prompts_most(model: LoadedModel, planted: CLT) -> None:
    clusters = clusters_of(model, planted, max_features=2, min_features=1)
    assert len(clusters.features) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompts": ["w5 w6"]}, "1 prompt cannot show what fires together: give at least two"),
        ({"prompts": ["w5 w6"] * 3}, "1 prompt cannot show"),
        ({"prompts": "w5 w6"}, "1 prompt cannot show"),
        ({"prompts": []}, "0 prompts cannot show"),
        ({"prompts": ["w20 w21", "w22"]}, "No feature fires on at least 2 of the 2 prompts"),
        ({"similarity": 1.5}, "similarity is 1.5"),
        ({"min_features": 0}, "min_features 0"),
        ({"n_resamples": -1}, "n_resamples is -1"),
    ],
)
def test_what_cannot_be_clustered_is_told(
    model: LoadedModel, planted: CLT, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        clusters_of(model, planted, **options)


def test_prompts_and_clts_that_cannot_be_used_are_told(model: LoadedModel, planted: CLT) -> None:
    with pytest.raises(PromptError, match="The prompt is empty"):
        clusters_of(model, planted, ["w5", ""])
    foreign = replace(planted, config=planted.config.model_copy(update={"fingerprint": "0" * 64}))
    with pytest.raises(CLTError, match="trained on another model"):
        clusters_of(model, foreign)
