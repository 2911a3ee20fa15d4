from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.clt import CLTConfig
from workbench.clt.activations.store import ActivationStore
from workbench.clt.training.calibrate import measure, thresholds
from workbench.clt.training.parameters import Form, Normalisation, Parameters

N_LAYERS, N_FEATURES, D_MODEL, N_TOKENS = 2, 30, 6, 1_500


@pytest.fixture
def store(tmp_path: Path) -> ActivationStore:
    """Activations of which the writes are a known function of the reads."""
    store = ActivationStore.create(tmp_path, capacity=N_TOKENS, n_layers=N_LAYERS, d_model=D_MODEL, storage="bfloat16")
    reads = torch.randn(N_LAYERS, N_TOKENS, D_MODEL, generator=torch.Generator().manual_seed(0))
    store.write(0, torch.cat([reads, reads.clamp_min(0) + 3]))
    return store


def relu_parameters(form: Form = Form()) -> Parameters:
    """The first features are the positive parts of the coordinates, the others are noise that is not written."""
    config = CLTConfig(model="m", n_layers=N_LAYERS, d_model=D_MODEL, n_features=N_FEATURES)
    parameters = Parameters.zeros(config, form)
    generator = torch.Generator().manual_seed(1)
    for layer in range(N_LAYERS):
        parameters.W_enc[layer].copy_(0.1 * torch.randn(N_FEATURES, D_MODEL, generator=generator))
        parameters.W_enc[layer][:D_MODEL] = torch.eye(D_MODEL)
        parameters.W_dec[layer][0][:D_MODEL] = torch.eye(D_MODEL)
        parameters.b_dec[layer].fill_(3)
    return parameters


NEUTRAL = Normalisation(mean=torch.zeros(2 * N_LAYERS, D_MODEL), scale=torch.ones(2 * N_LAYERS))


@pytest.mark.parametrize("k", [1, 4])
def test_thresholds_give_the_wanted_number_of_active_features(store: ActivationStore, k: int) -> None:
    parameters = relu_parameters()

    clt = parameters.fold(NEUTRAL, thresholds(parameters, NEUTRAL, store, k=k))

    torch.testing.assert_close(measure(clt, store).l0, torch.full((N_LAYERS,), float(k)), atol=0.02, rtol=0)


@pytest.mark.parametrize("k", [1, 4])
def test_learned_thresholds_give_the_wanted_number_too_and_keep_their_ratios(store: ActivationStore, k: int) -> None:
    parameters = relu_parameters(Form(thresholds=True))
    for learned in parameters.log_threshold:
        learned.copy_(torch.linspace(-1, 1, N_FEATURES))

    found = thresholds(parameters, NEUTRAL, store, k=k)

    ratio = found / torch.stack(parameters.log_threshold).exp()
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    l0 = measure(parameters.fold(NEUTRAL, found), store).l0
    torch.testing.assert_close(l0, torch.full((N_LAYERS,), float(k)), atol=0.02, rtol=0)


def test_thresholds_are_never_negative(store: ActivationStore) -> None:
    assert (thresholds(relu_parameters(), NEUTRAL, store, k=N_FEATURES) == 0).all()


def test_a_perfect_transcoder_leaves_no_variance_unexplained(store: ActivationStore) -> None:
    clt = relu_parameters().fold(NEUTRAL, torch.zeros(N_LAYERS, N_FEATURES))

    score = measure(clt, store)

    torch.testing.assert_close(score.fvu, torch.zeros(N_LAYERS), atol=1e-4, rtol=0)
    assert (score.dead == 0).all()


def test_a_transcoder_that_says_nothing_leaves_all_of_it_and_is_dead(store: ActivationStore) -> None:
    parameters = relu_parameters()
    mean = store.read(torch.arange(N_TOKENS))[N_LAYERS:].mean(1)
    for layer in range(N_LAYERS):
        parameters.b_dec[layer].copy_(mean[layer])

    score = measure(parameters.fold(NEUTRAL, torch.full((N_LAYERS, N_FEATURES), 1e9)), store)

    torch.testing.assert_close(score.fvu, torch.ones(N_LAYERS), atol=1e-3, rtol=0)
    assert (score.dead == 1).all()
