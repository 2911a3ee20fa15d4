"""Global weights against loops over features and tokens, and against attribution graphs."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import (
    ARCHITECTURES,
    Architecture,
    in_float64,
    tiny_clt,
    tiny_hf_model,
    tiny_model,
    tiny_tokenizer,
    tiny_tokens,
)

from workbench.attribution import attribute
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError, ResourceError
from workbench.features.global_weights import Direction, global_weights, virtual_weights
from workbench.models import LoadedModel, capture, from_huggingface

FEATURES = [(2, 3), (1, 0), (2, 7), (0, 5)]
_ATTENTION_OUTPUTS = ("o_proj", "attn.c_proj", "attention.dense")


def clt_of(model: LoadedModel) -> CLT:
    clt = tiny_clt(model, n_features=10, window=2)
    # A threshold may be the pre-activation at one of the tokens below, where rounding would decide what is active.
    return replace(clt, threshold=clt.threshold * 1.001)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama")


@pytest.fixture(scope="module")
def clt(model: LoadedModel) -> CLT:
    return clt_of(model)


@pytest.fixture(scope="module")
def batches() -> list[torch.Tensor]:
    return [torch.stack([tiny_tokens(length=8, seed=2 * batch + row) for row in range(2)]) for batch in range(3)]


def without_attention(architecture: Architecture) -> LoadedModel:
    """Return a tiny model whose attention writes nothing: all that features say goes along the residual stream."""
    hf_model = tiny_hf_model(architecture)
    with torch.no_grad():
        for name, parameter in hf_model.named_parameters():
            if any(f"{output}." in name for output in _ATTENTION_OUTPUTS):
                parameter.zero_()
    return in_float64(from_huggingface(hf_model, tiny_tokenizer(), name=architecture, start_token_id=0))


def test_virtual_weights_are_decoder_times_norm_weight_times_encoder(model: LoadedModel, clt: CLT) -> None:
    weights = virtual_weights(model, clt, FEATURES)
    for row, (layer, index) in enumerate(FEATURES):
        norm = model.bridge.blocks[layer].ln2.original_component.weight
        for source, feature in itertools.product(range(3), range(10)):
            expected = 0.0
            for written in range(source, min(source + 2, layer)):
                decoder = clt.W_dec[source][feature, written - source]
                expected += float(decoder @ (norm * clt.W_enc[layer, index]))
            assert float(weights[row, source, feature]) == pytest.approx(expected, abs=1e-12)


def test_what_goes_out_is_what_comes_in(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    every = list(itertools.product(range(3), range(10)))
    into = global_weights(model, clt, every, batches, direction="in", progress=False)
    out = global_weights(model, clt, every, batches, direction="out", progress=False)
    for name in ("weight", "era", "twera", "coactivation"):
        one, other = getattr(into, name).flatten(1), getattr(out, name).flatten(1)
        torch.testing.assert_close(one, other.T)
        assert one.abs().max() > 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_one_token_at_a_time_it_is_the_edge_of_the_attribution_graph(architecture: Architecture) -> None:
    """Where attention writes nothing, ERA is the mean over all tokens of the edges between two features."""
    model = without_attention(architecture)
    clt = clt_of(model)
    rows = [tiny_tokens(length=7, seed=seed) for seed in range(4)]
    found = global_weights(model, clt, FEATURES, [torch.stack(rows[:3]), rows[3][None]], progress=False)
    era, weighted = torch.zeros_like(found.era), torch.zeros_like(found.era)
    total = torch.zeros(len(FEATURES), dtype=torch.float64)
    for row in rows:
        graph = attribute(model, clt, row, progress=False)
        nodes = graph.nodes.iloc[: graph.n_features]
        for at, node in enumerate(nodes.itertuples()):
            if (node.layer, node.feature) not in FEATURES:
                continue
            chosen = FEATURES.index((node.layer, node.feature))
            total[chosen] += node.activation
            edges = graph.weights[at, : graph.n_features]
            assert (edges[torch.tensor((nodes["position"] != node.position).to_list())] == 0).all()
            layer, feature = (torch.from_numpy(nodes[name].to_numpy(np.int64)) for name in ("layer", "feature"))
            place = (torch.full_like(layer, chosen), layer, feature)
            era.index_put_(place, edges, accumulate=True)
            weighted.index_put_(place, edges * node.activation, accumulate=True)
    assert found.n_tokens == 4 * 6
    assert era.abs().max() > 0
    torch.testing.assert_close(found.era, era / found.n_tokens)
    torch.testing.assert_close(found.twera, weighted / total.clamp_min(1e-30)[:, None, None], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("direction", ["in", "out"])
def test_statistics_are_those_of_a_loop_over_tokens(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor], direction: Direction
) -> None:
    found = global_weights(model, clt, FEATURES, batches, direction=direction, progress=False)
    names = [f"blocks.{layer}.{site}" for layer in range(3) for site in ("mlp.hook_in", "ln2.hook_scale")]
    era, twera, both = (torch.zeros_like(found.era) for _ in range(3))
    activation, active = torch.zeros(3, 10, dtype=torch.float64), torch.zeros(3, 10, dtype=torch.float64)
    n_tokens = 0
    for row in torch.cat(batches):
        kept = capture(model, row[None], names)
        for position in range(1, len(row)):
            n_tokens += 1
            a = torch.stack([clt.encode(at, kept[f"blocks.{at}.mlp.hook_in"][0, position]) for at in range(3)])
            scale = [float(kept[f"blocks.{at}.ln2.hook_scale"][0, position]) for at in range(3)]
            activation += a
            active += a > 0
            for chosen, own in enumerate(FEATURES):
                for other in itertools.product(range(3), range(10)):
                    source, target = (other, own) if direction == "in" else (own, other)
                    if source[0] >= target[0]:
                        continue
                    attribution = float(a[source] * found.weight[chosen][other] / scale[target[0]])
                    era[chosen][other] += attribution * float(a[target] > 0)
                    twera[chosen][other] += attribution * float(a[target])
                    both[chosen][other] += float((a[source] > 0) & (a[target] > 0))
    assert found.n_tokens == n_tokens
    torch.testing.assert_close(found.activation, activation)
    torch.testing.assert_close(found.era, era / n_tokens)
    if direction == "in":
        of_target = torch.stack([torch.stack([activation[own], active[own]]) for own in FEATURES])[:, :, None, None]
        sums, counts = of_target[:, 0], of_target[:, 1]
    else:
        sums, counts = activation, active
    torch.testing.assert_close(found.twera, twera / sums.clamp_min(1e-30))
    torch.testing.assert_close(found.coactivation, both / counts.clamp_min(1))


def test_a_residual_stream_read_directly_has_no_norm(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    direct = replace(clt, config=clt.config.model_copy(update={"read_hook": "blocks.{layer}.hook_resid_mid"}))
    found = global_weights(model, direct, [(1, 4)], batches, progress=False)
    expected = clt.W_dec[0][:, 0] @ clt.W_enc[1, 4]
    torch.testing.assert_close(found.weight[0, 0], expected)
    assert found.active.sum() > 0


def test_the_order_and_size_of_batches_does_not_matter(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor]
) -> None:
    one = global_weights(model, clt, FEATURES, batches, progress=False)
    other = global_weights(model, clt, FEATURES, torch.cat(batches).flip(0).split(1), progress=False)
    torch.testing.assert_close(one.era, other.era)
    torch.testing.assert_close(one.twera, other.twera)


def test_when_asked_to_stop_what_was_counted_is_returned(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor]
) -> None:
    asked = iter([False, True])
    stopped = global_weights(model, clt, FEATURES, batches, stop=lambda: next(asked), progress=False)
    assert stopped.n_tokens == 2 * 2 * 7
    torch.testing.assert_close(stopped.era, global_weights(model, clt, FEATURES, batches[:2], progress=False).era)


def test_an_interrupt_ends_after_the_batch_at_work(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    def interrupted() -> Iterator[torch.Tensor]:
        yield batches[0]
        signal.raise_signal(signal.SIGINT)
        yield from batches[1:]

    assert global_weights(model, clt, FEATURES, interrupted(), progress=False).n_tokens == 2 * 2 * 7


def test_the_table_has_the_strongest_pairs_of_each_feature(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor]
) -> None:
    found = global_weights(model, clt, FEATURES, batches, progress=False)
    table = found.table(k=4, by="era")
    assert (table["source_layer"] < table["target_layer"]).all()
    for chosen, (layer, index) in enumerate(FEATURES):
        own = table[(table["target_layer"] == layer) & (table["target_feature"] == index)]
        strongest = found.era[chosen].abs().flatten().sort(descending=True).values[:4]
        assert np.allclose(own["era"].abs(), strongest[strongest > 0], rtol=1e-5)
        for row in own.itertuples():
            at = (chosen, row.source_layer, row.source_feature)
            assert row.weight == pytest.approx(float(found.weight[at]), rel=1e-5)
            assert row.twera == pytest.approx(float(found.twera[at]), rel=1e-5)
            assert row.coactivation == pytest.approx(float(found.coactivation[at]), rel=1e-5)
    # Nothing is below the first layer.
    assert not (table["target_layer"] == 0).any()


def test_the_table_of_outgoing_pairs_has_the_chosen_features_as_sources(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor]
) -> None:
    table = global_weights(model, clt, [(0, 5)], batches, direction="out", progress=False).table(k=3, by="weight")
    assert table[["source_layer", "source_feature"]].drop_duplicates().to_numpy().tolist() == [[0, 5]]
    assert len(table) == 3


def test_a_feature_that_was_never_active_has_a_twera_of_zero(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor]
) -> None:
    dead = replace(clt, threshold=torch.full_like(clt.threshold, 1e9))
    found = global_weights(model, dead, FEATURES, batches, progress=False)
    assert found.weight.abs().max() > 0
    assert (found.twera == 0).all()
    assert (found.coactivation == 0).all()
    assert found.table().empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": [(3, 0)]}, "no feature 0 in layer 3"),
        ({"features": [(0, 0), (1, -1)]}, "no feature -1 in layer 1"),
        ({"features": []}, "at least one pair"),
        ({"direction": "up"}, "'in' or 'out'"),
        ({"batches": []}, "no token to count"),
    ],
)
def test_what_cannot_be_counted_is_said(
    model: LoadedModel, clt: CLT, batches: list[torch.Tensor], options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"features": FEATURES, "batches": batches} | options
    with pytest.raises(ConfigError, match=message):
        global_weights(model, clt, progress=False, **arguments)


def test_a_table_by_something_else_is_refused(model: LoadedModel, clt: CLT, batches: list[torch.Tensor]) -> None:
    with pytest.raises(ConfigError, match="'twera', 'era' or 'weight'"):
        global_weights(model, clt, FEATURES, batches, progress=False).table(by="size")  # type: ignore[arg-type]


def test_a_hook_without_a_linear_path_is_refused(model: LoadedModel, clt: CLT) -> None:
    elsewhere = replace(clt, config=clt.config.model_copy(update={"read_hook": "blocks.{layer}.hook_mlp_out"}))
    with pytest.raises(CLTError, match="no linear path"):
        virtual_weights(model, elsewhere, FEATURES)


def test_too_little_memory_is_said_before_the_work(
    model: LoadedModel, clt: CLT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 100)
    with pytest.raises(ResourceError, match="choose fewer features"):
        virtual_weights(model, clt, FEATURES)
