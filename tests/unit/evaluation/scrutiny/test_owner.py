"""`bench.scrutinise` on a tiny model: where its variants come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.clt.formats import save_clt
from workbench.clt.variants import RECORD
from workbench.errors import CLTError, ConfigError
from workbench.files import write_json


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wb.Session:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    model = tiny_model("llama", dtype=torch.float32)
    clt = tiny_clt(model, n_features=16)
    save_clt(clt, tmp_path / "mine")
    return wb.Session(loaded=model, clt=clt, clt_name=str(tmp_path / "mine"))


def test_without_variants_the_report_names_the_command(bench: wb.Session) -> None:
    page = bench.scrutinise(bench.attribute(tiny_prompt(), progress=False), k=2, n_cells=2, progress=False)
    (said,) = page.lines.loc[page.lines["part"] == "variants", "answer"]
    assert said.endswith(f"train them with: workbench variants {bench.clt_name} --model tiny-llama")


def test_variants_are_read_from_a_folder_in_their_order(bench: wb.Session, tmp_path: Path) -> None:
    folder = tmp_path / "variants"
    for seed, name in enumerate(("reference", "seed")):
        save_clt(tiny_clt(bench.loaded, n_features=16, seed=seed), folder / name)
    told = {"reference": {"title": "the same shape"}, "seed": {"title": "another seed"}}
    write_json(folder / RECORD, {"recipe": {}, "variants": told})
    graph = bench.attribute(tiny_prompt(), progress=False)

    page = bench.scrutinise(graph, variants=folder, k=2, n_cells=2, progress=False)

    questions = page.lines.loc[page.lines["part"] == "variants", "question"].tolist()
    assert questions == [f"Does the picture change with {title}?" for title in ("the same shape", "another seed")]
    answers = page.lines.loc[page.lines["part"] == "variants", "answer"].tolist()
    assert "with the reference's" in answers[1]
    assert "with the reference's" not in answers[0]


def test_labelled_prompts_are_texts_or_token_ids(bench: wb.Session) -> None:
    graph = bench.attribute(tiny_prompt(), progress=False)
    probe = {"three": [f"w{at} w3" for at in range(5, 10)], "four": [torch.tensor([0, at, 4]) for at in range(5, 10)]}
    page = bench.scrutinise(graph, probe=probe, k=2, n_cells=2, progress=False)
    assert set(page.tables["probe"]["says"]) <= {"three", "four"}
    with pytest.raises(ConfigError, match="under 'three' are one text: give a list"):
        bench.scrutinise(graph, probe={"three": "w1 w2", "four": ["w3"]})


def test_a_graph_of_another_clt_is_refused(bench: wb.Session) -> None:
    graph = bench.attribute(tiny_prompt(), progress=False)
    other = wb.Session(loaded=bench.loaded, clt=tiny_clt(bench.loaded, n_features=16, seed=3), clt_name=bench.clt_name)
    with pytest.raises(CLTError, match="open the CLT that the graph was made with"):
        other.scrutinise(graph, progress=False)
