from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_clt, tiny_model, tiny_model_folder, tiny_prompt

from workbench.cli.app import run
from workbench.clt import save_clt
from workbench.models import load_model


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a CLT of it, a CLT of another model, prompts and text."""
    folder = tmp_path_factory.mktemp("workplace")
    tiny_model_folder(folder / "model")
    save_clt(tiny_clt(load_model(folder / "model"), window=2), folder / "clt")
    save_clt(tiny_clt(load_model(folder / "model"), window=3, skip=True), folder / "full")
    save_clt(tiny_clt(tiny_model("llama", seed=1)), folder / "stranger")
    prompts = [json.dumps({"prompt": tiny_prompt(length=length)}) for length in (4, 5)]
    (folder / "prompts.jsonl").write_text("\n".join(prompts), encoding="utf-8")
    (folder / "long.txt").write_text(tiny_prompt(length=70), encoding="utf-8")
    (folder / "twice.txt").write_text("w7 w8\nw8 w9\nw7 w8", encoding="utf-8")
    (folder / "short.txt").write_text("w7 w8\nw9", encoding="utf-8")
    text = "\n\n".join(" ".join([tiny_prompt(length=60, seed=seed)] * 8) for seed in range(200))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    return folder


def evaluate(workplace: Path, *options: str, clt: str = "clt", prompts: str = "prompts.jsonl") -> int:
    files = ["--prompts", str(workplace / prompts), "--corpus", str(workplace / "text.txt")]
    return run(["evaluate", str(workplace / clt), "--model", str(workplace / "model"), *files, *options])


def test_json_is_one_object_with_every_figure(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = evaluate(workplace, "--tokens", "200", "--row-length", "32", "--json")

    result = json.loads(capsys.readouterr().out)
    assert status == 0
    assert set(result) >= {
        "fvu",
        "fvu_by_layer",
        "l0",
        "dead_fraction",
        "dense_fraction",
        "kl",
        "delta_ce",
        "top1_agreement",
        "replacement_score",
        "completeness_score",
        "error_share",
        "average_path_length",
        "baselines",
        "intervals",
    }
    assert 0 < result["replacement_score"] < result["completeness_score"] < 1
    assert 0 < result["error_share"] < 1
    assert len(result["fvu_by_layer"]) == 3
    assert result["n_tokens"] == 7 * 31
    assert result["n_prompts"] == 2
    assert set(result["baselines"]) == {"linear_skip", "mean_ablation", "zero_ablation", "shuffled"}
    for figure, (low, high) in result["intervals"].items():
        assert low <= result[figure] <= high
    assert set(result["intervals"]) == set(result["baselines"]["shuffled"]["differences"])


def test_baselines_can_be_chosen(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = ("--baseline", "mean_ablation", "--baseline", "shuffled")

    assert evaluate(workplace, "--tokens", "200", "--row-length", "32", "--limit", "0", *chosen, "--json") == 0
    assert set(json.loads(capsys.readouterr().out)["baselines"]) == {"mean_ablation", "shuffled"}


def test_a_person_gets_a_table(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = evaluate(workplace, "--tokens", "200", "--row-length", "32", "--limit", "1")

    out = capsys.readouterr().out
    assert status == 0
    assert "1 prompts" in out
    for name in ("this CLT", "linear skip", "mean ablation", "zero ablation", "shuffled control"):
        assert name in out
    assert "95 % interval" in out


def test_the_model_card_is_written_where_asked(workplace: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"

    assert evaluate(workplace, "--tokens", "200", "--limit", "0", "--card", str(path), "--json") == 0
    assert "| **this CLT** |" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clt": "nowhere"}, "There is no CLT"),
        ({"clt": "stranger"}, "tiny-llama"),
        ({"prompts": "nowhere.jsonl"}, "Cannot read the prompts file"),
        ({"prompts": "long.txt"}, "limit is 64"),
        ({"prompts": "twice.txt"}, "Lines 1 and 3"),
        ({"prompts": "short.txt"}, "is a single token"),
        ({"options": ("--baseline", "chance")}, "no baseline 'chance'"),
        ({"options": ("--tokens", "20")}, "intervals need at least two rows"),
        ({"options": ("--corpus", "nowhere.txt")}, "nowhere.txt"),
    ],
    ids=[
        "unknown CLT",
        "CLT of another model",
        "no prompts file",
        "prompts too long",
        "a prompt twice",
        "a prompt of one token",
        "unknown baseline",
        "held-out text too small",
        "no corpus",
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    workplace: Path, arguments: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = arguments.get("options", ())
    named = {key: value for key, value in arguments.items() if key != "options"}
    status = evaluate(workplace, "--tokens", "100", "--row-length", "32", "--json", *options, **named)

    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("workbench: ")
    assert message in last


def test_a_corpus_that_is_too_short_is_refused(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(workplace, "--tokens", "1000000", "--json") == 2
    assert "were asked for: ask for fewer or give more text" in capsys.readouterr().err


def compare(workplace: Path, *clts: str, options: tuple[str, ...] = ()) -> int:
    files = ["--prompts", str(workplace / "prompts.jsonl"), "--corpus", str(workplace / "text.txt")]
    text = ["--tokens", "200", "--row-length", "32"]
    folders = [str(workplace / clt) for clt in clts]
    return run(["compare", *folders, "--model", str(workplace / "model"), *files, *text, *options])


def test_a_comparison_holds_every_clt_with_its_differences_from_the_first(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(workplace, "clt", "full", options=("--json",)) == 0

    result = json.loads(capsys.readouterr().out)
    first, second = result["clts"]
    assert (first["window"], second["window"], second["skip"]) == (2, 3, True)
    assert list(first["baselines"]) == ["linear_skip", "mean_ablation"]
    assert list(second["baselines"]) == ["skip_alone", "linear_skip", "mean_ablation"]
    assert list(result["differences"]) == [second["clt"]]
    for figure, found in result["differences"][second["clt"]].items():
        assert found["difference"] == pytest.approx(second[figure] - first[figure])
    assert set(result["differences"][second["clt"]]) >= {"kl", "top1_agreement", "replacement_score"}


def test_a_person_gets_one_table_of_all_clts(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare(workplace, "clt", "full", options=("--limit", "0")) == 0

    out = capsys.readouterr().out
    for text in ("2. ", "window 3, skip", "CLT 1", "CLT 2", "its skip alone", "linear skip", "CLT 2 minus CLT 1"):
        assert text in out


@pytest.mark.parametrize(
    ("clts", "message"),
    [
        (("clt",), "at least two different CLTs"),
        (("clt", "clt"), "at least two different CLTs"),
        (("clt", "nowhere"), "There is no CLT"),
        (("clt", "stranger"), "choose the CLT of this model"),
    ],
    ids=["one", "one twice", "unknown", "of another model"],
)
def test_clts_that_cannot_be_compared_are_refused_before_anything_is_measured(
    workplace: Path, clts: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(workplace, *clts, options=("--json",)) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[-1]
    assert "Held-out text" not in err
