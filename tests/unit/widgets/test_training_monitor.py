from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_recipe, tiny_training_run, train_to_the_end

from workbench.clt.training.control import Control
from workbench.clt.training.trainer import METRICS
from workbench.errors import ConfigError
from workbench.widgets import TrainingMonitor
from workbench.widgets.page import page
from workbench.widgets.training_history import SCALARS, History

SECONDS = 120.0  # how long to wait for what never takes long, before calling it lost


def metrics(step: int, *, fvu: float | None = None, n_layers: int = 3) -> dict[str, Any]:
    """Return a step's metrics as the trainer gives them; the layers' FVU are one, two and three tenths above."""
    value = 1 / step if fvu is None else fvu
    return {
        "step": step,
        "n_steps": 40,
        "tokens": 64 * step,
        "fvu": value,
        "fvu_by_layer": [value + 0.1 * (layer + 1) for layer in range(n_layers)],
        "l0": 16.0,
        "dead": 0.25,
        "lr": 1e-3,
        "tokens_per_s": 500.0,
        "seconds": 0.5 * step,
    }


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- the rows ---------------------------------------------------------------------------------------------------------


def test_the_history_keeps_every_row_while_there_is_room() -> None:
    history = History(max_rows=8)
    for step in range(1, 9):
        history.add(metrics(step))

    table = history.scalars()
    assert table.columns.tolist() == list(SCALARS)
    assert table["step"].tolist() == list(range(1, 9))
    assert table["fvu"].tolist() == pytest.approx([1 / step for step in range(1, 9)])
    by_layer = history.by_layer()
    assert by_layer.index.tolist() == list(range(1, 9))
    assert by_layer.loc[4].tolist() == pytest.approx([0.35, 0.45, 0.55])
    assert history.generation == 0


def test_a_long_history_stays_small_and_its_rows_are_means_of_equally_many_steps() -> None:
    history = History(max_rows=8)
    for step in range(1, 101):
        history.add(metrics(step, fvu=float(step)))

    table = history.scalars()
    assert len(table) <= 8
    assert history.generation == 4
    # Sixteen steps a row: the last step of each, the mean of what was measured in them.
    assert table["step"].tolist() == [16, 32, 48, 64, 80, 96, 100]
    assert table["fvu"].tolist() == [8.5, 24.5, 40.5, 56.5, 72.5, 88.5, 98.5]
    assert table["seconds"].tolist() == [step / 2 for step in table["step"]]


# --- what reaches the views -------------------------------------------------------------------------------------------


