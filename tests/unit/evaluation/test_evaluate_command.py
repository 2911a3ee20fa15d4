from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import tiny_clt, tiny_hf_model, tiny_model, tiny_prompt, tiny_tokenizer

from workbench.cli.app import run
from workbench.clt import save_clt
from workbench.models import load_model


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a CLT of it, a CLT of another model, prompts and text."""
    folder = tmp_path_factory.mktemp("workplace")
    tiny_hf_model("llama").save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    save_clt(tiny_clt(load_model(folder / "model"), window=2), folder / "clt")
    save_clt(tiny_clt(tiny_model("llama", seed=1)), folder / "stranger")
    prompts = [json.dumps({"prompt": tiny_prompt(length=length)}) for length in (4, 5)]
    (folder / "prompts.jsonl").write_text("\n".join(prompts), encoding="utf-8")
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
    assert {"fvu", "fvu_by_layer", "l0", "dead_fraction", "kl", "delta_ce", "top1_agreement", "baselines"} <= set(
        result
    )
    assert 0 < result["replacement_score"] < result["completeness_score"] < 1
    assert 0 < result["error_share"] < 1
    assert len(result["fvu_by_layer"]) == 3
    assert result["n_tokens"] == 7 * 31
    assert result["n_prompts"] == 2
    assert set(result["baselines"]) == {"mean_ablation", "zero_ablation", "shuffled"}
    assert set(result["baselines"]["shuffled"]) < set(result)


def test_a_person_gets_a_table(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = evaluate(workplace, "--tokens", "200", "--row-length", "32", "--n-prompts", "1")

    out = capsys.readouterr().out
    assert status == 0
    assert "1 prompts" in out
    for name in ("this CLT", "mean ablation", "zero ablation", "shuffled control"):
        assert name in out


def test_the_model_card_is_written_where_asked(workplace: Path, tmp_path: Path) -> None:
    path = tmp_path / "README.md"

    assert evaluate(workplace, "--tokens", "200", "--n-prompts", "0", "--card", str(path), "--json") == 0
    assert "| **this CLT** |" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"clt": "nowhere"}, "There is no CLT"),
        ({"clt": "stranger"}, "tiny-llama"),
        ({"prompts": "nowhere.jsonl"}, "Cannot read the prompts file"),
        ({"prompts": "text.txt"}, "limit is 64"),
    ],
    ids=["unknown CLT", "CLT of another model", "no prompts file", "prompts too long"],
)
def test_a_mistake_is_one_line_and_status_2(
    workplace: Path, arguments: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = evaluate(workplace, "--tokens", "100", "--row-length", "32", "--json", **arguments)

    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("workbench: ")
    assert message in last


def test_a_corpus_that_is_too_short_is_refused(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(workplace, "--tokens", "1000000", "--json") == 2
    assert "were asked for: ask for fewer or give more text" in capsys.readouterr().err
