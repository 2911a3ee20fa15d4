"""The sweep equals autograd on the frozen model, for every architecture, to float64 precision."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from frozen_autograd import frozen_gradients
from helpers import (
    ARCHITECTURES,
    VOCABULARY,
    Architecture,
    in_float64,
    tiny_clt,
    tiny_clt_reading,
    tiny_hf_model,
    tiny_model,
    tiny_tokenizer,
    tiny_tokens,
)

from workbench.attribution import Graph, attribute
from workbench.clt import CLT, CLTConfig
from workbench.models import LoadedModel, from_huggingface


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
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("skip", [False, True])
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
    clt = tiny_clt_reading(model, read_hook)
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


def hand_built() -> tuple[LoadedModel, CLT]:
    """Return a Llama of two layers and width 4 whose attention is uniform, and a CLT of one feature a layer."""
    hf_model = tiny_hf_model(
        "llama", hidden_size=4, num_attention_heads=1, num_key_value_heads=1, num_hidden_layers=2, rms_norm_eps=0.0
    )
    weights = {name: torch.zeros_like(value) for name, value in hf_model.state_dict().items()}
    for name, value in weights.items():
        if "norm" in name:
            value.fill_(1)
    weights["model.embed_tokens.weight"][0, 3] = 2
    weights["model.embed_tokens.weight"][7, 0] = 2
    weights["lm_head.weight"][5, 3] = VOCABULARY / (VOCABULARY - 1)
    weights["model.layers.1.self_attn.v_proj.weight"][1, [0, 2]] = 3
    weights["model.layers.1.self_attn.o_proj.weight"].copy_(torch.eye(4))
    hf_model.load_state_dict(weights)
    model = in_float64(from_huggingface(hf_model, tiny_tokenizer(), name="by hand", start_token_id=0))
    unit = torch.eye(4, dtype=torch.float64)
    clt = CLT(
        CLTConfig(model="by hand", n_layers=2, d_model=4, n_features=1, window=2),
        W_enc=torch.stack([unit[0], unit[1] + unit[2]])[:, None],
        b_enc=torch.zeros(2, 1, dtype=torch.float64),
        threshold=torch.full((2, 1), 0.5, dtype=torch.float64),
        W_dec=(torch.stack([ALPHA * unit[2], BETA * unit[3]])[None], GAMMA * unit[3][None, None]),
        b_dec=torch.zeros(2, 4, dtype=torch.float64),
    )
    return model, clt


ALPHA, BETA, GAMMA = 0.7, -1.1, 1.3


def test_a_model_built_by_hand_has_the_edges_that_stand_on_paper() -> None:
    """All edges in closed form.

    The tokens are the start token, embedded as 2 e3, and twice the token 7, embedded as 2 e0. Vectors of norm 2 in four
    dimensions have a root mean square of 1, so the first norms change nothing. The MLPs write nothing, so every error
    node writes minus what the features write. Only layer 1 attends: uniformly, reading 3 (x0 + x2) and writing it to
    e1. So before its MLP the stream is 2 e0 + 3 e1 at position 1 (the mean of 0 and 6) and 2 e0 + 4 e1 at position 2
    (the mean of 0, 6 and 6); their root mean squares are √13/2 and √5.

    Feature f of layer 0 reads e0: 2 at both positions. It writes 2α e2 in layer 0 and 2β e3 in layer 1.
    Feature g of layer 1 reads e1 + e2: 6/√13 and 4/√5. It writes γ e3 times that.

    To g at position 2, in units of 1/√5: f at 2 gives 2α directly and 2α through attention (3 · 2α / 3), f at 1 gives
    2α through attention, and each token 7 gives 3 · 2 / 3 = 2. To g at position 1, in units of 2/√13: f gives 2α
    directly and 3α through attention, the token 3. The logit of token 5 less the mean reads e3 after division by √5: g
    at 2 gives γ 4/5, f at 2 gives 2β/√5.
    """
    model, clt = hand_built()
    graph = attribute(model, clt, torch.tensor([0, 7, 7]), targets=[5], progress=False)
    expected = {
        ("t/1", "f/0/0/1"): 2,
        ("t/2", "f/0/0/2"): 2,
        ("f/0/0/1", "f/1/0/1"): 10 * ALPHA / 13**0.5,
        ("e/0/1", "f/1/0/1"): -10 * ALPHA / 13**0.5,
        ("t/1", "f/1/0/1"): 6 / 13**0.5,
        ("f/0/0/1", "f/1/0/2"): 2 * ALPHA / 5**0.5,
        ("e/0/1", "f/1/0/2"): -2 * ALPHA / 5**0.5,
        ("f/0/0/2", "f/1/0/2"): 4 * ALPHA / 5**0.5,
        ("e/0/2", "f/1/0/2"): -4 * ALPHA / 5**0.5,
        ("t/1", "f/1/0/2"): 2 / 5**0.5,
        ("t/2", "f/1/0/2"): 2 / 5**0.5,
        ("f/0/0/2", "l/5/2"): 2 * BETA / 5**0.5,
        ("f/1/0/2", "l/5/2"): 4 * GAMMA / 5,
        ("e/1/2", "l/5/2"): -2 * BETA / 5**0.5 - 4 * GAMMA / 5,
    }
    ids = graph.nodes["node_id"].to_numpy()
    found = {
        (ids[graph.source_index][source], ids[graph.target_index][target]): float(graph.weights[target, source])
        for target, source in graph.weights.nonzero().tolist()
    }
    # The model's softmax rounds to float32.
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("architecture", ["gemma3", "pythia"])
@pytest.mark.parametrize("cap", [None, 30])
def test_the_order_of_a_clts_features_changes_nothing_but_their_names(
    architecture: Architecture, cap: int | None
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2)
    new_name = torch.stack(
        [torch.randperm(clt.n_features, generator=torch.Generator().manual_seed(s)) for s in range(3)]
    )
    old_name = new_name.argsort(dim=1)
    layers = torch.arange(3)[:, None]
    shuffled = replace(
        clt,
        W_enc=clt.W_enc[layers, old_name],
        b_enc=clt.b_enc[layers, old_name],
        threshold=clt.threshold[layers, old_name],
        W_dec=tuple(decoder[order] for decoder, order in zip(clt.W_dec, old_name, strict=True)),
    )
    graph = attribute(model, clt, tiny_tokens(), cap=cap, progress=False)
    other = attribute(model, shuffled, tiny_tokens(), cap=cap, progress=False)
    assert (graph.info["left_out_features"] > 0) == (cap is not None)

    def renamed(node_id: str) -> str:
        if node_id[0] != "f":
            return node_id
        layer, feature, position = map(int, node_id.split("/")[1:])
        return f"f/{layer}/{int(new_name[layer, feature])}/{position}"

    names = [renamed(node_id) for node_id in graph.nodes["node_id"]]
    assert names != graph.nodes["node_id"].tolist()
    place = other.row_of_node.reindex(names).to_numpy()
    # Features come first among rows, columns and nodes alike; the rest keeps its order.
    n = graph.n_features
    columns = torch.tensor([*place[:n], *range(n, graph.weights.shape[1])])
    rows = torch.tensor([*place[:n], *range(n, len(graph.weights))])
    torch.testing.assert_close(other.weights[rows][:, columns], graph.weights, rtol=1e-9, atol=1e-12)
    assert other.scores() == pytest.approx(graph.scores(), rel=1e-6, abs=1e-12)
    assert other.info["left_out_influence"] == pytest.approx(graph.info["left_out_influence"], abs=1e-9)


@pytest.mark.parametrize("targets_a_block", [1, 10, 10_000])
def test_how_targets_are_grouped_changes_nothing(targets_a_block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, skip=True)
    expected = attribute(model, clt, tiny_tokens(), progress=False)
    monkeypatch.setattr("workbench.attribution.sweep._TARGETS", targets_a_block)
    monkeypatch.setattr("workbench.attribution.sweep._ROWS", 7)
    graph = attribute(model, clt, tiny_tokens(), progress=False)
    torch.testing.assert_close(graph.weights, expected.weights, rtol=1e-9, atol=1e-12)
