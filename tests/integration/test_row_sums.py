"""On ten prompts of each model every row of the graph sums to what the model computed."""

from __future__ import annotations

import pytest

from workbench.attribution import DifferenceTarget, attribute
from workbench.attribution.heads import heads
from workbench.clt import CLT, default_clt, load_clt
from workbench.evaluation import read_prompts
from workbench.models import LoadedModel

pytestmark = pytest.mark.integration

# The ten shortest ones: two hundred features of each are enough to notice a wrong sum.
PROMPTS = sorted(read_prompts(), key=len)[:10]
CAP = 200

Case = tuple[LoadedModel, CLT]


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def case(request: pytest.FixtureRequest) -> Case:
    model: LoadedModel = request.getfixturevalue(request.param)
    return model, load_clt(default_clt(model.name), model=model)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_row_sums_to_what_the_model_computed(case: Case, prompt: str) -> None:
    graph = attribute(*case, prompt, cap=CAP, progress=False)
    assert graph.n_features == CAP
    assert graph.scores().row_sum_error <= 1e-4
    assert 0 < graph.info["left_out_influence"] < 1


def test_a_difference_of_tokens_is_explained_and_its_strongest_edge_split_by_head(case: Case) -> None:
    model, clt = case
    prompt = "The capital of France is"
    graph = attribute(model, clt, prompt, targets=[DifferenceTarget(" Paris", " London")], cap=CAP, progress=False)
    assert graph.scores().row_sum_error <= 1e-4
    target = str(graph.nodes["node_id"].iloc[-1])
    assert graph.nodes["token"].iloc[-1] == "' Paris' − ' London'"
    france = heads(model, clt, graph, "t/4", target)
    edge = graph.edges[(graph.edges["source"] == "t/4") & (graph.edges["target"] == target)]
    assert france["weight"].sum() == pytest.approx(edge["weight"].item(), abs=1e-5 * france["weight"].abs().sum())
    assert (france["layer"] >= 0).all()
