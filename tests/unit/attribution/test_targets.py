"""What a graph can explain: tokens, differences, directions and features, at any position."""

from __future__ import annotations

import pytest
import torch
from frozen_autograd import Output, frozen_gradients
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import (
    DifferenceTarget,
    DirectionTarget,
    FeatureTarget,
    Graph,
    LogitTarget,
    Target,
    TopTokens,
    attribute,
)
from workbench.clt import CLT
from workbench.errors import PromptError
from workbench.models import LoadedModel

LENGTH = 9
TOKENS = tiny_tokens(length=LENGTH)
VECTOR = torch.linspace(-1, 1, 16, dtype=torch.float64)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=16)


def rows(graph: Graph) -> dict[str, dict[str, float]]:
    """Return {target: {source: weight}}, zeros left out."""
    ids = graph.nodes["node_id"].to_numpy()
    sources, targets = ids[graph.source_index], ids[graph.target_index]
    return {
        target: {sources[at]: float(row[at]) for at in row.nonzero(as_tuple=True)[0].tolist()}
        for target, row in zip(targets, graph.weights, strict=True)
    }


def output_ids(graph: Graph) -> list[str]:
    return graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"].tolist()


def inactive_feature(model: LoadedModel, clt: CLT, *, layer: int, position: int) -> int:
    nodes = attribute(model, clt, TOKENS, progress=False).nodes
    here = nodes[(nodes["kind"] == "feature") & (nodes["layer"] == layer) & (nodes["position"] == position)]
    return min(set(range(clt.n_features)) - set(here["feature"]))


def every_target(model: LoadedModel, clt: CLT) -> tuple[list[Target], dict[str, Output]]:
    """Return one target of each kind and what each is, as a function of the model's activations."""
    W_U, b_U = model.bridge.W_U.detach(), model.bridge.b_U.detach()
    inactive = inactive_feature(model, clt, layer=1, position=6)

    def logits(live: dict[str, torch.Tensor], position: int) -> torch.Tensor:
        return live["ln_final.hook_out"][0, position] @ W_U + b_U

    def pre_activation(live: dict[str, torch.Tensor]) -> torch.Tensor:
        return clt.W_enc[1, inactive] @ live["read 1"][0, 6] + clt.b_enc[1, inactive]

    targets: list[Target] = [
        LogitTarget("w7", position=3),
        DifferenceTarget("w7", "w9"),
        DifferenceTarget(["w7", 8], [9, "w10"], position=5),
        DirectionTarget(VECTOR, "ramp"),
        DirectionTarget(VECTOR, "early", position=4, layer=1),
        DirectionTarget(VECTOR.tolist(), "late", layer=2),
        FeatureTarget(1, inactive, position=6),
    ]
    expected: dict[str, Output] = {
        "l/7/3": lambda live: logits(live, 3)[7] - logits(live, 3).mean(),
        "d/7/9/8": lambda live: logits(live, 8)[7] - logits(live, 8)[9],
        "d/7+8/9+10/5": lambda live: logits(live, 5)[[7, 8]].mean() - logits(live, 5)[[9, 10]].mean(),
        "r/ramp/final/8": lambda live: VECTOR @ live["ln_final.hook_out"][0, 8],
        "r/early/1/4": lambda live: VECTOR @ live["blocks.1.hook_out"][0, 4],
        "r/late/2/8": lambda live: VECTOR @ live["blocks.2.hook_out"][0, 8],
        f"p/1/{inactive}/6": pre_activation,
    }
    return targets, expected


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "pythia"])
@pytest.mark.parametrize("skip", [False, True])
def test_every_kind_of_target_equals_autograd(architecture: Architecture, skip: bool) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2, skip=skip)
    targets, expected = every_target(model, clt)

    graph = attribute(model, clt, TOKENS, targets=targets, progress=False)

    assert output_ids(graph) == list(expected)
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    triples = list(zip(features["layer"], features["feature"], features["position"], strict=True))
    gradients, _ = frozen_gradients(model, clt, TOKENS, triples, [], targets=list(expected), outputs=expected)
    mine = rows(graph)
    for target, row in gradients.items():
        largest = max(abs(weight) for weight in row.values())
        for source, weight in row.items():
            assert mine[target].get(source, 0.0) == pytest.approx(weight, abs=1e-8 * largest), (target, source)
    assert graph.scores().row_sum_error < 1e-10


def test_several_targets_at_once_equal_each_alone(model: LoadedModel, clt: CLT) -> None:
    targets, _ = every_target(model, clt)
    together = rows(attribute(model, clt, TOKENS, targets=targets, progress=False))
    for target in targets:
        alone = attribute(model, clt, TOKENS, targets=[target], progress=False)
        (name,) = output_ids(alone)
        for row, weights in rows(alone).items():
            # Features that cannot reach this one target are left out; what they did is nothing.
            assert weights == pytest.approx(together[row], rel=1e-9, abs=1e-12), (name, row)


def test_a_difference_is_the_difference_of_its_logits(model: LoadedModel, clt: CLT) -> None:
    found = rows(attribute(model, clt, TOKENS, targets=["w7", "w9", DifferenceTarget("w7", 9)], progress=False))
    plus, minus, difference = (found[name] for name in ("l/7/8", "l/9/8", "d/7/9/8"))
    for source in plus:
        assert difference[source] == pytest.approx(plus[source] - minus[source], abs=1e-12)


