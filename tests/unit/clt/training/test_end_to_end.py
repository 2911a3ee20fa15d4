"""The KL divergence of the replacement model, and its gradient for every weight of the transcoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import (
    Architecture,
    tiny_clt,
    tiny_model,
    tiny_tokens,
    tiny_training_run,
    train_to_the_end,
)
from safetensors.torch import load_file

from workbench.clt import CLT, load_clt
from workbench.clt.training.control import Watch
from workbench.clt.training.end_to_end import EndToEnd
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.clt.training.trainer import StopFlag
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


def test_a_sample_of_the_predictions_gives_their_part_of_the_gradient() -> None:
    """The mean over all is the mean of the means over two halves."""
    model = tiny_model("llama")
    clt = one_threshold_a_layer(tiny_clt(model))
    scales = normalisation(model)
    term = EndToEnd(model, ROWS)
    every = torch.arange(ROWS.numel() - len(ROWS))

    def gradient(*samples: torch.Tensor | None) -> tuple[float, torch.Tensor]:
        parameters = in_float64(Parameters.unfold(clt, clt.config, scales))
        weight = 1 / len(samples)
        kls = [
            term.add_gradient(
                parameters, scales, clt.threshold[:, 0], torch.arange(3), weight=weight, positions=positions
            )
            for positions in samples
        ]
        assert parameters.W_enc[0].grad is not None
        return sum(kls) / len(kls), parameters.W_enc[0].grad

    whole, halves = gradient(None), gradient(every[::2], every[1::2])
    assert halves[0] == pytest.approx(whole[0], rel=1e-9)
    # Rotary angles and softmax are float32 in Llama itself.
    torch.testing.assert_close(halves[1], whole[1], rtol=1e-5, atol=1e-7)


def test_a_run_with_the_kl_ends_with_a_smaller_one(tmp_path: Path) -> None:
    """From the same start, on the same tokens: what the term does, and nothing else."""
    model = tiny_model("llama", dtype=torch.float32)
    kls = {}
    for weight in (0.0, 1.0):
        run = tiny_training_run(
            tmp_path / str(weight), model=model, threshold_from=0.25, kl_from=0.25, kl_weight=weight, kl_rows=4
        )
        train_to_the_end(run)
        clt = load_clt(run.out / "clt", model=model)
        kls[weight] = kl_of(model, clt)
        lines = [json.loads(line) for line in (run.out / "metrics.jsonl").read_text().splitlines()]
        assert [line["kl"] is None for line in lines] == [weight == 0 or line["step"] <= 9 for line in lines]
    assert kls[1.0] < kls[0.0]


def test_resuming_with_the_kl_gives_the_same_weights(tmp_path: Path) -> None:
    options: dict[str, Any] = {"threshold_from": 0.25, "kl_from": 0.5, "kl_weight": 0.3}
    whole = tiny_training_run(tmp_path / "whole", **options)
    train_to_the_end(whole)
    stop = StopFlag()

    def end_at_step_25(line: Mapping[str, Any]) -> None:
        stop.signal_number = 2 if line["step"] == 25 else None

    halves = replace(tiny_training_run(tmp_path / "halves", stop=stop, **options), watch=Watch(stepped=end_at_step_25))
    halves.prepare(resume=False)
    halves.harvest()
    assert not halves.train()
    train_to_the_end(tiny_training_run(tmp_path / "halves", **options), resume=True)
    expected, found = (load_file(run.out / "checkpoint.safetensors") for run in (whole, halves))
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
