"""Attribution on the real models with the CLTs that are shipped."""

from __future__ import annotations

import pytest
import torch
from frozen_autograd import frozen_gradients
from helpers import in_float64

from workbench.attribution import Graph, attribute
from workbench.clt import CLT, default_clt, load_clt
from workbench.models import LoadedModel, load_model, tokenize

pytestmark = pytest.mark.integration

PROMPTS = {
    "smollm2": "When Mary and John went to the store, John gave a drink to",
    "gemma3": 'The opposite of "early" is "',
}


class Case:
    """A real model, its shipped CLT and the whole graph of one prompt."""

    def __init__(self, name: str, model: LoadedModel) -> None:
        self.model = model
        self.clt: CLT = load_clt(default_clt(model.name), model=model)
        self.tokens = tokenize(model, PROMPTS[name])
        self.graph: Graph = attribute(model, self.clt, self.tokens, progress=False)


@pytest.fixture(scope="module", params=["smollm2", "gemma3"])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param, request.getfixturevalue(request.param))


def test_edges_equal_autograd_on_the_frozen_model(case: Case) -> None:
    """A few targets from low, middle and high layers and the first logit, against TransformerLens under autograd.

    The reference computes in float64: in float32 autograd's own rounding (9e-5 on Gemma) exceeds the sweep's (2e-6).
    """
    nodes = case.graph.nodes
    features = nodes[nodes["kind"] == "feature"]
    triples = list(zip(features["layer"], features["feature"], features["position"], strict=True))
    picked = [features["node_id"].iloc[at] for at in torch.linspace(0, len(features) - 1, 6).int().tolist()]
    logit = nodes.loc[nodes["kind"] == "logit", "node_id"].iloc[0]
    reference = in_float64(load_model(case.model.name, dtype=torch.float64))
    clt = case.clt.to(dtype=torch.float64)
    expected, _ = frozen_gradients(
        reference, clt, case.tokens, triples, [int(logit.split("/")[1])], targets=[*picked, logit]
    )
    ids = nodes["node_id"].to_numpy()
    row = {name: at for at, name in enumerate(ids[case.graph.target_index])}
    column = {name: at for at, name in enumerate(ids[case.graph.source_index])}
    largest = float(case.graph.weights[:, : case.graph.n_features].abs().max())
    for target, weights in expected.items():
        names = [name for name in weights if name in column and "/mlp/" not in name]
        mine = case.graph.weights[row[target], [column[name] for name in names]]
        theirs = torch.tensor([weights[name] for name in names], dtype=torch.float64)
        assert float((mine.double() - theirs).abs().max()) <= 1e-5 * max(largest, float(theirs.abs().max())), target


def test_every_row_sums_to_what_the_model_computed(case: Case) -> None:
    assert case.graph.scores().row_sum_error <= 1e-4


def test_the_first_target_is_what_the_model_says(case: Case) -> None:
    logits = case.graph.nodes[case.graph.nodes["kind"] == "logit"]
    expected = {"smollm2-135m-instruct": " Mary", "gemma-3-270m": "late"}[case.model.name]
    assert logits["token"].iloc[0] == expected


def test_features_explain_part_of_the_answer(case: Case) -> None:
    scores = case.graph.scores()
    assert 0 < scores.replacement < 1
    assert 0.5 < scores.completeness < 1
    pruned = case.graph.prune()
    assert 0 < pruned.n_features < case.graph.n_features


def test_shuffled_decoders_explain_less(case: Case) -> None:
    """The control: the same features with each other's decoders leave more to the errors."""
    from workbench.evaluation.baselines import shuffled

    control = attribute(case.model, shuffled(case.clt, seed=0), case.tokens, progress=False)
    assert control.scores().replacement < case.graph.scores().replacement
    assert control.scores().error_share > case.graph.scores().error_share
