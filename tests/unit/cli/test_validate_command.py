from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import tiny_clt, tiny_model_folder, tiny_prompt

import workbench as wb
from workbench.cli.app import run
from workbench.clt import save_clt
from workbench.evaluation.validation import Validation
from workbench.models import load_model


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workplace")
    tiny_model_folder(folder / "model")
    save_clt(tiny_clt(load_model(folder / "model"), n_features=20), folder / "clt")
    (folder / "prompts.txt").write_text("\n".join(tiny_prompt(length=n) for n in (4, 5, 6)), encoding="utf-8")
    return folder


def validate(folder: Path, *options: str) -> int:
    files = [str(folder / "clt"), "--model", str(folder / "model"), "--prompts", str(folder / "prompts.txt")]
    return run(["validate", *files, "--k", "4", *options])


def test_json_has_the_figures_of_the_pooled_prompts(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(workplace, "--limit", "2", "--json") == 0
    result = json.loads(capsys.readouterr().out)
    bench = wb.open(str(workplace / "model"), clt=str(workplace / "clt"))
    graphs = [bench.attribute(prompt, progress=False) for prompt in result["prompts"]]
    expected = Validation.pooled([bench.validate(graph, k=4, n_supernodes=0, progress=False) for graph in graphs])
    assert [row["figure"] for row in result["figures"]] == expected["figure"].tolist()
    assert [row["value"] for row in result["figures"]] == pytest.approx(expected["value"].tolist(), nan_ok=True)
    assert [row["n"] for row in result["figures"]] == expected["n"].tolist()


def test_a_person_gets_a_table_with_controls(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(workplace) == 0
    shown = capsys.readouterr().out
    assert "3 prompts, 4 features of each ablated one by one" in shown
    assert "influence_spearman" in shown
    assert "0.72" in shown


def test_an_interrupt_keeps_the_prompts_that_are_done(
    workplace: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    attribute, asked = wb.Session.attribute, []

    def interrupted(session: wb.Session, prompt: str, **options: object) -> wb.Graph:
        asked.append(prompt)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return attribute(session, prompt, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(wb.Session, "attribute", interrupted)
    assert validate(workplace, "--json") == 0
    assert json.loads(capsys.readouterr().out)["prompts"] == asked[:2]
