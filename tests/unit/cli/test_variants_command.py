from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import tiny_clt, tiny_model_folder, tiny_prompt

from workbench.cli.app import run
from workbench.clt.formats import save_clt
from workbench.clt.variants import find_variants, variants_folder
from workbench.models import load_model


def test_one_command_trains_the_variants_into_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    folder, clt = tiny_model_folder(tmp_path / "model"), tmp_path / "clt"
    save_clt(tiny_clt(load_model(str(folder)), n_features=16), clt)
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(tiny_prompt(length=60, seed=seed) for seed in range(1_500)), encoding="utf-8")
    (clt / "training.json").write_text(json.dumps({"recipe": {"k": 4, "corpus": str(text)}}), encoding="utf-8")
    capsys.readouterr()

    arguments = ["variants", str(clt), "--model", str(folder), "--tokens", "2048", "--epochs", "1"]
    assert run([*arguments, "--json"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert Path(printed["folder"]) == variants_folder(clt)
    assert list(printed["variants"]) == list(find_variants(variants_folder(clt)))
    assert (printed["recipe"]["k"], printed["recipe"]["n_features"]) == (4, 16)
    # All is done already: the same command only tells what there is.
    assert run(arguments) == 0
    told = capsys.readouterr().out
    assert "another seed" in told
    assert run([*arguments, "--k", "3"]) == 2
    assert "holds variants of another recipe" in capsys.readouterr().err


def test_a_clt_that_is_unknown_is_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["variants", "nothing-like-it", "--model", "smollm2-135m-instruct"]) == 2
    assert capsys.readouterr().err.startswith("workbench: There is no CLT 'nothing-like-it'")
