from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError
from workbench.evaluation.replacement import run_replacement
from workbench.models import LoadedModel, capture_reads_and_writes, run_decoder


def rows(n: int = 2, length: int = 9) -> torch.Tensor:
    return torch.stack([tiny_tokens(length=length, seed=seed) for seed in range(n)])


def slow_replacement(model: LoadedModel, clt: CLT, tokens: torch.Tensor, layers: list[int]) -> torch.Tensor:
    """The replacement model one layer at a time: each MLP output is worked out from a run whose lower layers are done.

    It shares no state between layers: for each layer the model runs again, with every MLP output below
    already put in place, and the transcoder is evaluated on all that this run reads.
    """
    outputs: dict[int, torch.Tensor] = {}

    def put(layer: int):
        def hook(y: torch.Tensor, hook: object) -> torch.Tensor:
            y = y.clone()
            y[:, 1:] = outputs[layer][:, 1:]
            return y

        return hook

    def hooks():
        return [(f"blocks.{layer}.hook_mlp_out", put(layer)) for layer in outputs]

    for layer in layers:
        with model.bridge.hooks(fwd_hooks=hooks()):
            reads, _ = capture_reads_and_writes(model, tokens)
        outputs[layer] = clt.reconstruct(reads)[layer]
    return run_decoder(model, tokens, hooks())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("window", "skip"), [(1, False), (2, False), (3, True)])
def test_it_equals_a_slow_layer_by_layer_reference(architecture: Architecture, window: int, skip: bool) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=window, skip=skip)

    fast = run_replacement(model, clt, rows())

    torch.testing.assert_close(fast, slow_replacement(model, clt, rows(), [0, 1, 2]), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(fast, run_decoder(model, rows(), []), atol=1e-2)


@pytest.mark.parametrize("layers", [[1], [0, 2]])
def test_only_the_chosen_layers_are_replaced(layers: list[int]) -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model, window=2)

    fast = run_replacement(model, clt, rows(), layers=layers)

    torch.testing.assert_close(fast, slow_replacement(model, clt, rows(), layers), atol=1e-9, rtol=1e-9)


def test_replacing_no_layer_leaves_the_model() -> None:
    model = tiny_model("gemma3")

    assert torch.equal(run_replacement(model, tiny_clt(model), rows(), layers=[]), run_decoder(model, rows(), []))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_with_the_errors_of_the_clean_run_it_equals_the_model(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=3)
    reads, writes = capture_reads_and_writes(model, rows())

    rebuilt = run_replacement(model, clt, rows(), errors=writes - clt.reconstruct(reads))

    torch.testing.assert_close(rebuilt, run_decoder(model, rows(), []), atol=1e-9, rtol=1e-9)


def test_a_transcoder_that_computes_the_mlp_changes_nothing() -> None:
    # A ReLU MLP without gate is a transcoder with one feature a neuron: a W = 1 replacement that is the model itself.
    model = tiny_model("gpt2", activation_function="relu")
    mlps = [block.mlp for block in model.bridge.original_model.base_model.h]
    clt = tiny_clt(model, n_features=32, window=1)
    neurons = replace(
        clt,
        W_enc=torch.stack([mlp.c_fc.weight.T for mlp in mlps]),
        b_enc=torch.stack([mlp.c_fc.bias for mlp in mlps]),
        threshold=torch.zeros_like(clt.threshold),
        W_dec=tuple(mlp.c_proj.weight[:, None] for mlp in mlps),
        b_dec=torch.stack([mlp.c_proj.bias for mlp in mlps]),
    )

    torch.testing.assert_close(
        run_replacement(model, neurons, rows()), run_decoder(model, rows(), []), atol=1e-9, rtol=1e-9
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_start_token_is_exact(architecture: Architecture) -> None:
    model = tiny_model(architecture)

    final = run_replacement(model, tiny_clt(model), rows())

    torch.testing.assert_close(final[:, 0], run_decoder(model, rows(), [])[:, 0], atol=1e-12, rtol=1e-12)


def test_a_clt_of_another_model_is_refused() -> None:
    stranger = tiny_clt(tiny_model("llama", seed=1))

    with pytest.raises(CLTError, match=r"was trained on 'tiny-llama'.*choose the CLT of this model"):
        run_replacement(tiny_model("llama"), stranger, rows())


def test_a_clt_of_unknown_origin_must_at_least_have_the_shape() -> None:
    clt = tiny_clt(tiny_model("llama", num_hidden_layers=2))
    anonymous = replace(clt, config=clt.config.model_copy(update={"fingerprint": ""}))

    with pytest.raises(CLTError, match="has 2 layers of width 16, but 'tiny-llama' has 3"):
        run_replacement(tiny_model("llama"), anonymous, rows())


def test_a_layer_out_of_range_is_refused() -> None:
    model = tiny_model("llama")

    with pytest.raises(ConfigError, match="Layer 3 is out of range: 'tiny-llama' has layers 0 to 2"):
        run_replacement(model, tiny_clt(model), rows(), layers=[3])
