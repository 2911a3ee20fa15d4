from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import tiny_clt

from workbench.clt import CLT, load_clt, save_clt
from workbench.errors import FormatError, ResourceError
from workbench.files import read_json, read_safetensors, write_json, write_safetensors
from workbench.models import LoadedModel


def tensors(clt: CLT) -> dict[str, torch.Tensor]:
    named = {"W_enc": clt.W_enc, "b_enc": clt.b_enc, "threshold": clt.threshold, "b_dec": clt.b_dec}
    named |= {f"W_dec.{layer}": decoder for layer, decoder in enumerate(clt.W_dec)}
    return named if clt.W_skip is None else named | {"W_skip": clt.W_skip}


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
