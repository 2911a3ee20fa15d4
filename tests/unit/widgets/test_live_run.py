from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_model, tiny_recipe, tiny_token_batches

import workbench as wb
from workbench.clt.training.checkpoint import load_checkpoint
from workbench.errors import ConfigError, ModelError
from workbench.widgets.live_run import LiveRun

SECONDS = 240.0


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of these tests train on a tiny model and its random rows."""
    monkeypatch.setattr(
        "workbench.clt.train.load_model", lambda name, **options: tiny_model("llama", dtype=options["dtype"])
    )
    monkeypatch.setattr("workbench.clt.training.run.resolve_corpus", lambda name, model: None)
    rows = tiny_token_batches()
    monkeypatch.setattr("workbench.clt.training.run.token_batches", lambda *args, split, **options: rows(split))


def recipe(**changes: Any) -> dict[str, Any]:
    return {**tiny_recipe().model_dump(mode="json", exclude_none=True), "dtype": "float32", **changes}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., LiveRun]]:
    """Return what starts a run in a folder of the test; what still runs at the end is stopped."""
    runs: list[LiveRun] = []

    def begin(name: str = "run", *, resume: bool = False, **changes: Any) -> LiveRun:
        runs.append(wb.train(recipe(**changes), out=tmp_path / name, resume=resume))
        return runs[-1]

    yield begin
    for run in runs:
        run.stop()


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_run_trains_beside_the_caller_and_hands_over_clt_and_report(start: Callable[..., LiveRun]) -> None:
    run = start()
    report = run.wait(SECONDS)

    assert report is not None
    assert run.monitor.phase == "finished"
    assert run.monitor.metrics["step"].tolist() == list(range(1, 37))
    assert run.report["fvu"] == run.monitor.report["fvu"] == report["fvu"]
    assert run.clt.n_features == tiny_recipe().n_features
    assert json.loads((run.out / "report.json").read_text(encoding="utf-8"))["fvu"] == report["fvu"]
    assert not run.running
    assert run.monitor.wait(0)


def test_a_paused_run_stands_still_until_it_is_resumed(start: Callable[..., LiveRun]) -> None:
    run = start(epochs=400)
    wait_until(lambda: len(run.monitor.metrics) > 3)
    run.pause()
    wait_until(lambda: run.monitor.phase == "paused")
    step = run.monitor.metrics["step"].max()
    time.sleep(0.3)
    assert run.monitor.metrics["step"].max() == step
    run.resume()
    wait_until(lambda: run.monitor.metrics["step"].max() > step)


def test_a_stopped_run_is_saved_and_goes_on_later(start: Callable[..., LiveRun]) -> None:
    run = start(epochs=3_000)
    wait_until(lambda: len(run.monitor.metrics) > 3)
    run.stop()

    assert run.wait() is None
    assert run.monitor.phase == "stopped"
    saved = load_checkpoint(run.out, run.recipe).step
    assert saved == run.monitor.metrics["step"].max()
    with pytest.raises(ConfigError, match="no report yet"):
        _ = run.report
    more = start(resume=True, epochs=saved // 9 + 2)
    assert more.wait(SECONDS) is not None
    assert more.monitor.metrics["step"].min() == saved + 1


def test_what_goes_wrong_in_the_thread_is_shown_and_raised(start: Callable[..., LiveRun]) -> None:
    run = start(tokens=9_000_000, epochs=1)

    with pytest.raises(ConfigError, match="The corpus ended"):
        run.wait(SECONDS)
    assert run.monitor.phase == "failed"
    assert run.monitor.error.startswith("The corpus ended")
    assert not run.monitor.wait(0)


def test_a_model_that_is_not_here_is_said_at_once(
    start: Callable[..., LiveRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str, **options: Any) -> None:
        raise ModelError("The weights are not here: fetch them.")

    monkeypatch.setattr("workbench.clt.train.load_model", missing)
    with pytest.raises(ModelError, match="The weights are not here"):
        start()


def test_a_wait_that_is_too_short_leaves_the_run_alone(start: Callable[..., LiveRun]) -> None:
    run = start(epochs=3_000)
    with pytest.raises(TimeoutError, match="goes on"):
        run.wait(0.05)
    assert run.running


def test_a_recipe_or_folder_that_cannot_be_used_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The recipe is not usable: lr: .*; featuers: "):
        wb.train({"model": "x", "featuers": 3, "lr": -1}, out=tmp_path)
    with pytest.raises(ConfigError, match="give a TOML file"):
        wb.train(tmp_path / "missing.toml", out=tmp_path)
    (tmp_path / "recipe.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="already holds a training run: set resume=True"):
        wb.train({"model": "x"}, out=tmp_path)
