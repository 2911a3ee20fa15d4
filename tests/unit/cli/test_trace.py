"""`workbench trace` from the outside, on a tiny model and a tiny CLT in folders."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_model_folder

from workbench.cli.app import run
from workbench.clt import save_clt

KEYS = {
    "prompt", "tokens", "targets", "active_features", "nodes", "edges", "row_sum_error", "replacement_score",
    "completeness_score", "error_share", "seconds", "peak_memory_mb", "files",
}  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Return the folders of a model and of a CLT that belongs to it."""
    root = tmp_path_factory.mktemp("tiny")
    tiny_model_folder(root / "model")
    save_clt(tiny_clt(tiny_model("llama", dtype=torch.float32), n_features=16), root / "clt")
    return str(root / "model"), str(root / "clt")


def trace(folders: tuple[str, str], out: Path, *options: str) -> list[str]:
    model, clt = folders
    return ["trace", "w3 w4 w5 w6", "--model", model, "--clt", clt, "--out", str(out), *options]


def test_json_is_one_object_with_the_documented_keys(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path, "--json")) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result) == KEYS
    assert result["tokens"] == ["<s>", "w3", "w4", "w5", "w6"]
    assert all(set(target) == {"token", "probability"} for target in result["targets"])
    assert [Path(file).name for file in result["files"]] == [
        "graph.json", "nodes.csv", "edges.csv", "graph.html",
    ]  # fmt: skip
    with Path(result["files"][1]).open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == result["nodes"] + 1
    with Path(result["files"][2]).open(encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == result["edges"] + 1
    assert "</html>" in Path(result["files"][3]).read_text(encoding="utf-8")


def test_thresholds_of_one_write_the_whole_graph(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(trace(folders, tmp_path / "pruned", "--json"))
    pruned = json.loads(capsys.readouterr().out)
    run(trace(folders, tmp_path / "whole", "--json", "--node-threshold", "1", "--edge-threshold", "1"))
    whole = json.loads(capsys.readouterr().out)
    assert whole["edges"] > pruned["edges"]
    exported = json.loads(Path(whole["files"][0]).read_text("utf-8"))
    features = [node for node in exported["nodes"] if node["feature_type"] == "cross layer transcoder"]
    assert len(features) == whole["active_features"]


def test_the_summary_can_be_read_by_a_person(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path)) == 0
    text = capsys.readouterr().out
    for heading in ("What the model says next", "The strongest features", "The strongest paths", "replacement"):
        assert heading in text
    assert "graph.json" in text


def test_a_named_target_is_explained(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path, "--json", "--target", "w9")) == 0
    assert [target["token"] for target in json.loads(capsys.readouterr().out)["targets"]] == ["w9"]


def test_a_difference_of_tokens_and_a_feature_can_be_explained(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path, "--json", "--target", "w9", "--minus", "w8")) == 0
    (target,) = json.loads(capsys.readouterr().out)["targets"]
    assert (target["token"], target["probability"]) == ("'w9' − 'w8'", None)
    assert run(trace(folders, tmp_path, "--json", "--target", "f/1/3/2")) == 0
    assert json.loads(capsys.readouterr().out)["targets"][0]["token"] == "feature 1/3"


def test_the_strongest_edges_are_split_by_heads(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path, "--json", "--heads", "2")) == 0
    result = json.loads(capsys.readouterr().out)
    edges = {(row["source"], row["target"]) for row in result["heads"]}
    assert len(edges) == 2
    weights = {(row["source"], row["target"]): float(row["weight"]) for row in _rows(result, "edges.csv")}
    for edge in edges:
        carried = sum(row["weight"] for row in result["heads"] if (row["source"], row["target"]) == edge)
        assert carried == pytest.approx(weights[edge], rel=1e-3)
    assert len(_rows(result, "heads.csv")) == len(result["heads"])
    assert run(trace(folders, tmp_path, "--heads", "2")) == 0
    assert "The heads that carry" in capsys.readouterr().out


def test_another_prompt_is_contrasted(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(trace(folders, tmp_path, "--json", "--contrast", "w3 w4 w9 w6")) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(_rows(result, "contrast.csv")) == len(result["contrast"]) > 0
    explained = {f"p/{row['layer']}/{row['feature']}/{row['position_a']}" for row in result["contrast"]}
    assert {row["target"] for row in result["contrast_inputs"]} == explained
    assert run(trace(folders, tmp_path, "--contrast", "w3 w4 w9 w6")) == 0
    assert "silent on the other prompt" in capsys.readouterr().out


def _rows(result: dict[str, list[str]], name: str) -> list[dict[str, str]]:
    path = next(Path(file) for file in result["files"] if Path(file).name == name)
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minus", "w8"], "--target"),
        (["--target", "f/1/3/2", "--minus", "w8"], "--minus"),
        (["--target", "f/99/3/2"], "99"),
        (["--target", "w9 w8"], "not one"),
        (["--clt", "no-such-clt"], "no-such-clt"),
        (["--model", "smollm3"], "smollm3"),
        (["--chat"], "chat template"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    folders: tuple[str, str],
    tmp_path: Path,
    options: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(trace(folders, tmp_path / "out", "--json", *options)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("workbench: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


def test_an_empty_prompt_is_refused(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, clt = folders
    assert run(["trace", "", "--model", model, "--clt", clt, "--out", str(tmp_path)]) == 2
    assert "prompt is empty" in capsys.readouterr().err


def test_a_prompt_beyond_the_models_limit_is_refused(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, clt = folders
    assert run(["trace", " ".join(["w3"] * 70), "--model", model, "--clt", clt, "--out", str(tmp_path)]) == 2
    assert "71 tokens" in capsys.readouterr().err


def test_a_clt_of_another_model_is_refused(
    folders: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny_model("llama", dtype=torch.float32, seed=1)
    save_clt(tiny_clt(other), tmp_path / "other")
    assert run(trace((folders[0], str(tmp_path / "other")), tmp_path / "out")) == 2
    assert "another model" in capsys.readouterr().err
