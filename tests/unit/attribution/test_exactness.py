"""The sweep equals autograd on the frozen model, for every architecture, to float64 precision."""

from __future__ import annotations

import pytest
import torch
from frozen_autograd import frozen_gradients
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.clt import CLT
from workbench.models import LoadedModel


def worst_deviation(model: LoadedModel, clt: CLT, graph: Graph, tokens: torch.Tensor) -> float:
    """Return the largest difference to autograd over all edges, relative to the largest weight."""
    nodes = graph.nodes
    features = nodes[nodes["kind"] == "feature"]
    triples = list(zip(features["layer"], features["feature"], features["position"], strict=True))
    logits = [int(node.split("/")[1]) for node in nodes.loc[nodes["kind"] == "logit", "node_id"]]
    expected, values = frozen_gradients(model, clt, tokens, triples, logits)
    sources = nodes["node_id"].to_numpy()[graph.source_index]
    targets = nodes["node_id"].to_numpy()[graph.target_index]
    assert list(targets) == list(values)
    column = {name: at for at, name in enumerate(sources)}
    checked = [name for name in next(iter(expected.values())) if name in column]
    # Every source that autograd knows is a node, and every node but the parameters' biases is known to autograd.
    assert len(checked) == len(next(iter(expected.values())))
    unchecked = {name.split("/")[2] for name in sources if name not in checked}
    assert unchecked <= {"b_O", "b_V", "ln1", "ln1_post", "ln2", "ln_final", "pos_embed"}
    mine = graph.weights[:, [column[name] for name in checked]]
    theirs = torch.tensor([[expected[target][name] for name in checked] for target in targets], dtype=mine.dtype)
    return float((mine - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, True), (3, False), (3, True)])
def test_the_sweep_equals_autograd(architecture: Architecture, window: int, skip: bool) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=window, skip=skip)
    tokens = tiny_tokens(length=9)

    graph = attribute(model, clt, tokens, progress=False)

    assert graph.n_features > 20
    assert worst_deviation(model, clt, graph, tokens) < 1e-8


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("skip", [False, True])
def test_every_row_sums_to_its_pre_activation(architecture: Architecture, skip: bool) -> None:
    """Biases included: the sum over all sources and the target's own constant is what the model computed."""
    model = tiny_model(architecture)
    graph = attribute(model, tiny_clt(model, window=2, skip=skip), tiny_tokens(length=9), progress=False)
    assert graph.scores().row_sum_error < 1e-10


@pytest.mark.parametrize("read_hook", ["blocks.{layer}.ln2.hook_normalized", "blocks.{layer}.hook_resid_mid"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_other_read_hooks_are_exact_too(architecture: Architecture, read_hook: str) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2, skip=True)
    clt = CLT(
        clt.config.model_copy(update={"read_hook": read_hook}),
        clt.W_enc, clt.b_enc, clt.threshold * 0 + 0.01, clt.W_dec, clt.b_dec, clt.W_skip,
    )  # fmt: skip
    tokens = tiny_tokens(length=7)
    graph = attribute(model, clt, tokens, progress=False)
    assert worst_deviation(model, clt, graph, tokens) < 1e-8
    assert graph.scores().row_sum_error < 1e-10


def test_one_token_after_the_start_token() -> None:
    model = tiny_model("gemma3")
    graph = attribute(model, tiny_clt(model), tiny_tokens(length=2), progress=False)
    assert graph.scores().row_sum_error < 1e-10
    assert set(graph.nodes.loc[graph.nodes["kind"] == "token", "position"]) == {0, 1}


def test_the_start_token_alone_has_no_features_and_no_errors() -> None:
    model = tiny_model("llama")
    graph = attribute(model, tiny_clt(model), tiny_tokens(length=1), progress=False)
    assert graph.n_features == 0
    assert graph.count("error") == 0
    assert graph.scores().row_sum_error < 1e-10
