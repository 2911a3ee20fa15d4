"""SAELens 6 transcoders, ours and folders written as SAELens writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_clt, tiny_model
from safetensors.torch import save_file

from workbench.clt import CLT, load_clt, save_clt
from workbench.errors import CLTError, FormatError
from workbench.files import read_json, read_safetensors, write_json
from workbench.models import LoadedModel

L, F, D = 2, 5, 8


def foreign_layer(folder: Path, layer: int, architecture: str, **changes: Any) -> dict[str, torch.Tensor]:
    """Write one transcoder with raw safetensors and JSON; return its tensors.

    Args:
        changes: fields of cfg.json; ``metadata`` is merged.
    """
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(layer)
    tensors = {
        "W_enc": torch.randn(D, F, generator=generator),
        "W_dec": torch.randn(F, D, generator=generator),
        "b_enc": torch.randn(F, generator=generator),
        "b_dec": torch.randn(D, generator=generator),
    }
    if "jumprelu" in architecture:
        # Below zero the threshold does nothing, because SAELens takes the ReLU too.
        tensors["threshold"] = torch.randn(F, generator=generator)
    if "skip" in architecture:
        tensors["W_skip"] = torch.randn(D, D, generator=generator)
    save_file(tensors, folder / "sae_weights.safetensors")
    metadata = {
        "sae_lens_version": "6.6.4",
        "model_name": "tiny-llama",
        "hook_name": f"blocks.{layer}.mlp.hook_in",
        "hook_name_out": f"blocks.{layer}.hook_mlp_out",
    }
    cfg = {
        "d_in": D,
        "d_sae": F,
        "d_out": D,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "architecture": architecture,
    }
    write_json(folder / "cfg.json", cfg | changes | {"metadata": metadata | changes.get("metadata", {})})
    return tensors


def test_a_folder_of_transcoders_comes_back_as_it_was(
    model: LoadedModel, tmp_path: Path, assert_same_function: Callable[[CLT, CLT], None]
) -> None:
    for skip in (False, True):
        plt = tiny_clt(model, window=1, skip=skip)
        save_clt(plt, tmp_path / str(skip), format="saelens")

        loaded = load_clt(tmp_path / str(skip), model=model)

        assert_same_function(plt, loaded)
        assert loaded.config == plt.config.model_copy(update={"fingerprint": "", "start_token_id": None})


def test_the_files_are_named_and_shaped_as_saelens_reads_them(model: LoadedModel, tmp_path: Path) -> None:
    save_clt(tiny_clt(model, window=1, skip=True), tmp_path, format="saelens")

    tensors = read_safetensors(tmp_path / "layer_2" / "sae_weights.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "W_enc": (16, 12),
        "W_dec": (12, 16),
        "b_enc": (12,),
        "b_dec": (16,),
        "threshold": (12,),
        "W_skip": (16, 16),
    }
    cfg = read_json(tmp_path / "layer_2" / "cfg.json")
    assert cfg["architecture"] == "jumprelu_skip_transcoder"
    assert (cfg["d_in"], cfg["d_sae"], cfg["d_out"], cfg["dtype"]) == (16, 12, 16, "float32")
    # SAELens takes a file without a version for one of before 6, and reads it otherwise.
    assert cfg["metadata"]["sae_lens_version"].startswith("6.")
    assert cfg["metadata"]["hook_name"] == "blocks.2.mlp.hook_in"
    assert cfg["metadata"]["hook_name_out"] == "blocks.2.hook_mlp_out"


@pytest.mark.parametrize(
    "architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]
)
@pytest.mark.parametrize("subtracts", [False, True])
def test_a_foreign_folder_means_what_it_says(tmp_path: Path, architecture: str, subtracts: bool) -> None:
    # As on the Hub: a layer's folder lies under its width and its sparsity.
    layers = [
        foreign_layer(tmp_path / f"layer_{i}" / "width_5" / "l0_2", i, architecture, apply_b_dec_to_input=subtracts)
        for i in range(L)
    ]

    clt = load_clt(tmp_path)

    assert (clt.config.window, clt.config.skip, clt.config.model) == (1, "skip" in architecture, "tiny-llama")
    x = torch.randn(L, 40, D)
    for i, layer in enumerate(layers):
        h = (x[i] - layer["b_dec"] * subtracts) @ layer["W_enc"] + layer["b_enc"]
        a = h.relu() * (h > layer["threshold"]) if "threshold" in layer else h.relu()
        out = a @ layer["W_dec"] + layer["b_dec"]
        if "W_skip" in layer:
            out = out + x[i] @ layer["W_skip"].T
        torch.testing.assert_close(clt.encode(i, x[i]), a)
        torch.testing.assert_close(clt.reconstruct(x)[i], out)


@pytest.mark.parametrize(
    "architecture", ["transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder"]
)
def test_what_saelens_itself_wrote_computes_what_saelens_computed(architecture: str) -> None:
    folder = Path(__file__).parent / "saelens_6_54" / architecture

    clt = load_clt(folder)

    expected = read_safetensors(folder / "expected.safetensors")
    x = expected["x"]
    torch.testing.assert_close(torch.stack(clt.encode_all(x)), expected["features"])
    torch.testing.assert_close(clt.reconstruct(x), expected["outputs"])
    assert (expected["features"] > 0).any()
    assert (clt.config.model, clt.config.skip) == ("tiny", "skip" in architecture)


def test_older_files_have_their_hooks_beside_the_other_fields(tmp_path: Path) -> None:
    foreign_layer(tmp_path / "layer_0", 0, "transcoder")
    path = tmp_path / "layer_0" / "cfg.json"
    cfg = read_json(path)
    write_json(path, cfg | cfg.pop("metadata") | {"normalize_activations": None, "activation_fn": "relu"})

    assert load_clt(tmp_path).config.read_hook == "blocks.{layer}.mlp.hook_in"


def test_hugging_faces_name_of_the_module_is_the_exact_one(tmp_path: Path) -> None:
    names = {
        "hook_name": "blocks.0.hook_mlp_in",
        "hf_hook_name": "model.layers.0.pre_feedforward_layernorm.output",
        "hf_hook_name_out": "model.layers.0.post_feedforward_layernorm.output",
    }
    foreign_layer(tmp_path / "layer_0", 0, "jumprelu_skip_transcoder", metadata=names)

    config = load_clt(tmp_path).config

    assert config.read_hook == "blocks.{layer}.mlp.hook_in"
    assert config.write_hook == "blocks.{layer}.hook_mlp_out"
    del names["hf_hook_name"]
    foreign_layer(tmp_path / "other" / "layer_0", 0, "jumprelu_skip_transcoder", metadata=names)
    with pytest.raises(CLTError, match=r"cfg.json names the hook 'hook_mlp_in', by which some"):
        load_clt(tmp_path / "other")


def test_scaling_factors_of_one_are_no_obstacle(tmp_path: Path) -> None:
    tensors = foreign_layer(tmp_path / "layer_0", 0, "transcoder")
    save_file(tensors | {"scaling_factor": torch.ones(F)}, tmp_path / "layer_0" / "sae_weights.safetensors")

    assert torch.equal(load_clt(tmp_path).W_enc[0], tensors["W_enc"].T)

    save_file(tensors | {"scaling_factor": torch.full((F,), 2.0)}, tmp_path / "layer_0" / "sae_weights.safetensors")
    with pytest.raises(FormatError, match="unknown tensor 'scaling_factor'"):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "standard"}, "describes the architecture 'standard': only transcoder, skip_transcoder"),
        ({"architecture": "topk"}, "describes the architecture 'topk'"),
        ({"normalize_activations": "layer_norm"}, "sets normalize_activations to 'layer_norm', which depends on"),
        ({"normalize_activations": "expected_average_only_in"}, "sets normalize_activations"),
        ({"normalize_activations": "constant_norm_rescale"}, "sets normalize_activations"),
        ({"reshape_activations": "hook_z"}, "sets reshape_activations to 'hook_z'"),
        ({"activation_fn": "tanh-relu"}, "sets activation_fn to 'tanh-relu'"),
        ({"metadata": {"hook_head_index": 3}}, "sets hook_head_index to 3"),
        ({"d_out": 9}, "maps 8 to 9 dimensions"),
        ({"metadata": {"hook_name_out": "blocks.1.hook_mlp_out"}}, "reads at layer 0 and writes at layer 1"),
    ],
)
def test_what_cannot_be_represented_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    changes = {"architecture": "transcoder"} | changes
    foreign_layer(tmp_path / "layer_0", 0, **changes)

    with pytest.raises(CLTError, match=message):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_sae": None}, "has no whole number 'd_sae'"),
        ({"d_sae": 6}, r"'W_enc' in .* has shape \[8, 5\] instead of \[8, 6\]"),
        ({"metadata": {"hook_name": "hook_embed"}}, r"names no hook of a block as 'hook_name' \(found 'hook_embed'\)"),
        ({"metadata": {"hook_name_out": None}}, r"names no hook of a block as 'hook_name_out'"),
    ],
)
def test_a_damaged_config_is_an_error(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    foreign_layer(tmp_path / "layer_0", 0, "transcoder", **changes)

    with pytest.raises(FormatError, match=message):
        load_clt(tmp_path)


def test_layers_that_do_not_fit_together_are_an_error(tmp_path: Path) -> None:
    foreign_layer(tmp_path / "a", 0, "transcoder")
    foreign_layer(tmp_path / "b", 2, "transcoder")
    with pytest.raises(FormatError, match="has no transcoder of layer 1: give a folder that holds one for every layer"):
        load_clt(tmp_path)

    foreign_layer(tmp_path / "c", 1, "transcoder")
    foreign_layer(tmp_path / "d", 1, "transcoder")
    with pytest.raises(FormatError, match=r"/c and .*/d are both of layer 1"):
        load_clt(tmp_path)

    foreign_layer(tmp_path / "other" / "a", 0, "transcoder")
    foreign_layer(tmp_path / "other" / "b", 1, "transcoder", metadata={"hook_name": "blocks.1.hook_resid_mid"})
    with pytest.raises(FormatError, match="use different hooks"):
        load_clt(tmp_path / "other")

    foreign_layer(tmp_path / "wide" / "a", 0, "transcoder")
    foreign_layer(tmp_path / "wide" / "b", 1, "transcoder", d_sae=7)
    with pytest.raises(FormatError, match=r"wide/b has 7 features × 8, but .*wide/a has 5 × 8"):
        load_clt(tmp_path / "wide")


def test_a_wrong_model_is_told_before_the_weights_are_read(tmp_path: Path) -> None:
    foreign_layer(tmp_path / "layer_0", 0, "transcoder")
    (tmp_path / "layer_0" / "sae_weights.safetensors").unlink()

    with pytest.raises(CLTError, match=r"is of 'tiny-llama' \(1 layers × 8\), but 'tiny-llama' has 3 layers × 16"):
        load_clt(tmp_path, model=tiny_model("llama", dtype=torch.float32))


def test_what_saelens_cannot_hold_is_refused(model: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    with pytest.raises(CLTError, match="has no cross-layer transcoders"):
        save_clt(clt, tmp_path, format="saelens")
    plt = tiny_clt(model, window=1)
    with pytest.raises(CLTError, match="no thresholds below zero"):
        save_clt(replace(plt, threshold=plt.threshold - 10), tmp_path, format="saelens")
    assert not any(tmp_path.iterdir())
