"""A graph may hold fewer features than are active: those of the largest influence enter, and nothing is lost."""

from __future__ import annotations

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.attribution.cap import estimate_influence, within_cap
from workbench.attribution.local_model import LocalModel, freeze
from workbench.attribution.targets import outputs_of
from workbench.clt import CLT
from workbench.models import LoadedModel

TOKENS = tiny_tokens(length=12)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, n_features=32, active=0.4)


@pytest.fixture(scope="module")
def local(model: LoadedModel, clt: CLT) -> LocalModel:
    return freeze(model, clt, TOKENS)


@pytest.fixture(scope="module")
def whole(model: LoadedModel, clt: CLT) -> Graph:
    return attribute(model, clt, TOKENS, cap=None, progress=False)


def influence(graph: Graph) -> torch.Tensor:
    return torch.from_numpy(graph.nodes["influence"].to_numpy()[: graph.n_features].copy()).double()


def test_with_every_row_the_estimate_is_the_influence(local: LocalModel, whole: Graph) -> None:
    estimate = estimate_influence(local, local.features, outputs_of(local), n_rows=len(local.features))
    torch.testing.assert_close(estimate.influence, influence(whole), rtol=1e-4, atol=1e-7)


def test_more_rows_estimate_better_and_no_rows_give_the_direct_influence(local: LocalModel, whole: Graph) -> None:
    outputs, exact = outputs_of(local), influence(whole)
    n = len(local.features)
    errors = [
        float((estimate_influence(local, local.features, outputs, n_rows=rows).influence - exact).abs().sum())
        for rows in (0, n // 8, n // 2, n)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10 * errors[-1]
    logits = whole.weights[whole.n_features :]
    shares = logits.abs() / whole.incoming[whole.n_features :, None]
    direct = whole.probability @ shares[:, : whole.n_features]
    torch.testing.assert_close(estimate_influence(local, local.features, outputs, n_rows=0).influence, direct)


def test_a_capped_graph_keeps_its_sums_by_counting_the_rest_as_error(
    model: LoadedModel, clt: CLT, whole: Graph
) -> None:
    capped = attribute(model, clt, TOKENS, cap=10, progress=False)
    assert capped.n_features == 10
    assert capped.info["left_out_features"] == whole.n_features - 10
    assert capped.scores().row_sum_error < 1e-10


def test_edges_between_the_features_that_enter_are_those_of_the_whole_graph(
    model: LoadedModel, clt: CLT, whole: Graph
) -> None:
    capped = attribute(model, clt, TOKENS, cap=60, progress=False)
    ids = capped.nodes["node_id"][: capped.n_features].tolist()
    place = whole.row_of_node.reindex(ids).tolist()
    expected = whole.weights[:, place][[*place, *range(whole.n_features, len(whole.weights))]]
    torch.testing.assert_close(capped.weights[:, : capped.n_features], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("cap", [20, 60, 120])
def test_the_features_that_enter_explain_more_than_the_largest_ones(
    model: LoadedModel, clt: CLT, local: LocalModel, cap: int
) -> None:
    """At equal cap, against the features with the largest activation × decoder norm."""
    from workbench.attribution import engine

    norms = torch.stack([decoder.flatten(1).norm(dim=1) for decoder in clt.W_dec])
    size = local.features.activation * norms[local.features.layer, local.features.feature]
    by_size = local.features.select(size.topk(cap).indices.sort().values)
    ours = attribute(model, clt, TOKENS, cap=cap, progress=False).scores()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "within_cap", lambda *_: (by_size, 0.0, 0))
        theirs = attribute(model, clt, TOKENS, cap=cap, progress=False).scores()
    assert ours.replacement > theirs.replacement
    assert ours.completeness > theirs.completeness


def test_the_share_left_out_is_told_and_close_to_the_truth(model: LoadedModel, clt: CLT, whole: Graph) -> None:
    exact = influence(whole)
    for cap in (60, 120):
        capped = attribute(model, clt, TOKENS, cap=cap, progress=False)
        kept = whole.row_of_node.reindex(capped.nodes["node_id"][:cap]).tolist()
        truth = 1 - float(exact[kept].sum() / exact.sum())
        assert 0 < capped.info["left_out_influence"] < 1
        assert capped.info["left_out_influence"] == pytest.approx(truth, abs=0.05)


def test_a_cap_that_is_not_reached_leaves_out_nothing(model: LoadedModel, clt: CLT, whole: Graph) -> None:
    graph = attribute(model, clt, TOKENS, cap=whole.n_features, progress=False)
    assert graph.info["left_out_features"] == 0
    assert graph.info["left_out_influence"] == 0
    assert graph.nodes.equals(whole.nodes)


def test_features_keep_the_order_of_the_prompt(local: LocalModel) -> None:
    chosen = within_cap(local, local.features, outputs_of(local), 40).features
    place = chosen.layer * 10_000 + chosen.position * 100 + chosen.feature
    assert (place.diff() > 0).all()
