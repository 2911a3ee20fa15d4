from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model

from workbench.clt import default_clt, find_clts, load_clt, save_clt, store, training_record
from workbench.errors import CLTError
from workbench.files import write_json


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The workbench's own folder and the user's, both with transcoders in them."""
    shipped, cached = tmp_path / "data" / "clt", tmp_path / "cache" / "clt"
    clt = tiny_clt(tiny_model("llama", dtype=torch.float32))
    for folder in (shipped / "tiny", shipped / "other", cached / "tiny" / "wide", cached / "tiny-2"):
        save_clt(clt, folder)
    (shipped / "recipes").mkdir()
    monkeypatch.setattr(store, "clt_folders", lambda: (shipped, cached))
    return shipped, cached


def test_a_models_transcoders_are_found_its_default_first(folders: tuple[Path, Path]) -> None:
    shipped, cached = folders

    assert find_clts("tiny") == [shipped / "tiny", cached / "tiny-2", cached / "tiny" / "wide"]
    assert find_clts("nobody") == []
    assert default_clt("tiny") == shipped / "tiny"


def test_other_projects_folders_are_found_by_what_they_hold(folders: tuple[Path, Path]) -> None:
    _, cached = folders
    gemma = tiny_model("gemma3", dtype=torch.float32)
    plt, clt = tiny_clt(gemma, window=1), tiny_clt(gemma, window=3)
    save_clt(plt, cached / "gemma-sae", format="saelens")
    save_clt(clt, cached / "gemma-scope", format="gemma-scope")
    save_clt(clt, cached / "gemma-tracer", format="circuit-tracer")
    # As on the Hub, where a layer's folder lies under its width.
    for layer in range(3):
        name = f"layer_{layer}"
        shutil.copytree(cached / "gemma-sae" / name, cached / "gemma-hub" / name / "width_12")

    names = ["gemma-hub", "gemma-sae", "gemma-scope", "gemma-tracer"]
    assert find_clts("gemma") == [cached / name for name in names]
    assert [load_clt(name, model=gemma).config.window for name in names] == [1, 1, 3, 3]


def test_a_folder_of_several_transcoders_is_none_itself(folders: tuple[Path, Path]) -> None:
    _, cached = folders
    plt = tiny_clt(tiny_model("llama", dtype=torch.float32), window=1)
    for name in ("a", "b"):
        save_clt(plt, cached / "several" / name, format="saelens")

    assert find_clts("several") == [cached / "several" / name for name in ("a", "b")]
    assert load_clt("several/b").config.window == 1
    with pytest.raises(CLTError, match=r"no CLT for the model 'several': there are .*several/a, several/b"):
        default_clt("several")


def test_per_layer_transcoders_of_gemma_scope_are_one(folders: tuple[Path, Path]) -> None:
    _, cached = folders
    for layer in range(2):
        folder = cached / "scope" / f"layer_{layer}"
        folder.mkdir(parents=True)
        write_json(folder / "config.json", {})
        (folder / "params.safetensors").touch()

    assert find_clts("scope") == [cached / "scope"]


def test_names_and_folders_load(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    for name in ("tiny", "tiny/wide", tmp_path / "data" / "clt" / "other", "data/clt/other"):
        assert load_clt(name).config.model == "tiny-llama"


def test_an_unknown_transcoder_is_an_error_that_lists_what_there_is(folders: tuple[Path, Path]) -> None:
    with pytest.raises(
        CLTError, match=r"no CLT 'tini': did you mean 'tiny'\? there are other, tiny, tiny-2, tiny/wide"
    ):
        load_clt("tini")
    with pytest.raises(CLTError, match=r"no CLT for the model 'nobody': there are other"):
        default_clt("nobody")


def test_without_any_transcoder_the_error_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "clt_folders", lambda: (tmp_path / "a", tmp_path / "b"))

    with pytest.raises(CLTError, match="none is installed; train one with `workbench train`"):
        default_clt("tiny")


def test_the_record_of_the_training_lies_beside_the_weights(folders: tuple[Path, Path]) -> None:
    write_json(folders[0] / "tiny" / "training.json", {"token_passes": 10})

    assert training_record("tiny") == {"token_passes": 10}
    assert training_record("other") == {}
