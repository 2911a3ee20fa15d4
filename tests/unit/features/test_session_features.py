"""What the session asks of its features, on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model

import workbench as wb
from workbench.errors import ConfigError


@pytest.fixture(scope="module")
def bench() -> wb.Session:
    model = tiny_model("llama", dtype=torch.float32)
    return wb.Session(loaded=model, clt=tiny_clt(model, active=0.4), clt_name="tiny")


def test_operand_grids_are_kept_in_the_cache_folder(
    bench: wb.Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    grids = bench.operands(template="w{a} w2 w{b}", a=range(10, 13), b=[20, 30], role="w2", progress=False)
    assert grids.values.shape == (len(grids.features), 3, 2)
    assert len(list(tmp_path.glob("operands/*/part-*.safetensors"))) == 1
    with pytest.raises(ConfigError, match="has no role 'w9'"):
        bench.operands(template="w{a} w2 w{b}", a=range(10, 13), b=[20, 30], role="w9")


def test_clusters_are_of_the_sessions_clt(bench: wb.Session) -> None:
    clusters = bench.clusters(["w5 w6", "w7 w8 w9", "w5 w9", "w12 w6"], n_resamples=2, progress=False)
    assert {layer for layer, _ in clusters.features} <= set(range(bench.clt.n_layers))
    assert len(clusters.table()) == clusters.n_clusters


def test_structure_reads_held_out_text(bench: wb.Session, tmp_path: Path) -> None:
    # Documents are held out by their hash, about one in twenty.
    for number in range(800):
        words = " ".join(f"w{2 + (number * step) % 48}" for step in range(1, 40))
        (tmp_path / f"{number}.txt").write_text(words)
    counted = bench.structure(corpus=str(tmp_path), n_rows=4, progress=False)
    assert counted.n_tokens == 4 * 127