def test_a_feature_target_of_an_active_feature_has_the_features_own_inputs(model: LoadedModel, clt: CLT) -> None:
    whole = attribute(model, clt, TOKENS, progress=False)
    feature = whole.nodes[(whole.nodes["kind"] == "feature") & (whole.nodes["layer"] == 2)].iloc[0]
    layer, index, position = (int(feature[name]) for name in ("layer", "feature", "position"))
    target = FeatureTarget(layer, index, position)
    graph = attribute(model, clt, TOKENS, targets=[target], progress=False)
    expected = rows(whole)[feature["node_id"]]
    assert rows(graph)[f"p/{layer}/{index}/{position}"] == pytest.approx(expected, rel=1e-9)
    # Only what can reach it is in the graph, and it is what the scores are about.
    nodes = graph.nodes[graph.nodes["kind"] == "feature"]
    assert (nodes["layer"] < layer).all()
    assert (nodes["position"] <= position).all()
    assert 0 < graph.scores().replacement < 1
    assert float(graph.nodes["influence"].max()) > 0


def test_outputs_that_are_no_tokens_have_no_probability_and_count_fully(model: LoadedModel, clt: CLT) -> None:
    graph = attribute(model, clt, TOKENS, targets=["w7", DifferenceTarget("w7", "w9")], progress=False)
    outputs = graph.nodes[graph.nodes["kind"] == "logit"]
    assert outputs["token"].tolist() == ["w7", "'w7' − 'w9'"]
    assert outputs["probability"].isna().tolist() == [False, True]
    assert graph.probability.tolist() == pytest.approx([float(outputs["probability"].iloc[0]), 1.0])
    pruned = graph.prune(0.5, 0.9)
    assert output_ids(pruned) == ["l/7/8", "d/7/9/8"]


def test_the_default_is_the_most_probable_tokens_of_the_last_position(model: LoadedModel, clt: CLT) -> None:
    default = output_ids(attribute(model, clt, TOKENS, progress=False))
    assert output_ids(attribute(model, clt, TOKENS, targets=[TopTokens()], progress=False)) == default
    earlier = output_ids(attribute(model, clt, TOKENS, targets=[TopTokens(position=2, at_most=3)], progress=False))
    assert len(earlier) <= 3
    assert all(node.endswith("/2") for node in earlier)


def test_the_graph_of_an_earlier_position_is_that_of_the_shorter_prompt(model: LoadedModel, clt: CLT) -> None:
    """The model is causal, so what comes after a target's position changes nothing."""
    long = attribute(model, clt, TOKENS, targets=[TopTokens(position=5)], progress=False)
    short = attribute(model, clt, TOKENS[:6], progress=False)
    expected, found = rows(short), rows(long)
    assert found.keys() == expected.keys()
    for target, row in expected.items():
        assert found[target] == pytest.approx(row, rel=1e-5, abs=1e-6)
    assert long.scores().replacement == pytest.approx(short.scores().replacement, rel=1e-5)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (LogitTarget("w3 w4"), r"2 tokens .*\['w3', 'w4'\]"),
        (LogitTarget(7, position=9), "position 9 is outside the prompt, which has 9 tokens"),
        (LogitTarget(7, position=-10), "position -10 is outside"),
        (DifferenceTarget("w7", "w7"), "'w7' stands on both sides"),
        (DifferenceTarget([], "w7"), "side plus of a difference is \\[\\]"),
        (DifferenceTarget("w7", ["w8", 8]), "side minus"),
        (DifferenceTarget("w7", "w8 w9"), "2 tokens"),
        (DirectionTarget([1.0, 2.0], "short"), r"has shape \(2,\): give 16 finite numbers"),
        (DirectionTarget(VECTOR * float("nan"), "broken"), "finite"),
        (DirectionTarget(VECTOR, "a/b"), "'a/b' of a direction cannot stand in a node id"),
        (DirectionTarget(VECTOR, "high", layer=3), "layer 3 of DirectionTarget\\('high'\\) is out of range"),
        (FeatureTarget(3, 0), "layer 3 of FeatureTarget.* there are 0 to 2"),
        (FeatureTarget(0, 16), "feature 16 .* there are 0 to 15"),
        (FeatureTarget(0, 0, position=0), "start token"),
        (FeatureTarget(0, 0, position=-9), "start token"),
        (2.5, "is a float"),
    ],
)  # fmt: skip
def test_a_target_that_cannot_be_used_is_explained(model: LoadedModel, clt: CLT, target: Target, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        attribute(model, clt, TOKENS, targets=[target], progress=False)


def test_the_same_output_by_two_names_is_refused(model: LoadedModel, clt: CLT) -> None:
    with pytest.raises(PromptError, match="twice"):
        attribute(model, clt, TOKENS, targets=["w7", LogitTarget(7, position=8)], progress=False)


def test_logits_are_explained_before_a_soft_cap_and_weighed_by_probabilities_after_it() -> None:
    plain = tiny_model("gemma2")
    capped = tiny_model("gemma2", final_logit_softcapping=1.5)
    clt = tiny_clt(plain)
    targets: list[Target] = ["w7", "w9"]
    without, graph = (attribute(model, clt, TOKENS, targets=targets, progress=False) for model in (plain, capped))
    torch.testing.assert_close(graph.weights, without.weights)
    logits = capped.bridge(TOKENS[None])[0, -1]
    assert float(logits.abs().max()) <= 1.5
    assert graph.probability.tolist() == pytest.approx(logits.softmax(dim=-1)[[7, 9]].tolist(), rel=1e-5)
    assert graph.probability.tolist() != pytest.approx(without.probability.tolist(), rel=1e-2)
