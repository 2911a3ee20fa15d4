"""Gemma Scope 2 transcoders, ours and folders written as that release is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_clt, tiny_prompt
from safetensors.torch import load_file, save_file

from workbench.attribution import attribute
from workbench.clt import CLT, load_clt, save_clt
from workbench.errors import CLTError, FormatError
from workbench.models import LoadedModel

L, F, D = 3, 6, 16


def write_config(folder: Path, layer: str, **changes: Any) -> None:
    fields = {
        "hf_hook_point_in": f"model.layers.{layer}.pre_feedforward_layernorm.output",
        "hf_hook_point_out": f"model.layers.{layer}.post_feedforward_layernorm.output",
        "width": F * L,
        "model_name": "google/gemma-3-tiny",
        "architecture": "jump_relu",
        "l0": 3,
        "affine_connection": True,
        "type": "clt",
    }
    (folder / "config.json").write_text(json.dumps(fields | changes), encoding="utf-8")


def foreign_clt(folder: Path) -> list[dict[str, torch.Tensor]]:
    """Write a cross-layer transcoder of 3 layers with raw safetensors; return its layers."""
    generator = torch.Generator().manual_seed(0)
    layers = []
    for i in range(L):
        w_dec = torch.randn(F, L, D, generator=generator)
        w_dec[:, :i] = 0
        tensors = {
            "w_enc": torch.randn(D, F, generator=generator),
            "b_enc": torch.randn(F, generator=generator),
            "threshold": torch.randn(F, generator=generator),
            "w_dec": w_dec,
            "b_dec": torch.randn(D, generator=generator),
            "affine_skip_connection": torch.randn(D, D, generator=generator),
        }
        save_file(tensors, folder / f"params_layer_{i}.safetensors")
        layers.append(tensors)
    write_config(folder, "{all}")
    return layers


def test_a_foreign_folder_means_what_it_says_with_all_its_layers(tmp_path: Path) -> None:
    layers = foreign_clt(tmp_path)

    clt = load_clt(tmp_path)

    # A known loader counts to the highest layer, exclusive, and so drops the last.
    assert clt.n_layers == len(clt.W_dec) == L
    assert [decoder.shape[1] for decoder in clt.W_dec] == [3, 2, 1]
    assert clt.config.model == "google/gemma-3-tiny"
    assert clt.config.read_hook == "blocks.{layer}.mlp.hook_in"
    assert clt.config.write_hook == "blocks.{layer}.hook_mlp_out"
    # As the release's own decoder does it: over all pairs of layers, because the lower ones hold zeros.
    w = {name: torch.stack([layer[name] for layer in layers]) for name in layers[0]}
    x = torch.randn(L, 40, D)
    h = torch.einsum("lbd,ldf->lbf", x, w["w_enc"]) + w["b_enc"][:, None]
    a = h.relu() * (h > w["threshold"][:, None])
    out = torch.einsum("ibf,ifod->obd", a, w["w_dec"]) + w["b_dec"][:, None] + x @ w["affine_skip_connection"]
    for i in range(L):
        torch.testing.assert_close(clt.encode(i, x[i]), a[i])
    torch.testing.assert_close(clt.reconstruct(x), out)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_a_transcoder_comes_back_as_it_was(
    gemma: LoadedModel, tmp_path: Path, window: int, skip: bool, assert_same_function: Callable[[CLT, CLT], None]
) -> None:
    clt = tiny_clt(gemma, window=window, skip=skip)
    save_clt(clt, tmp_path, format="gemma-scope")

    loaded = load_clt(tmp_path, model=gemma)

    assert_same_function(clt, loaded)
    changes = {"fingerprint": "", "start_token_id": None, "window": 3}
    assert loaded.config == clt.config.model_copy(update=changes)
    assert load_file(tmp_path / "params_layer_2.safetensors")["w_dec"].shape == (12, 3, 16)


def test_a_graph_of_gemma_is_exact_with_it(gemma: LoadedModel, tmp_path: Path) -> None:
    save_clt(tiny_clt(gemma, window=3, skip=True), tmp_path, format="gemma-scope")

    graph = attribute(gemma, load_clt(tmp_path, model=gemma), tiny_prompt(length=6), progress=False)

    assert graph.n_features > 0
    assert graph.scores().row_sum_error < 1e-4


def test_a_folder_of_per_layer_transcoders_is_read_as_one(tmp_path: Path) -> None:
    layers = foreign_clt(tmp_path)
    plt = tmp_path / "plt"
    # The folders' names do not tell the order: layer 0 comes last here.
    for i, tensors in enumerate(layers):
        folder = plt / f"width_16k_{'zyx'[i]}"
        folder.mkdir(parents=True)
        tensors["w_dec"] = tensors["w_dec"][:, i].contiguous()
        save_file(tensors, folder / "params.safetensors")
        write_config(folder, str(i), type="transcoder", width=F)

    clt = load_clt(plt)

    assert (clt.n_layers, clt.config.window) == (L, 1)
    x = torch.randn(L, 40, D)
    for i, w in enumerate(layers):
        h = x[i] @ w["w_enc"] + w["b_enc"]
        a = h.relu() * (h > w["threshold"])
        torch.testing.assert_close(
            clt.reconstruct(x)[i], a @ w["w_dec"] + w["b_dec"] + x[i] @ w["affine_skip_connection"]
        )

    with pytest.raises(FormatError, match="has no transcoder of layer 0"):
        load_clt(plt / "width_16k_y")


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_lost_layer_is_an_error_the_last_one_too(tmp_path: Path, lost: int) -> None:
    foreign_clt(tmp_path)
    (tmp_path / f"params_layer_{lost}.safetensors").unlink()

    message = r"params_layer_0.safetensors writes to 3 layers, but .* holds 2" if lost == 2 else "is missing"
    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"hf_hook_point_in": None}, FormatError, "has no field 'hf_hook_point_in'"),
        ({"hf_hook_point_in": "model.layers.{all}.output"}, CLTError, "neither the input nor the output of an MLP"),
        ({"hf_hook_point_out": "model.layers.{all}.mlp.output"}, CLTError, "neither the input nor the output"),
        ({"type": "crosscoder"}, CLTError, "describes a 'crosscoder': only transcoders"),
        ({"architecture": "topk"}, CLTError, "names the architecture 'topk'"),
        ({"affine_connection": False}, FormatError, "says affine_connection: False, but the weights have"),
    ],
)
def test_an_unsuitable_config_is_an_error(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    foreign_clt(tmp_path)
    write_config(tmp_path, "{all}", **changes)

    with pytest.raises(error, match=message):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("w_enc", torch.randn(D, F + 1), r"has shape \[6, 3, 16\] instead of \[7, any, 16\]"),
        ("threshold", torch.randn(F + 1), r"'threshold' in .* has shape \[7\] instead of \[6\]"),
        ("b_dec", torch.full((D,), float("inf")), r"'b_dec' in .* holds a NaN or an infinity"),
        ("w_dec", torch.full((F, L, D), float("nan")), r"'w_dec' in .* holds a NaN"),
        ("extra", torch.randn(1), r"unknown tensor 'extra'"),
    ],
)
def test_a_damaged_layer_is_an_error(tmp_path: Path, name: str, value: torch.Tensor, message: str) -> None:
    tensors = foreign_clt(tmp_path)[1] | {name: value}
    save_file(tensors, tmp_path / "params_layer_1.safetensors")

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


def test_decoders_that_count_from_their_own_layer_are_refused(tmp_path: Path) -> None:
    for i, tensors in enumerate(foreign_clt(tmp_path)):
        tensors["w_dec"] = tensors["w_dec"].roll(-i, dims=1).contiguous()
        save_file(tensors, tmp_path / f"params_layer_{i}.safetensors")

    with pytest.raises(FormatError, match="count layers from 1, not from 0"):
        load_clt(tmp_path)


def test_what_gemma_scope_cannot_hold_is_refused(gemma: LoadedModel, tmp_path: Path) -> None:
    clt = tiny_clt(gemma)
    with pytest.raises(CLTError, match="no thresholds below zero"):
        save_clt(replace(clt, threshold=clt.threshold - 10), tmp_path, format="gemma-scope")
    odd = clt.config.model_copy(update={"read_hook": "blocks.{layer}.ln2.hook_normalized"})
    with pytest.raises(CLTError, match="has no name for the hook"):
        save_clt(replace(clt, config=odd), tmp_path, format="gemma-scope")
    assert not any(tmp_path.iterdir())
