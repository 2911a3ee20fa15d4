from __future__ import annotations

import pytest
import torch

from workbench.clt import CLT, CLTConfig
from workbench.clt.training.parameters import Form, Normalisation, Parameters

N_LAYERS, N_FEATURES, D_MODEL, N_TOKENS = 3, 7, 5, 40


def random_parameters(*, window: int, skip: bool, form: Form = Form()) -> Parameters:
    config = CLTConfig(model="m", n_layers=N_LAYERS, d_model=D_MODEL, n_features=N_FEATURES, window=window, skip=skip)
    parameters = Parameters.zeros(config, form)
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


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, True), (3, True)])
def test_a_folded_transcoder_does_to_raw_activations_what_the_parameters_do_to_normalised_ones(
    window: int, skip: bool, tied: bool
) -> None:
    parameters, raw = random_parameters(window=window, skip=skip, form=Form(tied=tied)), random_activations()
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


def test_tied_decoders_have_one_row_a_feature_and_a_number_for_each_layer_that_it_writes_to() -> None:
    tied, untied = (random_parameters(window=3, skip=False, form=Form(tied=flag)) for flag in (True, False))

    saved = sum(tensor.numel() for tensor in untied.tensors()) - sum(tensor.numel() for tensor in tied.tensors())

    # Layers 0, 1, 2 write to 3, 2, 1 layers: six tables become three and six columns of numbers.
    assert saved == 3 * N_FEATURES * D_MODEL - 6 * N_FEATURES
    assert tied.form == Form(tied=True)
    torch.testing.assert_close(tied.decoder(0, 2), tied.decoder_scale[0][2][:, None] * tied.W_dec[0][0])


@pytest.mark.parametrize("tied", [False, True])
def test_the_norm_of_a_decoder_is_over_everything_that_the_feature_writes(tied: bool) -> None:
    parameters = random_parameters(window=3, skip=False, form=Form(tied=tied))

    everything = torch.cat([parameters.decoder(0, j) for j in range(3)], dim=1)

    torch.testing.assert_close(parameters.decoder_norm(0), everything.norm(dim=1))


def test_tied_decoders_and_learned_thresholds_come_back_from_an_export() -> None:
    form = Form(tied=True, thresholds=True)
    parameters = random_parameters(window=2, skip=True, form=form)
    normalisation = Normalisation.of(random_activations())
    clt = parameters.fold(normalisation, torch.stack(parameters.log_threshold).exp())

    again = Parameters.unfold(clt, clt.config, normalisation, form)

    for layer in range(N_LAYERS):
        torch.testing.assert_close(again.log_threshold[layer], parameters.log_threshold[layer])
        torch.testing.assert_close(again.decoder_scale[layer][0], torch.ones(N_FEATURES))
        for j in range(len(clt.config.targets(layer))):
            torch.testing.assert_close(again.decoder(layer, j), parameters.decoder(layer, j))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, True), (3, True)])
def test_every_number_is_counted(window: int, skip: bool, tied: bool) -> None:
    parameters = random_parameters(window=window, skip=skip, form=Form(tied=tied, thresholds=True))

    counted = parameters.config.count_parameters(tied=tied)

    assert counted == sum(tensor.numel() for tensor in parameters.tensors())
    if not tied:
        clt = as_clt(parameters, torch.zeros(N_LAYERS, N_FEATURES))
        assert parameters.config.n_parameters == counted
        whole = [clt.W_enc, clt.b_enc, clt.threshold, *clt.W_dec, clt.b_dec]
        assert counted == sum(tensor.numel() for tensor in (whole if clt.W_skip is None else [*whole, clt.W_skip]))
