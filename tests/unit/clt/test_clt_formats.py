from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import yaml
from helpers import tiny_clt, tiny_model

from workbench.clt import CLT, load_clt, save_clt
from workbench.clt.formats import write_circuit_tracer
from workbench.errors import CLTError, FormatError, ResourceError
from workbench.files import read_json, read_safetensors, write_json, write_safetensors
from workbench.models import LoadedModel


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("llama", dtype=torch.float32)


@pytest.fixture
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, window=2, skip=True)


def tensors(clt: CLT) -> dict[str, torch.Tensor]:
    named = {"W_enc": clt.W_enc, "b_enc": clt.b_enc, "threshold": clt.threshold, "b_dec": clt.b_dec}
    named |= {f"W_dec.{layer}": decoder for layer, decoder in enumerate(clt.W_dec)}
    return named if clt.W_skip is None else named | {"W_skip": clt.W_skip}


# --- our own format ---------------------------------------------------------------------------------------------------


def test_a_transcoder_comes_back_as_it_was(clt: CLT, model: LoadedModel, tmp_path: Path) -> None:
    save_clt(clt, tmp_path)

    loaded = load_clt(tmp_path, model=model)

    assert loaded.config == clt.config
    for name, tensor in tensors(clt).items():
        assert torch.equal(tensors(loaded)[name], tensor), name


def test_int8_rows_err_by_at_most_half_a_step_of_their_own_scale(clt: CLT, tmp_path: Path) -> None:
    uneven = replace(clt, W_enc=clt.W_enc * 10 ** torch.linspace(-3, 3, clt.n_features)[:, None])
    save_clt(uneven, tmp_path, int8=True)

    loaded = load_clt(tmp_path)

    for name, tensor in tensors(uneven).items():
        error = (tensors(loaded)[name] - tensor).abs()
        if name.startswith("W"):
            assert (error <= tensor.abs().amax(-1, keepdim=True) / 127 / 2 * 1.001).all(), name
        else:
            assert not error.any(), name


def test_int8_takes_about_a_quarter_of_the_bytes(model: LoadedModel, tmp_path: Path) -> None:
    clt = tiny_clt(model, n_features=400)
    save_clt(clt, tmp_path / "float")
    save_clt(clt, tmp_path / "int8", int8=True)

    large, small = ((tmp_path / name / "weights.safetensors").stat().st_size for name in ("float", "int8"))

    # d_model is 16 here, so that a scale a row weighs a quarter of the row.
    assert small < 0.4 * large
    assert read_safetensors(tmp_path / "int8" / "weights.safetensors")["W_enc"].dtype == torch.int8


@pytest.mark.parametrize("name", ["weights.safetensors", "config.json"])
def test_a_truncated_file_is_an_error(clt: CLT, tmp_path: Path, name: str) -> None:
    save_clt(clt, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-10])

    with pytest.raises(FormatError, match=f"Cannot read .*{name}"):
        load_clt(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("int8", [False, True])
def test_numbers_that_are_not_finite_are_an_error(clt: CLT, tmp_path: Path, value: float, int8: bool) -> None:
    b_dec = clt.b_dec.clone()
    b_dec[1, 3] = value
    save_clt(replace(clt, b_dec=b_dec), tmp_path, int8=int8)

    with pytest.raises(FormatError, match=r"'b_dec' in .* holds a NaN or an infinity"):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_features": 13}, r"'W_enc' .* has shape \(3, 12, 16\), its config says \(3, 13, 16\)"),
        ({"window": 3}, r"'W_dec.0' .* has shape \(12, 2, 16\), its config says \(12, 3, 16\)"),
        ({"skip": False}, r"unknown tensor 'W_skip'"),
        ({"widnow": 3}, r"config.json is not usable: widnow: Extra inputs"),
        ({"n_layers": "three"}, r"config.json is not usable: n_layers"),
    ],
)
def test_a_config_that_does_not_fit_the_weights_is_an_error(
    clt: CLT, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    save_clt(clt, tmp_path)
    write_json(tmp_path / "config.json", read_json(tmp_path / "config.json") | change)

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("b_enc", r"'b_enc' is missing"),
        ("W_dec.2", r"'W_dec.2' is missing"),
        ("W_enc.scale", r"'W_enc' .* lacks scales"),
    ],
)
def test_a_missing_tensor_is_an_error(clt: CLT, tmp_path: Path, missing: str, message: str) -> None:
    save_clt(clt, tmp_path, int8=True)
    path = tmp_path / "weights.safetensors"
    write_safetensors(path, {name: tensor for name, tensor in read_safetensors(path).items() if name != missing})

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


def test_a_full_disk_leaves_no_half_transcoder(clt: CLT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: Any, path: Any, metadata: Any = None) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(safetensors.torch, "save_file", full)

    with pytest.raises(ResourceError, match="The disk is full"):
        save_clt(clt, tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- belonging to a model ---------------------------------------------------------------------------------------------


def test_the_transcoder_of_another_model_is_an_error(clt: CLT, tmp_path: Path) -> None:
    save_clt(clt, tmp_path)
    twin = tiny_model("llama", dtype=torch.float32, seed=1)

    with pytest.raises(CLTError, match=r"was trained on another model .* than 'tiny-llama'"):
        load_clt(tmp_path, model=twin)


def test_the_transcoder_of_a_model_of_another_size_is_an_error(clt: CLT, tmp_path: Path) -> None:
    save_clt(clt, tmp_path)
    smaller = tiny_model("llama", num_hidden_layers=2)

    with pytest.raises(CLTError, match=r"is of 'tiny-llama' \(3 layers × 16\), but 'tiny-llama' has 2 layers × 16"):
        load_clt(tmp_path, model=smaller)


def test_a_hook_that_the_model_lacks_is_an_error(clt: CLT, model: LoadedModel, tmp_path: Path) -> None:
    odd = clt.config.model_copy(update={"read_hook": "blocks.{layer}.hook_nowhere"})
    save_clt(replace(clt, config=odd), tmp_path)

    with pytest.raises(
        CLTError, match=r"uses the hook 'blocks.\{layer\}.hook_nowhere', which 'tiny-llama' does not have"
    ):
        load_clt(tmp_path, model=model)


def test_a_folder_without_a_transcoder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CLTError, match=r"is no transcoder: it holds neither config.json nor config.yaml"):
        load_clt(tmp_path)


# --- circuit-tracer ---------------------------------------------------------------------------------------------------


@pytest.fixture
def full_clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, window=model.n_layers)


def test_a_circuit_tracer_folder_comes_back_with_every_layer(full_clt: CLT, model: LoadedModel, tmp_path: Path) -> None:
    write_circuit_tracer(full_clt, tmp_path)

    loaded = load_clt(tmp_path, model=model)

    # Known loaders lose the last layer to an off-by-one.
    assert loaded.n_layers == model.n_layers == len(loaded.W_dec)
    assert [decoder.shape[1] for decoder in loaded.W_dec] == [3, 2, 1]
    for name, tensor in tensors(full_clt).items():
        assert torch.equal(tensors(loaded)[name], tensor), name
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
            "{model_name: m, model_kind: transcoder_set, feature_input_hook: a, feature_output_hook: b}",
            "describes a 'transcoder_set'",
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
