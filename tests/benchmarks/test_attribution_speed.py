"""How fast the sweep is beside the usual way: batched backward passes through the frozen model.

The case is that of the published comparison: gemma-3-270m, a random CLT of 18 × 2,048 features of which 16 a layer
and position are active, nine tokens, no cap. circuit-tracer 0.4.1 took 37.9 s and 9.0 GB for it on two cores.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from workbench.attribution.local_model import LocalModel, freeze
from workbench.attribution.sweep import sweep
from workbench.attribution.targets import outputs_of
from workbench.benchmarks.attribution import random_case
from workbench.benchmarks.attribution import run as run_benchmark
from workbench.memory import peak_memory_mb
from workbench.models import LoadedModel

pytestmark = pytest.mark.benchmark

BATCH = 64


@pytest.fixture(scope="module")
def local(gemma3: LoadedModel) -> LocalModel:
    return freeze(gemma3, *random_case(gemma3))


def seconds_of_one_backward_batch(local: LocalModel) -> float:
    """Time one batch of ``BATCH`` targets by autograd: a frozen forward pass is shared, a backward pass is not."""
    bridge, features = local.model.bridge, local.features
    gradients: list[Tensor] = []

    def detach(value: Tensor, hook: Any) -> Tensor:
        return value.detach()

    def leaf(value: Tensor, hook: Any) -> Tensor:
        made = value.detach().requires_grad_()
        leaves.append(made)
        return made

    live: list[Tensor] = []

    def keep(value: Tensor, hook: Any) -> None:
        live.append(value)

    leaves: list[Tensor] = []
    hooks: list[tuple[str, Callable[..., Any]]] = [("embed.hook_out", leaf)]
    for layer in range(local.n_layers):
        block = f"blocks.{layer}."
        hooks += [(block + name, detach) for name in ("attn.hook_pattern", "ln1.hook_scale", "ln1_post.hook_scale")]
        hooks += [(block + "ln2.hook_scale", detach), (block + "mlp.hook_in", keep), (block + "hook_mlp_out", leaf)]
    with bridge.hooks(fwd_hooks=hooks):
        bridge.original_model.base_model(input_ids=local.tokens.expand(BATCH, -1), use_cache=False)
    top = torch.arange(len(features))[-BATCH:]
    start = time.perf_counter()
    encoder = local.clt.W_enc[features.layer[top], features.feature[top]]
    value = sum(
        (live[int(features.layer[at])][row, features.position[at]] * encoder[row]).sum()
        for row, at in enumerate(top.tolist())
    )
    assert isinstance(value, Tensor)
    gradients = [g for g in torch.autograd.grad(value, leaves, allow_unused=True) if g is not None]
    assert gradients
    for source in range(local.n_layers):
        # Reading off the sources, as many as there are: one product a write layer.
        here = features.layer == source
        for target in local.clt.config.targets(source)[: len(gradients) - 1]:
            decoder = local.clt.decoder(source, target)[features.feature[here]]
            _ = gradients[min(target, len(gradients) - 1)][:, features.position[here]] * decoder
    return time.perf_counter() - start


def test_the_sweep_is_at_least_five_times_faster_than_batched_backward_passes(
    local: LocalModel, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    logits = outputs_of(local)
    assert len(local.features) == pytest.approx(2304, rel=0.01)
    n_targets = len(local.features) + len(logits)

    start = time.perf_counter()
    result = sweep(local, local.features, logits, progress=False)
    swept = time.perf_counter() - start
    batch = min(seconds_of_one_backward_batch(local) for _ in range(2))
    by_backward = batch * math.ceil(n_targets / BATCH)

    with capsys.disabled():
        print(  # noqa: T201 - a benchmark's result is its output
            f"\nattribution of {n_targets} targets: sweep {swept:.2f} s, backward passes {by_backward:.1f} s "
            f"({by_backward / swept:.1f} ×), peak {peak_memory_mb() / 1000:.2f} GB"
        )
    record_property("seconds", swept)
    record_property("ratio", by_backward / swept)
    assert result.row_sum_error() < 1e-4
    assert by_backward / swept >= 5


@pytest.mark.skipif(
    "WORKBENCH_CIRCUIT_TRACER" not in os.environ,
    reason="set WORKBENCH_CIRCUIT_TRACER to a virtual environment that holds circuit-tracer",
)
def test_attribution_beats_circuit_tracer_fifteen_times_with_the_same_edges(
    gemma3: LoadedModel, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run_benchmark(["uncapped"], circuit_tracer=os.environ["WORKBENCH_CIRCUIT_TRACER"])["uncapped_9_tokens"]
    theirs = result["circuit_tracer"]
    with capsys.disabled():
        print(  # noqa: T201 - a benchmark's result is its output
            f"\ncircuit-tracer {theirs['version']}: {theirs['seconds']} s, here {result['seconds']} s "
            f"({result['ratio_to_circuit_tracer']} ×)"
        )
    assert theirs["active_features"] == result["active_features"]
    assert theirs["largest_difference"] <= 1e-5
    assert theirs["peak_memory_mb"] > result["peak_memory_mb"]
    assert result["ratio_to_circuit_tracer"] >= 15


def test_features_chosen_by_influence_explain_more_than_the_largest_ones_at_equal_cap(
    gemma3: LoadedModel, smollm2: LoadedModel
) -> None:
    """On both models, three prompts and caps of 1,024 to 4,096; the fixtures only fetch the models."""
    rows = run_benchmark(["cap"])["by_cap"]
    pairs = list(zip(rows[::2], rows[1::2], strict=True))
    assert len(pairs) >= 12
    for size, influence in pairs:
        assert (size["rule"], influence["rule"]) == ("size", "influence")
        assert influence["replacement"] > size["replacement"], (influence, size)
        assert influence["completeness"] > size["completeness"], (influence, size)
        assert influence["row_sum_error"] <= 1e-4
