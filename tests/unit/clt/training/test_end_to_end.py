"""The KL divergence of the replacement model, and its gradient for every weight of the transcoder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.clt import CLT
from workbench.clt.training.end_to_end import EndToEnd
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.evaluation.fidelity import compare_runs
from workbench.evaluation.replacement import run_replacement
from workbench.models import LoadedModel, capture_reads_and_writes, run_decoder

ROWS = torch.stack([tiny_tokens(length=7, seed=seed) for seed in range(3)])


def normalisation(model: LoadedModel) -> Normalisation:
    reads, writes = capture_reads_and_writes(model, ROWS)
    return Normalisation.of(torch.cat([reads, writes])[:, :, 1:].flatten(1, 2))


def one_threshold_a_layer(clt: CLT) -> CLT:
    return replace(clt, threshold=clt.threshold.mean(1, keepdim=True).expand_as(clt.threshold).contiguous())


def in_float64(parameters: Parameters) -> Parameters:
    exact = Parameters.zeros(parameters.config, dtype=torch.float64)
    for tensor, rounded in zip(exact.tensors(), parameters.tensors(), strict=True):
        tensor.copy_(rounded)
    return exact


def kl_of(model: LoadedModel, clt: CLT) -> float:
    own, replaced = run_decoder(model, ROWS, []), run_replacement(model, clt, ROWS)
    return float(compare_runs(model, ROWS, own, {"it": replaced})["it"].kl.mean())


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "pythia"])
@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, True)])
def test_the_kl_is_that_of_the_evaluation_and_its_gradient_predicts_how_it_changes(
    architecture: Architecture, window: int, skip: bool
) -> None:
    model = tiny_model(architecture)
    clt = one_threshold_a_layer(tiny_clt(model, n_features=16, window=window, skip=skip, active=0.4))
    scales = normalisation(model)
    parameters = in_float64(Parameters.unfold(clt, clt.config, scales))
    threshold = clt.threshold[:, 0]
    term = EndToEnd(model, ROWS)

    kl = term.add_gradient(parameters, scales, threshold, torch.arange(3), weight=0.5)
    assert kl == pytest.approx(kl_of(model, parameters.fold(scales, clt.threshold)), rel=1e-9)

    # Along a random direction, both ways, so little that the same features stay active, yet enough to stand out from
    # what the models' own softmax rounds to float32.
    generator = torch.Generator().manual_seed(0)
    directions = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in parameters.tensors()]
    slope = sum(
        float((x.grad * direction).sum()) / 0.5
        for x, direction in zip(parameters.tensors(), directions, strict=True)
        if x.grad is not None
    )
    step, moved = 5e-6, []
    for offset in (step, -2 * step):
        for tensor, direction in zip(parameters.tensors(), directions, strict=True):
            tensor.add_(offset * direction)
        moved.append(kl_of(model, parameters.fold(scales, clt.threshold)))
    assert (moved[0] - moved[1]) / (2 * step) == pytest.approx(slope, rel=2e-2)


def test_the_gradient_is_added_to_what_is_there_and_weights_keep_no_graph() -> None:
    model = tiny_model("llama")
    clt = one_threshold_a_layer(tiny_clt(model))
    scales = normalisation(model)
    parameters = Parameters.unfold(clt, clt.config, scales)
    term = EndToEnd(model, ROWS)
    term.add_gradient(parameters, scales, clt.threshold[:, 0], torch.arange(3), weight=1.0)
    once = [tensor.grad.clone() for tensor in parameters.tensors() if tensor.grad is not None]
    term.add_gradient(parameters, scales, clt.threshold[:, 0], torch.arange(3), weight=1.0)
    twice = [tensor.grad for tensor in parameters.tensors()]
    assert len(once) == len(twice)
    for one, two in zip(once, twice, strict=True):
        torch.testing.assert_close(two, 2 * one)
    assert not any(tensor.requires_grad for tensor in parameters.tensors())
