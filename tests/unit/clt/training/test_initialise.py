from __future__ import annotations

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_model, tiny_token_batches

from workbench.clt import CLTConfig
from workbench.clt.training.initialise import initialise, neuron_bases
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.clt.training.step import forward
from workbench.models import LoadedModel, capture_reads_and_writes


def config_of(model: LoadedModel) -> CLTConfig:
    return CLTConfig(model=model.name, n_layers=model.n_layers, d_model=model.d_model, n_features=40, window=2)


def fvu(parameters: Parameters, activations: torch.Tensor) -> float:
    reads, writes = activations.chunk(2)
    return forward(parameters, reads, writes, k=10).loss


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neurons_reconstruct_better_than_random_rows(architecture: Architecture) -> None:
    model = tiny_model(architecture, dtype=torch.float32)
    batches = list(tiny_token_batches(n_batches=4)("train"))
    captured = [torch.cat(capture_reads_and_writes(model, tokens))[:, :, 1:].flatten(1, 2) for tokens in batches]
    activations = torch.cat(captured, dim=1)
    Normalisation.of(activations).apply_(activations)

    bases = neuron_bases(model, config_of(model), batches)
    from_neurons = initialise(config_of(model), seed=0, k=10, bases=bases, activations=activations)
    from_noise = initialise(config_of(model), seed=0, k=10, activations=activations)

    assert fvu(from_neurons, activations) < fvu(from_noise, activations)


def test_half_of_the_features_are_neurons_and_later_layers_start_at_zero() -> None:
    model = tiny_model("llama", dtype=torch.float32)
    bases = neuron_bases(model, config_of(model), tiny_token_batches(n_batches=1)("train"))
    activations = torch.randn(2 * model.n_layers, 50, model.d_model)

    parameters = initialise(config_of(model), seed=0, k=10, bases=bases, activations=activations)

    for layer, basis in enumerate(bases):
        gate = model.bridge.blocks[layer].mlp.W_gate.T
        important = basis.importance.topk(20).indices
        wanted = torch.nn.functional.normalize(gate[important], dim=1)
        torch.testing.assert_close(parameters.W_enc[layer][:20], wanted)
        assert not any(bool(tail.any()) for tail in parameters.W_dec[layer][1:])


def test_the_same_seed_gives_the_same_start() -> None:
    config = CLTConfig(model="m", n_layers=2, d_model=4, n_features=5)

    first, again, other = (initialise(config, seed=seed, k=2) for seed in (1, 1, 2))

    assert torch.equal(first.W_enc[1], again.W_enc[1])
    assert not torch.equal(first.W_enc[1], other.W_enc[1])
