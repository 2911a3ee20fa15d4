from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from helpers import tiny_hf_model, tiny_model_folder
from safetensors.torch import load_file, save_file

from workbench.errors import FormatError, ModelError, ResourceError
from workbench.models import load_model, tokenize


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local model in Hugging Face format."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "model"
    tiny_model_folder(path)
    return path


def rewrite(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = load_file(folder / "model.safetensors")
    for name, tensor in changes.items():
        key = next(key for key in weights if key.endswith(name))
        if tensor is None:
            del weights[key]
        else:
            weights[key] = tensor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_local_folder_computes_what_transformers_computes(folder: Path) -> None:
    plain = tiny_hf_model("llama", dtype=torch.float32)
    model = load_model(folder)
    tokens = tokenize(model, "w3 w4 w5")[None]
    with torch.no_grad():
        torch.testing.assert_close(model.bridge(tokens), plain(tokens).logits, atol=1e-5, rtol=0)


def test_the_start_token_is_the_tokenizers_bos_unless_one_is_named(folder: Path) -> None:
    assert load_model(folder).start_token_id == 0
    assert load_model(folder, start_token="</s>").start_token_id == 1
    with pytest.raises(ModelError, match="'<bos>' is no token of"):
        load_model(folder, start_token="<bos>")


def test_the_fingerprint_is_that_of_the_weights_whatever_the_dtype(folder: Path) -> None:
    fresh = load_model(folder, dtype=torch.bfloat16)
    remembered = load_model(folder, dtype=torch.float64)
    assert (fresh.dtype, remembered.dtype) == (torch.bfloat16, torch.float64)
    assert fresh.fingerprint == remembered.fingerprint == load_model(folder).fingerprint


def test_changed_weights_are_another_model(folder: Path) -> None:
    before = load_model(folder).fingerprint
    rewrite(folder, **{"norm.weight": torch.full((16,), 2.0)})
    assert load_model(folder).fingerprint != before


def test_truncated_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    os.truncate(weights, weights.stat().st_size // 2)
    with pytest.raises(FormatError, match="truncated or damaged"):
        load_model(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(folder: Path, value: float) -> None:
    broken = torch.ones(16)
    broken[3] = value
    rewrite(folder, **{"layers.1.input_layernorm.weight": broken})
    with pytest.raises(FormatError, match=r"model\.layers\.1\.input_layernorm\.weight.* holds a NaN or an infinity"):
        load_model(folder)


def test_missing_weights_are_not_filled_with_random_numbers(folder: Path) -> None:
    rewrite(folder, **{"layers.2.mlp.up_proj.weight": None})
    with pytest.raises(FormatError, match=r"lack 'model\.layers\.2\.mlp\.up_proj\.weight'"):
        load_model(folder)


def test_weights_of_another_shape(folder: Path) -> None:
    rewrite(folder, **{"layers.2.mlp.up_proj.weight": torch.ones(5, 5)})
    with pytest.raises((FormatError, ModelError), match="shape"):
        load_model(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "no config.json"),
        ("model.safetensors", r"no \.safetensors weights"),
        ("tokenizer.json", "Cannot load the tokenizer"),
    ],
)
def test_an_incomplete_folder(folder: Path, missing: str, message: str) -> None:
    (folder / missing).unlink()
    with pytest.raises((FormatError, ModelError), match=message) as error:
        load_model(folder)
    assert "\n" not in str(error.value)


def test_a_damaged_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="check its config"):
        load_model(folder)


def test_memory_that_will_not_suffice_is_told_before_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 100_000_000)
    with pytest.raises(ResourceError, match=r"needs 0\.6 GB of memory, but 0\.1 GB are available"):
        load_model(folder)


def test_an_unknown_name_leads_to_the_closest_one() -> None:
    with pytest.raises(ModelError, match="did you mean 'gemma-3-270m'"):
        load_model("gema-3-270m")
