"""Interventions on the real models with the CLTs that are shipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from workbench.attribution import Graph, attribute
from workbench.benchmarks import intervention as benchmark
from workbench.clt import CLT, default_clt, load_clt
from workbench.errors import ConfigError
from workbench.interventions import CleanRun, Edit
from workbench.models import LoadedModel

pytestmark = pytest.mark.integration

PROMPTS = {
    "smollm2": "The capital of France is",
    "gemma3": 'The opposite of "early" is "',
}


class Case:
    """A real model, its shipped CLT, the graph of one prompt and its clean run."""

    def __init__(self, name: str, model: LoadedModel) -> None:
        self.model = model
        self.clt: CLT = load_clt(default_clt(model.name), model=model)
        self.clean = CleanRun.of(model, self.clt, PROMPTS[name])
        self.graph: Graph = attribute(model, self.clt, PROMPTS[name], progress=False)

    def sources(self, n: int) -> list[int]:
        """Return the columns of n features from low to high layers, the most influential of their neighbourhood."""
        influence = torch.from_numpy(self.graph.nodes["influence"].to_numpy()[: self.graph.n_features].copy())
        return [int(part[influence[part].argmax()]) for part in torch.arange(len(influence)).tensor_split(n)]


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param, request.getfixturevalue(request.param))


@pytest.mark.parametrize("factor", [-1, 0, 3])
def test_direct_interventions_measure_the_edges_of_the_graph(case: Case, factor: float) -> None:
    """Pre-activations to 1e-3 of the largest change, logits to 1e-5 of their scale, both in float32."""
    graph, nodes = case.graph, case.graph.nodes
    ids = nodes["node_id"].to_numpy()
    targets = ids[graph.target_index]
    logits = [int(target.split("/")[1]) for target in targets[graph.n_features :]]
    for column in case.sources(6):
        predicted = (factor - 1) * graph.weights[:, column]

        result = case.clean.intervene([Edit.node(ids[column], factor=factor)], mode="direct")

        measured = result.features.set_index("node_id")["pre_activation_change"]
        measured = torch.from_numpy(measured.reindex(targets[: graph.n_features], fill_value=0).to_numpy().copy())
        on_features = predicted[: graph.n_features]
        assert float((measured - on_features).abs().max()) <= 1e-3 * float(on_features.abs().max())
        change = result.logits.after - result.logits.before
        deviation = (change - change.mean())[logits] - predicted[graph.n_features :]
        assert float(deviation.abs().max()) <= 1e-5 * float(result.logits.before.abs().max())


def test_edits_that_change_nothing_give_the_models_own_probabilities(case: Case) -> None:
    own = case.model.bridge.original_model(input_ids=case.clean.tokens[None], logits_to_keep=1).logits[0, -1]
    node = case.graph.nodes["node_id"].iloc[0]

    result = case.clean.intervene([Edit.node(node, factor=1)], mode="direct")

    assert torch.equal(result.logits.after, result.logits.before)
    torch.testing.assert_close(result.probabilities, own.softmax(-1), atol=1e-6, rtol=1e-5)
    assert result.kl == 0


def test_starting_at_the_edited_layer_gives_what_a_whole_pass_gives(case: Case) -> None:
    clean = case.clean
    assert clean.calls
    whole = CleanRun(case.model, case.clt, clean.tokens, clean.reads, clean.writes, clean.final, calls=())
    node = case.graph.nodes["node_id"].iloc[case.sources(6)[3]]
    layer = int(node.split("/")[1])
    for mode in ({"mode": "direct"}, {"mode": "propagated"}, {"mode": "constrained", "until": layer + 1}):
        fast, slow = (run.intervene([Edit.node(node, factor=-2)], **mode).logits.after for run in (clean, whole))
        # Products of fewer rows round otherwise; only the mode "direct" runs every position.
        largest = float(slow.abs().max())
        torch.testing.assert_close(fast, slow, rtol=0, atol=0 if mode["mode"] == "direct" else 1e-5 * largest)


def test_switching_off_the_most_influential_features_moves_the_prediction(case: Case) -> None:
    """The control: as many features of the least influence move it less."""
    features = case.graph.nodes[: case.graph.n_features].sort_values("influence", ascending=False)["node_id"]

    divergence = [
        case.clean.intervene([Edit.node(node, factor=0) for node in nodes]).kl
        for nodes in (features[:30], features[-30:])
    ]

    assert divergence[0] > 10 * divergence[1]


def test_the_benchmark_tells_how_long_a_movement_takes_beside_a_forward_pass() -> None:
    result = benchmark.run(layers=[27], tokens=8, movements=2, screen=False, progress=False)

    assert [(row["layer"], row["where"], row["mode"]) for row in result["cases"]] == [
        (27, "early", "propagated"),
        (27, "last", "propagated"),
    ]
    assert (result["tokens"], result["screen_p95_ms"]) == (8, None)
    for row in result["cases"]:
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["ratio_to_forward"] == pytest.approx(row["p50_ms"] / row["forward_ms"], rel=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": [30]}, "no layer 30"),
        ({"tokens": 3}, "cannot have 3 tokens"),
        ({"modes": ["gentle"]}, "no mode 'gentle'"),
        ({"movements": 0}, "at least 1"),
    ],
)
def test_the_benchmark_refuses_what_cannot_be_measured(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        benchmark.run(screen=False, progress=False, **options)
