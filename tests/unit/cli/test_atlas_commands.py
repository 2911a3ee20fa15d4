"""`workbench atlas`, `workbench card` and `workbench find` on a tiny model in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_clt, tiny_model_folder, tiny_prompt

from workbench.cli.app import run
from workbench.clt import save_clt
from workbench.models import load_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, its CLT and a text."""
    folder = tmp_path_factory.mktemp("commands")
    tiny_model_folder(folder / "model")
    clt = tiny_clt(load_model(folder / "model"), n_features=8)
    clt.threshold[1, 4] = 1e6
    save_clt(clt, folder / "clt")
    lines = [json.dumps({"text": tiny_prompt(length=31, seed=seed)}) for seed in range(60)]
    (folder / "text.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(autouse=True)
def cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder / "cache"))


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = run(list(arguments))
    out, err = capsys.readouterr()
    return status, out, err


def options(folder: Path) -> list[str]:
    return ["--model", str(folder / "model"), "--clt", str(folder / "clt")]


def test_before_the_atlas_is_built_a_card_says_how_to_build_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = called(capsys, "card", "0", "3", *options(folder))
    assert (status, out) == (2, "")
    assert err.startswith("workbench: There is no atlas of the CLT")
    assert "build it with `workbench atlas" in err


def test_before_the_atlas_is_built_features_are_found_without_labels(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = called(capsys, "find", "w3 w4", "--json", *options(folder))
    found: dict[str, Any] = json.loads(out)
    assert status == 0
    assert found["features"]
    assert {row["label"] for row in found["features"]} == {""}
    assert "No labels: `workbench atlas" in err


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    """What `workbench atlas --json` prints."""
    import contextlib
    import io

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setenv("WORKBENCH_CACHE", str(folder / "cache"))
        arguments = [str(folder / "clt"), "--model", str(folder / "model"), "--corpus", str(folder / "text.jsonl")]
        assert run(["atlas", *arguments, "--tokens", "1000", "--compact", str(folder / "short.parquet"), "--json"]) == 0
    parsed: dict[str, Any] = json.loads(out.getvalue())
    return parsed


def test_the_atlas_is_built_by_one_command(folder: Path, report: dict[str, Any]) -> None:
    assert Path(report["atlas"]).is_relative_to(folder / "cache")
    assert Path(report["atlas"]).stat().st_size == report["bytes"]
    assert report["features"] == sum(report["kinds"].values()) == 24
    assert report["tokens"] >= 1000
    assert report["kinds"]["silent"] >= 1
    assert Path(report["compact"]).is_file()


@pytest.mark.usefixtures("report")
def test_a_card_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "card", "0", "3", "--json", *options(folder))
    card = json.loads(out)
    assert status == 0
    assert (card["layer"], card["feature"]) == (0, 3)
    wanted = "layer feature label label_score density examples top_logits bottom_logits histogram"
    assert set(wanted.split()) <= set(card)
    assert card["examples"][0]["activation"] == card["max_activation"]


@pytest.mark.usefixtures("report")
def test_a_card_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "card", "0", "3", *options(folder))
    assert status == 0
    assert out.startswith("0/3  ")
    assert "raises" in out
    assert "top" in out


@pytest.mark.usefixtures("report")
def test_a_card_of_the_compact_atlas(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--atlas", str(folder / "short.parquet")]
    status, out, _ = called(capsys, "card", "0", "3", "--json", *short, *options(folder))
    assert status == 0
    assert json.loads(out)["complete"] is False
    assert called(capsys, "card", "0", "3", *short, *options(folder))[0] == 0


@pytest.mark.usefixtures("report")
def test_the_card_of_a_silent_feature_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "card", "1", "4", *options(folder))
    assert status == 0
    assert "It never fired on" in out


@pytest.mark.usefixtures("report")
def test_features_that_fire_on_a_text_come_strongest_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = called(capsys, "find", "w3 w4 w5", "--json", *options(folder))
    found = json.loads(out)
    assert status == 0
    activations = [row["activation"] for row in found["features"]]
    assert activations == sorted(activations, reverse=True)
    assert len(activations) == found["n_firing"]
    assert {"layer", "feature", "position", "activation", "label"} <= set(found["features"][0])
    assert all(row["label"] for row in found["features"])
    status, out, _ = called(capsys, "find", "w3 w4 w5", "--limit", "2", *options(folder))
    assert f"and {found['n_firing'] - 2} more" in out


@pytest.mark.usefixtures("report")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["card", "9", "0"], "There is no feature 0 in layer 9"),
        (["card", "0", "3", "--atlas", "nowhere"], "There is no atlas at nowhere"),
        (["find", ""], "The prompt is empty"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    status, out, err = called(capsys, *arguments, *options(folder))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
