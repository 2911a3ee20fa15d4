from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_model_folder, tiny_prompt, tiny_recipe

from workbench.clt import load_clt
from workbench.clt.formats import save_clt
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.trainer import StopFlag
from workbench.clt.variants import base_recipe, find_variants, train_variants, variants_folder, variants_of
from workbench.errors import CLTError, ConfigError
from workbench.files import write_json
from workbench.models import LoadedModel, load_model

NAMES = ["reference", "seed", "random_start", "sparser", "plt"]


@pytest.fixture
def model(tmp_path: Path) -> LoadedModel:
    return load_model(str(tiny_model_folder(tmp_path / "model")))


def recipe(model: LoadedModel, tmp_path: Path, **changes: Any) -> TrainConfig:
    """Return a short recipe of the tiny model on a text of its words."""
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(tiny_prompt(length=60, seed=seed) for seed in range(120)))
    small = {"tokens": 600, "held_out_tokens": 120, "epochs": 1, "checkpoint_seconds": 1000}
    return tiny_recipe(model=model.name, corpus=str(text), window=2, **small, **changes)


def test_the_variants_differ_in_what_their_names_say() -> None:
    base = tiny_recipe(window=2, k=6, seed=3)
    changes = {variant.name: variant.changes for variant in variants_of(base)}
    assert changes == {
        "reference": {},
        "seed": {"seed": 4},
        "random_start": {"seed": 5, "init": "random"},
        "sparser": {"k": 3},
        "plt": {"window": 1},
    }
    assert [variant.name for variant in variants_of(tiny_recipe(window=1))][-1] == "clt"


def test_one_call_trains_all_of_them_on_the_same_activations(model: LoadedModel, tmp_path: Path) -> None:
    base = recipe(model, tmp_path)
    said: list[str] = []

    record = train_variants(model, base, tmp_path / "variants", say=said.append, progress=False)

    assert record is not None
    assert list(record["variants"]) == NAMES
    assert [line.split(":")[0] for line in said[1:]] == NAMES
    found = find_variants(tmp_path / "variants")
    clts = {name: load_clt(path, model=model) for name, (_, path) in found.items()}
    assert {name: clt.config.window for name, clt in clts.items()} == {name: 2 for name in NAMES[:4]} | {"plt": 1}
    assert not torch.equal(clts["reference"].W_enc, clts["seed"].W_enc)
    assert record["variants"]["sparser"]["l0"] < record["variants"]["reference"]["l0"]
    # Neither activations nor checkpoints stay behind.
    assert sorted(path.name for path in (tmp_path / "variants").iterdir()) == sorted([*NAMES, "variants.json"])

    said.clear()
    assert train_variants(model, base, tmp_path / "variants", say=said.append, progress=False) == record
    assert said == []


def test_an_interrupted_call_goes_on(model: LoadedModel, tmp_path: Path) -> None:
    base, folder = recipe(model, tmp_path), tmp_path / "variants"
    stop = StopFlag()

    def stop_at_the_second(line: str) -> None:
        if line.startswith("seed"):
            stop.signal_number = 2

    assert train_variants(model, base, folder, say=stop_at_the_second, stop=stop, progress=False) is None
    assert list(find_variants(folder)) == ["reference"]
    before = (folder / "reference" / "weights.safetensors").stat().st_mtime_ns

    record = train_variants(model, base, folder, progress=False)

    assert record is not None
    assert list(record["variants"]) == NAMES
    assert (folder / "reference" / "weights.safetensors").stat().st_mtime_ns == before


def test_variants_of_another_recipe_are_not_mixed(model: LoadedModel, tmp_path: Path) -> None:
    base = recipe(model, tmp_path)
    write_json(tmp_path / "v" / "variants.json", {"recipe": base.model_dump(mode="json") | {"k": 9}, "variants": {}})
    with pytest.raises(ConfigError, match="holds variants of another recipe"):
        train_variants(model, base, tmp_path / "v", progress=False)


def test_a_variant_that_is_gone_is_missed(tmp_path: Path) -> None:
    assert find_variants(tmp_path) == {}
    told = {"recipe": {}, "variants": {"seed": {"title": "another seed"}}}
    write_json(tmp_path / "variants.json", told)
    with pytest.raises(CLTError, match="seed is gone"):
        find_variants(tmp_path)


def test_the_recipe_has_the_shape_of_the_clt_and_the_sparsity_of_its_record(tmp_path: Path) -> None:
    model = tiny_model("llama", dtype=torch.float32)
    clt = tiny_clt(model, n_features=20, window=3)
    save_clt(clt, tmp_path / "mine")
    with pytest.raises(ConfigError, match="give k"):
        base_recipe(clt, name=str(tmp_path / "mine"))
    (tmp_path / "mine" / "training.json").write_text(json.dumps({"recipe": {"k": 5, "corpus": "sampled"}}))
    base = base_recipe(clt, name=str(tmp_path / "mine"), tokens=2_000)
    assert (base.n_features, base.window, base.k, base.corpus, base.tokens) == (20, 3, 5, "sampled", 2_000)


def test_every_clt_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    assert variants_folder("smollm2-135m-instruct") == tmp_path / "cache" / "variants" / "smollm2-135m-instruct"
    clt = tiny_clt(tiny_model("llama", dtype=torch.float32))
    for parent in ("a", "b"):
        save_clt(clt, tmp_path / parent / "mine")
    one, other = (variants_folder(tmp_path / parent / "mine") for parent in ("a", "b"))
    assert one != other
    assert one.parent == other.parent == tmp_path / "cache" / "variants"
    assert one.name.startswith("mine-")
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(CLTError, match="There is no CLT"):
        variants_folder(tmp_path / "b" / "mine")
