"""The shipped CLTs have no skip: with a random one the real models' edges are still what interventions measure."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from workbench.attribution import Graph, attribute
from workbench.clt import CLT, default_clt, load_clt
from workbench.interventions import CleanRun, Edit
from workbench.models import LoadedModel

pytestmark = pytest.mark.integration

PROMPT = "The capital of France is"


def with_skip(clt: CLT) -> CLT:
    """Return the CLT with a random skip that halves a vector's length on average."""
    config = clt.config.model_copy(update={"skip": True})
    generator = torch.Generator().manual_seed(0)
    n_layers, d_model = config.n_layers, config.d_model
    W_skip = torch.randn(n_layers, d_model, d_model, generator=generator) * 0.5 * d_model**-0.5
    return replace(clt, config=config, W_skip=W_skip)


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def case(request: pytest.FixtureRequest) -> tuple[CleanRun, Graph]:
    model: LoadedModel = request.getfixturevalue(request.param)
    clt = with_skip(load_clt(default_clt(model.name), model=model))
    return CleanRun.of(model, clt, PROMPT), attribute(model, clt, PROMPT, progress=False)


def test_every_row_sums_to_what_the_model_computed(case: tuple[CleanRun, Graph]) -> None:
    assert case[1].scores().row_sum_error <= 1e-4


def test_the_skip_carries_part_of_every_edge_over_two_layers(case: tuple[CleanRun, Graph]) -> None:
    clean, graph = case
    without = attribute(
        clean.model,
        replace(clean.clt, config=clean.clt.config.model_copy(update={"skip": False}), W_skip=None),
        clean.tokens,
        progress=False,
    )
    assert graph.n_features == without.n_features
    change = (graph.weights - without.weights)[:, : graph.n_features].abs().max()
    assert float(change) > 1e-2 * float(without.weights[:, : graph.n_features].abs().max())


@pytest.mark.parametrize("factor", [0, 3])
def test_direct_interventions_measure_the_edges_of_the_graph(case: tuple[CleanRun, Graph], factor: float) -> None:
    """Pre-activations to 1e-3 of the largest change, logits to 1e-5 of their scale, both in float32."""
    clean, graph = case
    ids = graph.nodes["node_id"].to_numpy()
    targets, n = ids[graph.target_index], graph.n_features
    logits = [int(target.split("/")[1]) for target in targets[n:]]
    influence = torch.from_numpy(graph.nodes["influence"].to_numpy()[:n].copy())
    for part in torch.arange(n).tensor_split(4):
        column = int(part[influence[part].argmax()])
        predicted = (factor - 1) * graph.weights[:, column]

        result = clean.intervene([Edit.node(ids[column], factor=factor)], mode="direct")

        measured = result.features.set_index("node_id")["pre_activation_change"]
        on_features = torch.from_numpy(measured.reindex(targets[:n], fill_value=0).to_numpy().copy())
        assert float((on_features - predicted[:n]).abs().max()) <= 1e-3 * float(predicted[:n].abs().max())
        change = result.logits.after - result.logits.before
        deviation = (change - change.mean())[logits] - predicted[n:]
        assert float(deviation.abs().max()) <= 1e-5 * float(result.logits.before.abs().max())