class Sent:
    """What a monitor sends to its views."""

    def __init__(self, monitor: TrainingMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[dict[str, Any], np.ndarray]] = []
        monkeypatch.setattr(monitor, "send", self._take)

    def _take(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        width = len(SCALARS) + content["layers"]
        self.messages.append((content, np.frombuffer(buffers[0], np.float32).reshape(-1, width)))


def test_new_rows_are_sent_alone_and_four_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = TrainingMonitor(tiny_recipe(), control=Control())
    sent = Sent(monitor, monkeypatch)
    now = 100.0
    monkeypatch.setattr("workbench.widgets.training_monitor.time.monotonic", lambda: now)
    for step in range(1, 101):
        now = 100 + step * 0.02
        monitor.show_step(metrics(step))

    assert len(sent.messages) == 8
    assert [content["first"] for content, _ in sent.messages[:3]] == [0, 0, 13]
    assert [rows[:, 0].astype(int).tolist() for _, rows in sent.messages[:3]] == [
        [1],
        [*range(1, 15)],
        [*range(14, 28)],
    ]
    monitor.flush()
    assert sent.messages[-1][1][-1, 0] == 100


def test_after_rows_were_joined_all_of_them_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = TrainingMonitor(tiny_recipe(), control=Control())
    sent = Sent(monitor, monkeypatch)
    for step in range(1, 601):
        monitor.show_step(metrics(step))
    monitor.flush()
    monitor.show_step(metrics(601))
    monitor.flush()

    content, rows = sent.messages[-1]
    assert (content["generation"], content["first"], len(rows)) == (1, 0, 301)


def test_whoever_asks_for_the_state_gets_the_rows_of_that_moment() -> None:
    monitor = TrainingMonitor(tiny_recipe(), control=Control(), folder="runs/tiny")
    for step in range(1, 4):
        monitor.show_step(metrics(step))

    history = monitor.get_state("history")["history"]
    rows = np.frombuffer(history["rows"]["data"], np.float32).reshape(3, -1)
    assert history["layers"] == 3
    assert rows[:, 0].tolist() == [1, 2, 3]
    assert monitor.about["steps"] == 40
    assert monitor.about["folder"] == "runs/tiny"
    assert "training-monitor" in page(monitor, title="A run")


# --- the run ----------------------------------------------------------------------------------------------------------


def test_the_phases_of_a_run_from_harvest_to_report() -> None:
    monitor = TrainingMonitor(tiny_recipe(), control=Control())
    phases: list[str] = []
    monitor.observe(lambda change: phases.append(change["new"]), "phase")
    monitor.show_stage("harvesting")
    monitor.show_harvest(50, 100)
    assert monitor.harvest == [50, 100]
    monitor.show_stage("training")
    monitor.show_step(metrics(1))
    monitor.show_held(True)
    monitor.show_held(False)
    assert not monitor.wait(0.01)
    monitor.show_stage("exporting")
    monitor.show_end("finished", report={"fvu": 0.5, "recipe": {}, "machine": {}})

    assert phases == ["harvesting", "training", "paused", "training", "exporting", "finished"]
    assert monitor.report == {"fvu": 0.5}
    assert monitor.wait(SECONDS)


def test_the_buttons_hold_and_end_the_run_and_say_when_they_cannot() -> None:
    control = Control()
    monitor = TrainingMonitor(tiny_recipe(), control=control)
    monitor.methods()["pause"]({})
    assert control.paused
    monitor.methods()["resume"]({})
    assert not control.paused
    assert not control()
    monitor.methods()["stop"]({})
    assert control()
    assert monitor.phase == "stopping"
    monitor.show_end("stopped")
    with pytest.raises(ConfigError, match=r"over \(stopped\)"):
        monitor.pause()


def test_a_run_that_is_held_waits_and_the_waiting_is_no_training(tmp_path: Path) -> None:
    control = Control()
    held: list[bool] = []
    control.held = held.append
    control.pause()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(control()))
    thread.start()
    wait_until(lambda: held == [True])
    time.sleep(0.05)
    assert answers == []
    control.resume()
    thread.join(SECONDS)
    assert answers == [False]
    assert held == [True, False]
    assert control.idle >= 0.05


def test_a_signal_ends_a_run_that_is_held() -> None:
    control = Control()
    control.pause()
    control.signal_number = 2
    assert control()


# --- a run in a folder ------------------------------------------------------------------------------------------------


def test_a_finished_run_is_shown_from_its_folder(tmp_path: Path) -> None:
    report = train_to_the_end(tiny_training_run(tmp_path, log_every=2))
    monitor = TrainingMonitor.from_run(tmp_path)

    assert monitor.phase == "finished"
    assert monitor.metrics["step"].tolist() == list(range(2, 37, 2))
    assert monitor.fvu_by_layer.shape == (18, 3)
    assert monitor.report["fvu"] == report["fvu"]
    assert monitor.wait(0)
    with pytest.raises(ConfigError, match="Another process"):
        monitor.pause()


def test_a_run_of_another_process_is_followed(tmp_path: Path) -> None:
    finished = tmp_path / "finished"
    train_to_the_end(tiny_training_run(finished))
    lines = (finished / METRICS).read_text(encoding="utf-8").splitlines(keepends=True)
    report = (finished / "report.json").read_text(encoding="utf-8")
    growing = tmp_path / "growing"
    growing.mkdir()
    (growing / "recipe.json").write_text((finished / "recipe.json").read_text(encoding="utf-8"), encoding="utf-8")

    monitor = TrainingMonitor.from_run(growing)
    assert monitor.phase == "elsewhere"
    assert monitor.metrics.empty
    with (growing / METRICS).open("w", encoding="utf-8") as file:
        # The second line is still being written.
        file.write(lines[0] + lines[1][:30])
        file.flush()
        wait_until(lambda: len(monitor.metrics) == 1)
        file.write(lines[1][30:])
        file.flush()
        wait_until(lambda: len(monitor.metrics) == 2)
    # Resumed from a checkpoint before them: a new file takes the place of the old one.
    (growing / "new").write_text("".join(lines), encoding="utf-8")
    (growing / "new").replace(growing / METRICS)
    wait_until(lambda: len(monitor.metrics) == len(lines))
    (growing / "report.json").write_text(report, encoding="utf-8")
    wait_until(lambda: monitor.phase == "finished")
    assert monitor.report["fvu"] == json.loads(report)["fvu"]
    assert monitor.metrics["step"].tolist() == list(range(1, 37))


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no training run: give a folder"):
        TrainingMonitor.from_run(tmp_path)
