from __future__ import annotations

import pytest
import torch

from workbench.clt import CLT, CLTConfig
from workbench.clt.training.parameters import Normalisation, Parameters

N_LAYERS, N_FEATURES, D_MODEL, N_TOKENS = 3, 7, 5, 40


def random_parameters(*, window: int, skip: bool) -> Parameters:
    config = CLTConfig(model="m", n_layers=N_LAYERS, d_model=D_MODEL, n_features=N_FEATURES, window=window, skip=skip)
    parameters = Parameters.zeros(config)
    generator = torch.Generator().manual_seed(window)
    for tensor in parameters.tensors():
        tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return parameters


def random_activations() -> torch.Tensor:
    """Sites of very different means and sizes, as in a model."""
    generator = torch.Generator().manual_seed(0)
    size = 10 ** torch.linspace(-2, 2, 2 * N_LAYERS)[:, None, None]
    return size * (torch.randn(2 * N_LAYERS, N_TOKENS, D_MODEL, generator=generator) + 2)


def as_clt(parameters: Parameters, threshold: torch.Tensor) -> CLT:
    """The parameters taken literally, without normalisation."""
    neutral = Normalisation(mean=torch.zeros(2 * N_LAYERS, D_MODEL), scale=torch.ones(2 * N_LAYERS))
    return parameters.fold(neutral, threshold)


def test_normalised_sites_have_zero_mean_and_unit_mean_square() -> None:
    activations = random_activations()

    normalised = Normalisation.of(activations).apply_(activations)

    torch.testing.assert_close(normalised.mean(1), torch.zeros(2 * N_LAYERS, D_MODEL), atol=1e-5, rtol=0)
    torch.testing.assert_close(normalised.pow(2).mean((1, 2)), torch.ones(2 * N_LAYERS))


@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, True), (3, True)])
def test_a_folded_transcoder_does_to_raw_activations_what_the_parameters_do_to_normalised_ones(
    window: int, skip: bool
) -> None:
    parameters, raw = random_parameters(window=window, skip=skip), random_activations()
    normalisation = Normalisation.of(raw)
    threshold = torch.full((N_LAYERS, N_FEATURES), 0.5)
    x, y_scale, y_mean = raw[:N_LAYERS], normalisation.scale[N_LAYERS:], normalisation.mean[N_LAYERS:]

    folded = parameters.fold(normalisation, threshold)
    literal = as_clt(parameters, threshold)
    normalised = normalisation.apply_(raw.clone())[:N_LAYERS]

    for layer in range(N_LAYERS):
        torch.testing.assert_close(
            folded.encode(layer, x[layer]), literal.encode(layer, normalised[layer]), rtol=1e-3, atol=1e-3
        )
    wanted = literal.reconstruct(normalised) * y_scale[:, None, None] + y_mean[:, None]
    torch.testing.assert_close(folded.reconstruct(x), wanted, rtol=1e-3, atol=1e-3)


def test_a_per_layer_transcoder_starts_a_wider_one_with_zero_tails() -> None:
    narrow, normalisation = random_parameters(window=1, skip=False), Normalisation.of(random_activations())
    clt = narrow.fold(normalisation, torch.zeros(N_LAYERS, N_FEATURES))
    wide = clt.config.model_copy(update={"window": 3})

    started = Parameters.unfold(clt, wide, normalisation)

    for layer in range(N_LAYERS):
        torch.testing.assert_close(started.W_enc[layer], narrow.W_enc[layer])
        torch.testing.assert_close(started.b_enc[layer], narrow.b_enc[layer], rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(started.W_dec[layer][0], narrow.W_dec[layer][0])
        torch.testing.assert_close(started.b_dec[layer], narrow.b_dec[layer], rtol=1e-3, atol=1e-3)
        assert not any(bool(tail.any()) for tail in started.W_dec[layer][1:])
