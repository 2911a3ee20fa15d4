"""Any folder goes through `load_clt`, and must belong to the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model

from workbench.clt import CLT, load_clt, save_clt
from workbench.clt.formats import FormatName
from workbench.errors import CLTError, ConfigError, ResourceError
from workbench.models import LoadedModel


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


@pytest.mark.parametrize(("field", "does"), [("read_hook", "reads"), ("write_hook", "writes")])
def test_a_hook_that_the_model_lacks_is_an_error(
    clt: CLT, model: LoadedModel, tmp_path: Path, field: str, does: str
) -> None:
    odd = clt.config.model_copy(update={field: "blocks.{layer}.hook_nowhere"})
    save_clt(replace(clt, config=odd), tmp_path)

    message = rf"{does} at the hook .*, but 'tiny-llama' has no 'blocks.0.hook_nowhere': .* correct {field}"
    with pytest.raises(CLTError, match=message):
        load_clt(tmp_path, model=model)


def test_a_hook_that_is_the_same_in_every_layer_is_an_error(clt: CLT, model: LoadedModel, tmp_path: Path) -> None:
    save_clt(replace(clt, config=clt.config.model_copy(update={"write_hook": "blocks.0.hook_mlp_out"})), tmp_path)

    with pytest.raises(CLTError, match=r"'blocks.0.hook_mlp_out' in every layer: write \{layer\}"):
        load_clt(tmp_path, model=model)


def test_a_folder_without_a_transcoder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CLTError, match=r"is no transcoder: it holds neither config.json nor config.yaml"):
        load_clt(tmp_path)


@pytest.mark.parametrize(
    ("format", "window"), [("workbench", 2), ("circuit-tracer", 1), ("circuit-tracer", 3), ("saelens", 1)]
)
def test_every_format_goes_in_and_out_by_name(
    model: LoadedModel,
    tmp_path: Path,
    format: FormatName,
    window: int,
    assert_same_function: Callable[[CLT, CLT], None],
) -> None:
    clt = tiny_clt(model, window=window)
    save_clt(clt, tmp_path, format=format)

    assert_same_function(clt, load_clt(tmp_path, model=model))


def test_an_unknown_format_and_int8_elsewhere_are_refused(clt: CLT, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no format 'npz' .* choose one of workbench, circuit-tracer"):
        save_clt(clt, tmp_path, format="npz")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="'circuit-tracer' has no int8"):
        save_clt(clt, tmp_path, format="circuit-tracer", int8=True)


def test_two_formats_do_not_share_a_folder(model: LoadedModel, tmp_path: Path) -> None:
    plt = tiny_clt(model, window=1)
    save_clt(plt, tmp_path, format="saelens")
    save_clt(plt, tmp_path, format="saelens")  # Again is fine.

    with pytest.raises(ConfigError, match="holds a transcoder in the format 'saelens' already: choose another folder"):
        save_clt(plt, tmp_path, format="circuit-tracer")


@pytest.mark.parametrize("format", ["circuit-tracer", "saelens", "gemma-scope"])
def test_weights_that_memory_will_not_hold_are_refused_before_they_are_read(
    gemma: LoadedModel, tmp_path: Path, format: FormatName, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_clt(tiny_clt(gemma, window=1), tmp_path, format=format)
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 1000)

    with pytest.raises(ResourceError, match=r"The transcoder .* in float32 needs .* GB of memory"):
        load_clt(tmp_path)
