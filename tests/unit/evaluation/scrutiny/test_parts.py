"""Each measurement where its truth is known."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_hf_model, tiny_model, tiny_tokenizer, tiny_tokens

from workbench.attribution import Graph, attribute
from workbench.clt import CLT
from workbench.evaluation.scrutiny import scrutinise
from workbench.evaluation.scrutiny.attention import ablations, attention_share, hidden_share
from workbench.evaluation.scrutiny.compare import best_matches, cosine_interval, cosine_of, influential_features
from workbench.evaluation.scrutiny.lines import frozen_line, mlp_line
from workbench.evaluation.scrutiny.model import ablated_mlps, answer_logit, held_from, logit_lens, patched_residuals
from workbench.evaluation.scrutiny.shares import carried, influence_grid
from workbench.evaluation.validation.validate import followed_token
from workbench.interventions import CleanRun
from workbench.models import LoadedModel, from_huggingface, run_decoder


@cache
def case(architecture: str = "llama") -> tuple[LoadedModel, CLT, CleanRun, Graph]:
    model = tiny_model(architecture)  # type: ignore[arg-type]
    clt = tiny_clt(model, n_features=20)
    graph = attribute(model, clt, tiny_tokens(), progress=False)
    return model, clt, CleanRun.of(model, clt, tiny_tokens()), graph


def without_attention() -> tuple[CleanRun, Graph]:
    """Return a run and a graph of a model whose attention writes nothing."""
    hf_model = tiny_hf_model("llama")
    for block in hf_model.model.layers:
        torch.nn.init.zeros_(block.self_attn.o_proj.weight)
    model = from_huggingface(hf_model, tiny_tokenizer(), name="no-attention", start_token_id=0)
    clt = tiny_clt(model, n_features=20)
    return CleanRun.of(model, clt, tiny_tokens()), attribute(model, clt, tiny_tokens(), progress=False)


def targets(graph: Graph) -> list[int]:
    return [int(node.split("/")[1]) for node in graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"]]


def test_in_a_model_without_attention_nothing_runs_through_it_and_nothing_is_hidden() -> None:
    clean, graph = without_attention()
    assert attention_share(clean, graph, targets(graph)) == pytest.approx(0, abs=1e-9)
    table = ablations(clean, graph, *followed_token(graph), k=4, seed=0)
    assert table["frozen"].to_numpy() == pytest.approx(table["measured"].to_numpy(), abs=1e-8)
    assert frozen_line(table, seed=0).number == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "pythia"])
def test_edges_between_positions_run_through_attention_whole(architecture: str) -> None:
    _, _, clean, graph = case(architecture)
    share = attention_share(clean, graph, targets(graph))
    sources, kinds = graph.nodes.iloc[graph.source_index], graph.nodes["kind"].to_numpy()[graph.source_index]
    reach = torch.from_numpy(graph.nodes["influence"].to_numpy("float64")[graph.target_index].copy())
    reach[graph.n_features :] = graph.probability
    influence = graph.weights.abs() * (reach / graph.incoming)[:, None]
    influence[:, torch.from_numpy(kinds == "bias")] = 0
    position = graph.nodes["position"].to_numpy()
    across = torch.from_numpy(position[graph.target_index][:, None] != sources["position"].to_numpy()[None])
    assert float(influence[across].sum() / influence.sum()) < share < 1


def test_hidden_share_is_of_all_that_ablations_do() -> None:
    free, frozen = torch.tensor([1.0, -3.0]), torch.tensor([1.0, -1.0])
    assert hidden_share(free, frozen) == pytest.approx(0.5)
    assert np.isnan(hidden_share(torch.zeros(2), frozen))


def exact() -> tuple[CleanRun, CLT]:
    """Return a model with ReLU MLPs and the CLT that is these MLPs: a feature a neuron, nothing missed."""
    hf_model = tiny_hf_model("gpt2", activation_function="relu")
    model = from_huggingface(hf_model, tiny_tokenizer(), name="relu", start_token_id=0)
    mlps = [block.mlp for block in hf_model.transformer.h]
    clt = tiny_clt(model, n_features=32, window=1)
    neurons = replace(
        clt,
        W_enc=torch.stack([mlp.c_fc.weight.T for mlp in mlps]).detach(),
        b_enc=torch.stack([mlp.c_fc.bias for mlp in mlps]).detach(),
        threshold=torch.zeros_like(clt.threshold),
        W_dec=tuple(mlp.c_proj.weight.detach()[:, None] for mlp in mlps),
        b_dec=torch.stack([mlp.c_proj.bias for mlp in mlps]).detach(),
    )
    return CleanRun.of(model, neurons, tiny_tokens()), neurons


def test_where_the_features_are_the_neurons_nothing_is_error_and_shuffled_ones_explain_less() -> None:
    clean, clt = exact()
    graph = attribute(clean.model, clt, tiny_tokens(), progress=False)

    page = scrutinise(clean, graph, k=12, n_cells=24, progress=False)

    lines = page.lines.set_index("question")
    paths, would = (lines.index.str.contains(text).argmax() for text in ("along the paths", "shuffled CLT"))
    assert lines["number"].iloc[paths] == pytest.approx(0, abs=1e-6)
    assert lines["control"].iloc[paths] > 0.1
    assert lines["number"].iloc[would] == pytest.approx(1, abs=1e-6)
    assert lines["control"].iloc[would] < 0.9
    assert lines["answer"].iloc[would].startswith("No")


def test_features_match_themselves_under_another_numbering() -> None:
    _, clt, _, graph = case()
    features = influential_features(graph, 8)
    order = torch.randperm(clt.n_features, generator=torch.Generator().manual_seed(1))
    renumbered = replace(clt, W_dec=tuple(2 * decoder[order] for decoder in clt.W_dec))
    cosine, index = best_matches(clt, renumbered, features)
    torch.testing.assert_close(cosine, torch.ones(8))
    assert order[index].tolist() == features.feature.tolist()
    other, _ = best_matches(clt, renumbered, features, layers_on=1)
    assert float(other.max()) < 0.95


def test_influential_features_are_summed_over_positions() -> None:
    _, _, _, graph = case()
    features = influential_features(graph, 5)
    nodes = graph.nodes.iloc[: graph.n_features]
    totals = nodes.groupby(["layer", "feature"])["influence"].sum().sort_values(ascending=False)
    assert list(zip(features.layer.tolist(), features.feature.tolist(), strict=True)) == list(totals.index[:5])
    first = nodes[(nodes["layer"] == features.layer[0].item()) & (nodes["feature"] == features.feature[0].item())]
    assert features.positions[0] == set(first["position"])


def test_a_cosine_of_pictures_has_an_interval_over_their_cells() -> None:
    random = torch.Generator().manual_seed(0)
    one, noise = torch.randn(2, 6, 7, generator=random)
    assert cosine_interval(one, 3 * one, seed=0) == pytest.approx((1, 1))
    bounds = cosine_interval(one, one + noise, seed=0)
    assert bounds is not None
    assert 0.1 < bounds[0] < cosine_of(one, one + noise) < bounds[1] < 1
    assert cosine_interval(one, torch.zeros(6, 7), seed=0) is None


def test_grids_hold_the_influence_of_the_nodes() -> None:
    model, _, _, graph = case()
    nodes = graph.nodes.iloc[: graph.n_features]
    grid = influence_grid(graph, model.n_layers)
    assert float(grid.sum()) == pytest.approx(nodes["influence"].sum(), rel=1e-5)
    own = nodes[(nodes["layer"] == 1) & (nodes["position"] == 4)]["influence"].sum()
    assert float(grid[1, 4]) == pytest.approx(own, rel=1e-5)


def test_what_is_carried_is_written_below_and_read_above() -> None:
    model, _, _, graph = case()
    grid = carried(graph, model.n_layers)
    edges = graph.edges
    nodes = graph.nodes.set_index("node_id")
    kind, layer, position = (nodes[name] for name in ("kind", "layer", "position"))
    source, target = edges["source"].astype(str), edges["target"].astype(str)
    written = layer[source].to_numpy().copy()
    written[(kind[source] == "token").to_numpy()] = 0
    read = np.where(kind[target] == "logit", model.n_layers, layer[target])
    for at, place in ((0, 3), (1, 8), (2, 8)):
        chosen = (written <= at) & (read > at) & (position[source] == place).to_numpy()
        chosen &= (kind[source] != "bias").to_numpy()
        assert float(grid[at, place]) == pytest.approx(edges["influence"][chosen].sum(), rel=1e-4)


def test_behind_the_last_layer_the_lens_is_the_model() -> None:
    _, _, clean, _ = case()
    top = int(clean.logits.argmax())
    lens = logit_lens(clean, top)
    assert lens["layer"].tolist() == [0, 1, 2]
    assert lens["rank"].iloc[-1] == 0
    assert lens["probability"].iloc[-1] == pytest.approx(float(clean.probabilities[top]))
    assert held_from(lens.assign(rank=[3, 0, 0])) == 1
    assert held_from(lens.assign(rank=[0, 2, 0])) == 2
    assert held_from(lens.assign(rank=[0, 0, 0])) == 0
    assert held_from(lens.assign(rank=[0, 0, 1])) is None


@pytest.mark.parametrize("architecture", ["llama", "pythia"])
def test_an_ablated_mlp_is_replaced_by_its_mean(architecture: str) -> None:
    model, clt, clean, _ = case(architecture)
    layer, position, token = 1, 5, int(clean.logits.argmax())

    def replace_by_mean(y: torch.Tensor, hook: object) -> torch.Tensor:
        y = y.clone()
        y[0, position] = y[0, 1:].mean(0)
        return y

    hook = (clt.config.write_hook.format(layer=layer), replace_by_mean)
    after = model.logits(run_decoder(model, clean.tokens[None], [hook])[0, -1])
    (row,) = ablated_mlps(clean, [(layer, position)], token).itertuples()
    assert row.effect == pytest.approx(answer_logit(after, token) - answer_logit(clean.logits, token), abs=1e-8)


def test_patching_the_last_residual_brings_everything_back_and_the_first_nothing() -> None:
    model, clt, clean, _ = case()
    tokens = tiny_tokens()
    tokens[4] = 7
    corrupted = CleanRun.of(model, clt, tokens)
    table = patched_residuals(clean, corrupted, [(2, 8), (2, 5), (0, 2)], int(clean.logits.argmax()))
    # Behind the last layer only the last position counts; before the differing token the streams are equal.
    assert table["recovered"].tolist() == pytest.approx([1, 0, 0], abs=1e-8)


def test_places_that_matter_alike_are_told_from_shuffled_ones() -> None:
    random = np.random.default_rng(0)
    cells = pd.DataFrame(
        [(layer, position) for layer in range(10) for position in range(6)], columns=["layer", "position"]
    )
    cells["influence"] = random.random(len(cells))
    same = mlp_line(cells.assign(effect=-(cells["influence"] ** 2)), seed=0)
    assert same.number == pytest.approx(1)
    assert abs(same.control) < 0.2
    assert same.answer.startswith("Largely")
    unrelated = mlp_line(cells.assign(effect=random.permutation(cells["influence"])), seed=0)
    assert unrelated.number < 0.4
