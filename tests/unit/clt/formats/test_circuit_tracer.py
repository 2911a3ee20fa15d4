"""circuit-tracer's cross-layer and per-layer transcoders, ours and folders written as circuit-tracer writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import tiny_clt, tiny_prompt
from safetensors.torch import save_file

from workbench.attribution import attribute
from workbench.clt import CLT, load_clt
from workbench.clt.formats import write_circuit_tracer
from workbench.errors import CLTError, FormatError
from workbench.files import read_safetensors, write_safetensors
from workbench.models import LoadedModel

# --- cross-layer ------------------------------------------------------------------------------------------------------


@pytest.fixture
def full_clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, window=model.n_layers)


def test_a_circuit_tracer_folder_comes_back_with_every_layer(
    full_clt: CLT, model: LoadedModel, tmp_path: Path, assert_same_function: Callable[[CLT, CLT], None]
) -> None:
    write_circuit_tracer(full_clt, tmp_path)

    loaded = load_clt(tmp_path, model=model)

    # Known loaders lose the last layer to an off-by-one.
    assert loaded.n_layers == model.n_layers == len(loaded.W_dec)
    assert [decoder.shape[1] for decoder in loaded.W_dec] == [3, 2, 1]
    assert_same_function(full_clt, loaded)
    assert loaded.config == full_clt.config.model_copy(update={"fingerprint": "", "start_token_id": None})


def test_the_files_are_named_and_shaped_as_circuit_tracer_reads_them(full_clt: CLT, tmp_path: Path) -> None:
    write_circuit_tracer(full_clt, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"W_dec_{layer}.safetensors" for layer in range(3)),
        *(f"W_enc_{layer}.safetensors" for layer in range(3)),
        "config.yaml",
    ]
    encoder = read_safetensors(tmp_path / "W_enc_1.safetensors")
    shapes = {name: tuple(tensor.shape) for name, tensor in encoder.items()}
    assert shapes == {"W_enc_1": (12, 16), "b_enc_1": (12,), "b_dec_1": (16,), "threshold_1": (12,)}
    decoder = read_safetensors(tmp_path / "W_dec_1.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in decoder.items()} == {"W_dec_1": (12, 2, 16)}
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8")) == {
        "model_name": "tiny-llama",
        "model_kind": "cross_layer_transcoder",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "hook_mlp_out",
    }


def test_a_narrower_window_is_written_with_zeros(model: LoadedModel, tmp_path: Path) -> None:
    narrow = tiny_clt(model, window=2)
    write_circuit_tracer(narrow, tmp_path)

    loaded = load_clt(tmp_path, model=model)

    x = torch.randn(model.n_layers, 5, model.d_model)
    torch.testing.assert_close(loaded.reconstruct(x), narrow.reconstruct(x))


def test_without_a_threshold_the_activation_is_a_relu(full_clt: CLT, tmp_path: Path) -> None:
    write_circuit_tracer(full_clt, tmp_path)
    for layer in range(3):
        path = tmp_path / f"W_enc_{layer}.safetensors"
        write_safetensors(path, {name: t for name, t in read_safetensors(path).items() if "threshold" not in name})

    loaded = load_clt(tmp_path)

    x = torch.randn(5, 16)
    torch.testing.assert_close(loaded.encode(1, x), loaded.pre_activations(1, x).relu())


@pytest.mark.parametrize("hook", ["hook_resid_mid", "mlp.hook_in", "ln2.hook_normalized"])
def test_hooks_become_templates_over_the_layer(full_clt: CLT, tmp_path: Path, hook: str) -> None:
    write_circuit_tracer(full_clt, tmp_path)
    text = (tmp_path / "config.yaml").read_text(encoding="utf-8").replace("mlp.hook_in", hook)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")

    assert load_clt(tmp_path).config.read_hook == f"blocks.{{layer}}.{hook}"


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("W_dec_2.safetensors", "3 encoder and 2 decoder files"),
        ("W_enc_1.safetensors", r"W_enc_1.safetensors is missing"),
        ("W_dec_0.safetensors", r"W_dec_0.safetensors is missing"),
        ("config.yaml", "is no transcoder"),
    ],
)
def test_a_lost_file_is_an_error(full_clt: CLT, tmp_path: Path, lost: str, message: str) -> None:
    write_circuit_tracer(full_clt, tmp_path)
    (tmp_path / lost).unlink()

    with pytest.raises((FormatError, CLTError), match=message):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "is no mapping"),
        ("model_name: [", "Cannot read .* as YAML"),
        ("model_name: m\n", "has no field 'model_kind'"),
        (
            "{model_name: m, model_kind: crosscoder, feature_input_hook: a, feature_output_hook: b}",
            "describes a 'crosscoder'",
        ),
        (
            "{model_kind: cross_layer_transcoder, feature_input_hook: 3, feature_output_hook: b}",
            "has no field 'feature_input_hook'",
        ),
    ],
)
def test_a_config_yaml_of_something_else_is_an_error(full_clt: CLT, tmp_path: Path, text: str, message: str) -> None:
    write_circuit_tracer(full_clt, tmp_path)
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


def test_what_circuit_tracers_format_cannot_hold_is_refused(clt: CLT, tmp_path: Path) -> None:
    with pytest.raises(CLTError, match="has no skip"):
        write_circuit_tracer(clt, tmp_path)


def write_config(folder: Path, **changes: Any) -> None:
    """Write a config.yaml by hand."""
    fields = {
        "model_name": "tiny-llama",
        "model_kind": "transcoder_set",
        "feature_input_hook": "mlp.hook_in",
        "feature_output_hook": "hook_mlp_out",
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(fields | changes), encoding="utf-8")


def test_a_foreign_cross_layer_folder_in_bfloat16_means_what_it_says(tmp_path: Path) -> None:
    L, F, d = 3, 5, 8
    torch.manual_seed(0)
    W_enc = torch.randn(L, F, d).bfloat16()
    b_enc, b_dec = torch.randn(L, F).bfloat16(), torch.randn(L, d).bfloat16()
    W_dec = [torch.randn(F, L - i, d).bfloat16() for i in range(L)]
    skip = torch.randn(L, d, d).bfloat16()
    threshold = torch.rand(L, F).bfloat16() - 0.3
    for i in range(L):
        encoder = {f"W_enc_{i}": W_enc[i], f"b_enc_{i}": b_enc[i], f"b_dec_{i}": b_dec[i]}
        encoder |= {f"threshold_{i}": threshold[i], f"W_skip_{i}": skip[i]}
        save_file({name: t.clone() for name, t in encoder.items()}, tmp_path / f"W_enc_{i}.safetensors")
        save_file({f"W_dec_{i}": W_dec[i]}, tmp_path / f"W_dec_{i}.safetensors")
    write_config(tmp_path, model_kind="cross_layer_transcoder", feature_input_hook="hook_resid_mid")

    clt = load_clt(tmp_path)

    assert clt.config.read_hook == "blocks.{layer}.hook_resid_mid"
    assert clt.W_enc.dtype == torch.float32
    x = torch.randn(L, 40, d)
    h = torch.einsum("lbd,lfd->lbf", x, W_enc.float()) + b_enc.float()[:, None]
    a = h * (h > threshold.float()[:, None])
    for m in range(L):
        expected = b_dec[m].float() + x[m] @ skip[m].float()
        for i in range(m + 1):
            expected = expected + a[i] @ W_dec[i][:, m - i].float()
        torch.testing.assert_close(clt.encode(m, x[m]), a[m])
        torch.testing.assert_close(clt.reconstruct(x)[m], expected)


def test_a_transcoder_of_the_residual_stream_gives_an_exact_graph(model: LoadedModel, tmp_path: Path) -> None:
    write_circuit_tracer(tiny_clt(model, window=model.n_layers), tmp_path)
    write_config(tmp_path, model_kind="cross_layer_transcoder", feature_input_hook="hook_resid_mid")

    graph = attribute(model, load_clt(tmp_path, model=model), tiny_prompt(length=6), progress=False)

    assert graph.n_features > 0
    assert graph.scores().row_sum_error < 1e-4


# --- per-layer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skip", [False, True])
def test_a_per_layer_transcoder_comes_back_as_it_was(
    model: LoadedModel, tmp_path: Path, skip: bool, assert_same_function: Callable[[CLT, CLT], None]
) -> None:
    plt = tiny_clt(model, window=1, skip=skip)
    write_circuit_tracer(plt, tmp_path)

    loaded = load_clt(tmp_path, model=model)

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.yaml",
        *(f"layer_{layer}.safetensors" for layer in range(3)),
    ]
    assert yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))["model_kind"] == "transcoder_set"
    assert_same_function(plt, loaded)
    assert loaded.config == plt.config.model_copy(update={"fingerprint": "", "start_token_id": None})


def foreign_layers(folder: Path, *, L: int = 3, F: int = 5, d: int = 8) -> list[dict[str, torch.Tensor]]:
    """Write layer files with raw safetensors: the last without a threshold, the first without a skip."""
    torch.manual_seed(1)
    layers = []
    for i in range(L):
        tensors = {
            "W_enc": torch.randn(F, d),
            "W_dec": torch.randn(F, d),
            "b_enc": torch.randn(F),
            "b_dec": torch.randn(d),
        }
        if i < L - 1:
            tensors["activation_function.threshold"] = torch.rand(F)
        if i > 0:
            tensors["W_skip"] = torch.randn(d, d)
        save_file(tensors, folder / f"layer_{i}.safetensors")
        layers.append(tensors)
    write_config(folder)
    return layers


def test_a_foreign_per_layer_folder_means_what_it_says(tmp_path: Path) -> None:
    layers = foreign_layers(tmp_path)

    clt = load_clt(tmp_path)

    assert clt.config.window == 1
    x = torch.randn(3, 40, 8)
    for i, layer in enumerate(layers):
        h = x[i] @ layer["W_enc"].T + layer["b_enc"]
        a = h * (h > layer["activation_function.threshold"]) if i < 2 else h.relu()
        skip = x[i] @ layer["W_skip"].T if i > 0 else 0
        torch.testing.assert_close(clt.encode(i, x[i]), a)
        torch.testing.assert_close(clt.reconstruct(x)[i], a @ layer["W_dec"] + layer["b_dec"] + skip)


def test_a_config_that_says_relu_overrules_stored_thresholds(tmp_path: Path) -> None:
    foreign_layers(tmp_path)
    write_config(tmp_path, activation="relu")

    assert not load_clt(tmp_path).threshold.any()


def test_more_than_nine_layers_are_read_in_their_order(tmp_path: Path) -> None:
    layers = foreign_layers(tmp_path, L=12)

    loaded = load_clt(tmp_path)

    assert loaded.n_layers == 12
    assert torch.equal(loaded.W_enc, torch.stack([layer["W_enc"] for layer in layers]))


def test_a_top_k_activation_is_refused(tmp_path: Path) -> None:
    foreign_layers(tmp_path)
    write_config(tmp_path, activation="topk", k=64)

    with pytest.raises(CLTError, match="use the activation 'topk': only ReLU and JumpReLU"):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("W_enc", torch.randn(6, 8), r"layer_1.safetensors has 6 features × 8, but .*layer_0.safetensors has 5 × 8"),
        ("W_enc", torch.randn(5), r"'W_enc' in .*layer_1.safetensors has shape \[5\] instead of \[any, any\]"),
        ("W_dec", torch.randn(5, 9), r"'W_dec' in .* has shape \[5, 9\] instead of \[5, 8\]"),
        ("b_enc", torch.full((5,), float("nan")), r"'b_enc' in .*layer_1.safetensors holds a NaN"),
        ("b_dec", torch.ones(8, dtype=torch.int32), r"'b_dec' in .* is of type torch.int32: floats are needed"),
        ("b_dec", None, r"'b_dec' is missing from .*layer_1.safetensors"),
        ("log_thresholds", torch.ones(5), r"layer_1.safetensors holds an unknown tensor 'log_thresholds'"),
    ],
)
def test_a_damaged_layer_is_an_error(tmp_path: Path, name: str, value: torch.Tensor | None, message: str) -> None:
    layer = foreign_layers(tmp_path)[1] | ({} if value is None else {name: value})
    if value is None:
        del layer[name]
    save_file(layer, tmp_path / "layer_1.safetensors")

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


def test_a_config_of_files_elsewhere_is_refused(tmp_path: Path) -> None:
    write_config(tmp_path, transcoders=["hf://someone/transcoders/layer_0.safetensors"])

    with pytest.raises(CLTError, match=r"only names files elsewhere \(hf://someone/transcoders/layer_0.safetensors"):
        load_clt(tmp_path)


def test_a_hook_that_is_used_for_two_points_is_refused(tmp_path: Path) -> None:
    foreign_layers(tmp_path)
    write_config(tmp_path, feature_input_hook="hook_mlp_in", feature_output_hook="blocks.{layer}.hook_mlp_out")

    with pytest.raises(CLTError, match=r"config.yaml names the hook 'hook_mlp_in', by which some .*: write"):
        load_clt(tmp_path)


def test_a_truncated_layer_is_an_error(tmp_path: Path) -> None:
    foreign_layers(tmp_path)
    path = tmp_path / "layer_2.safetensors"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(FormatError, match=r"Cannot read .*layer_2.safetensors as safetensors"):
        load_clt(tmp_path)


def test_a_missing_layer_is_an_error(tmp_path: Path) -> None:
    foreign_layers(tmp_path)
    (tmp_path / "layer_1.safetensors").unlink()

    with pytest.raises(FormatError, match=r"layer_1.safetensors is missing"):
        load_clt(tmp_path)


def test_hooks_outside_a_block_cannot_be_written(model: LoadedModel, tmp_path: Path) -> None:
    plt = tiny_clt(model, window=1)
    plt.config.__dict__["read_hook"] = "ln_final.hook_out"

    with pytest.raises(CLTError, match=r"cannot express the hook 'ln_final.hook_out'"):
        write_circuit_tracer(plt, tmp_path)
