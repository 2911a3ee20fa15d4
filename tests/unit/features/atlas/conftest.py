"""A tiny model, its CLT, a text, and the atlas that is built from them once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from atlas_brute_force import CORPUS, PLAN
from helpers import tiny_clt, tiny_model

from workbench.clt import CLT
from workbench.features.atlas import Atlas, build_atlas
from workbench.models import LoadedModel


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    return tiny_model("llama", dtype=torch.float32)


@pytest.fixture(scope="session")
def clt(model: LoadedModel) -> CLT:
    clt = tiny_clt(model, n_features=10)
    # One feature that never fires.
    clt.threshold[1, 4] = 1e6
    return clt


@pytest.fixture(scope="session")
def built(model: LoadedModel, clt: CLT, tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """The atlas, to be read and not to be labelled."""
    folder = tmp_path_factory.mktemp("atlas") / "tiny"
    atlas = build_atlas(model, clt, corpus=CORPUS, out=folder, plan=PLAN, clt_name="tiny", progress=False)
    assert atlas is not None
    return atlas


@pytest.fixture
def atlas(built: Atlas, tmp_path: Path) -> Atlas:
    """The atlas with no labels but its own."""
    return Atlas.open(built.file.path, model=built.model, clt=built.clt, labels=tmp_path / "labels.json")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
