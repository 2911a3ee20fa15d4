from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_model_folder, tiny_prompt

from workbench.benchmarks.architectures import Run, equal_budget, main, steps_per_second
from workbench.benchmarks.architectures_page import Variant, page
from workbench.cli.app import run
from workbench.clt.training.config import TrainConfig
from workbench.errors import ConfigError, FormatError


def recipe(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate({"model": "m", "tokens": 10_240, "batch_tokens": 1_024, **changes})


@pytest.mark.parametrize("steps", [20, 33, 100, 1_234])
def test_a_budget_has_the_steps_asked_for_and_no_more_tokens_than_were_harvested(steps: int) -> None:
    budget = equal_budget(recipe(), steps)

    assert budget["tokens"] <= 10_240
    assert budget["tokens"] % 1_024 == 0
    # To within half a step an epoch.
    assert abs(budget["tokens"] // 1_024 * budget["epochs"] - steps) <= budget["epochs"] / 2


def test_no_time_for_a_handful_of_steps_is_an_error() -> None:
    with pytest.raises(ConfigError, match="time for 3 steps only"):
        equal_budget(recipe(), 3)


def test_the_first_steps_do_not_count_in_the_speed(tmp_path: Path) -> None:
    lines = [{"step": 10, "cpu_seconds": 9.0}, {"step": 20, "cpu_seconds": 11.0}, {"step": 40, "cpu_seconds": 15.0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    assert steps_per_second(tmp_path) == 5

    # The run was interrupted after step 40; the process that went on counts its time from zero.
    lines += [{"step": 50, "cpu_seconds": 8.0}, {"step": 70, "cpu_seconds": 12.0}]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert steps_per_second(tmp_path) == 5

    (tmp_path / "metrics.jsonl").write_text(json.dumps(lines[0]), encoding="utf-8")
    with pytest.raises(ConfigError, match="too short to tell"):
        steps_per_second(tmp_path)


def test_variants_stand_by_window_those_without_a_skip_first() -> None:
    variants = Run(base=recipe(), folder=Path("nowhere"), seconds=1).variants()

    names = [variant.name for variant in variants]
    assert names[:5] == ["PLT", "CLT, W = 2", "CLT, W = 4", "CLT, W = 8", "full CLT"]
    assert names[5:] == [f"{name}, skip" for name in names[:5]]
    assert [Variant.of_folder(Path(variant.slug)) for variant in variants] == variants
    assert sorted(reversed(variants), key=lambda variant: variant.order) == variants


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, text and a recipe."""
    folder = tmp_path_factory.mktemp("workplace")
    tiny_model_folder(folder / "model")
    text = "\n\n".join(" ".join([tiny_prompt(length=60, seed=seed)] * 8) for seed in range(300))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    values = {
        "model": str(folder / "model"),
        "n_features": 32,
        "k": 4,
        "corpus": str(folder / "text.txt"),
        "tokens": 8_192,
        "held_out_tokens": 256,
        "batch_tokens": 64,
        "init": "random",
        "resample_every": 0,
    }
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    (folder / "recipe.toml").write_text(lines, encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the tests a dozen imports of torch: what a new process would run is run here."""

    def command(arguments: list[str], *, env: dict[str, str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert arguments[:3] == [sys.executable, "-c", "from workbench.cli.app import main; main()"]
        assert env["OMP_NUM_THREADS"] == "1"
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = run(arguments[3:])
        return subprocess.CompletedProcess(arguments, status, out.getvalue())

    monkeypatch.setattr("workbench.benchmarks.architectures.subprocess.run", command)


def architectures(workplace: Path, *options: str) -> int:
    variants = ["--window", "1", "--window", "full", "--skip", "both", "--prompts", "0", "--threads", "1"]
    files = ["--out", str(workplace / "runs"), "--page", str(workplace / "page.md")]
    return main([str(workplace / "recipe.toml"), "--seconds", "0.5", *variants, *files, *options])


def test_it_trains_evaluates_writes_the_page_and_goes_on_where_it_was(
    workplace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert architectures(workplace) == 0, capfd.readouterr().err

    text = (workplace / "page.md").read_text(encoding="utf-8")
    for name in ("**PLT**", "**full CLT**", "**PLT, skip**", "**full CLT, skip**", "its skip alone", "linear skip"):
        assert name in text
    assert "Of those without a skip the" in text
    [model] = (path for path in (workplace / "runs").iterdir())
    full = tomllib.loads((model / "window-full" / "recipe.toml").read_text(encoding="utf-8"))
    assert full["window"] >= 3
    found = json.loads((model / "window-full" / "evaluation.json").read_text(encoding="utf-8"))
    assert found["window"] == 3
    # What needs no transcoder is measured once, with the first variant.
    assert set(found["baselines"]) == {"mean_ablation"}
    assert found["training"]["steps"] == full["tokens"] // 64 * full["epochs"]

    # What is there stays; what is missing is made anew from what its run has left.
    (model / "window-1" / "evaluation.json").unlink()
    kept = (model / "window-full" / "evaluation.json").stat().st_mtime_ns
    capfd.readouterr()
    assert architectures(workplace) == 0
    err = capfd.readouterr().err
    assert "full CLT: done" in err
    assert "harvest" not in err
    assert (model / "window-full" / "evaluation.json").stat().st_mtime_ns == kept
    assert (model / "window-1" / "evaluation.json").exists()

    # Other conditions are another comparison.
    assert architectures(workplace, "--seconds", "9") == 2
    assert "another seconds" in capfd.readouterr().err


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()

    with pytest.raises(FormatError, match="There is no evaluation"):
        page(tmp_path)


def test_a_damaged_evaluation_is_named(tmp_path: Path) -> None:
    (tmp_path / "model" / "window-2").mkdir(parents=True)
    (tmp_path / "model" / "window-2" / "evaluation.json").write_text('{"training": {}}', encoding="utf-8")

    with pytest.raises(FormatError, match=r"window-2.evaluation\.json is no evaluation of a variant"):
        page(tmp_path)
