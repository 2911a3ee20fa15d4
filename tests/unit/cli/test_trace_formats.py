"""`workbench trace --clt FOLDER` takes the folders of other projects as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_model_folder

from workbench.cli.app import run
from workbench.clt import save_clt
from workbench.clt.formats import FormatName


@pytest.mark.parametrize(
    ("format", "window"), [("circuit-tracer", 1), ("circuit-tracer", 3), ("saelens", 1), ("gemma-scope", 3)]
)
def test_the_graph_is_the_one_of_our_own_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, format: FormatName, window: int
) -> None:
    tiny_model_folder(tmp_path / "model", "gemma3")
    clt = tiny_clt(tiny_model("gemma3", dtype=torch.float32), window=window, n_features=16)
    save_clt(clt, tmp_path / "own")
    save_clt(clt, tmp_path / "theirs", format=format)
    monkeypatch.chdir(tmp_path)
    results = []
    for folder in ("own", "theirs"):
        options = ["--model", str(tmp_path / "model"), "--clt", folder, "--out", str(tmp_path / f"of {folder}")]
        assert run(["trace", "w3 w4 w5 w6", *options, "--json"]) == 0
        results.append(json.loads(capsys.readouterr().out))

    own, theirs = results
    assert theirs["row_sum_error"] < 1e-4
    for key in ("active_features", "nodes", "edges", "tokens"):
        assert theirs[key] == own[key]
    assert theirs["replacement_score"] == pytest.approx(own["replacement_score"], rel=1e-4)
