"""A run that is killed with SIGKILL goes on to the very bits of one that was not."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_training_run
from processes import start_training
from safetensors.torch import load_file

from workbench.clt.activations.batches import CachedBatches
from workbench.clt.training.checkpoint import load_checkpoint

# Saved all the time, so that every moment is a moment in which something is half written.
OPTIONS: dict[str, Any] = {"epochs": 20, "checkpoint_seconds": 0.001, "harvest_rows": 2}
STEPS = 9 * 20


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(tmp_path_factory.mktemp("uninterrupted"))


def finished(out: Path) -> Path:
    process = start_training(out, OPTIONS)
    process.join()
    assert process.exitcode == 0
    return out


def assert_same_bits(out: Path, other: Path) -> None:
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (out, other))
    assert [name for name in theirs if not torch.equal(ours[name], theirs[name])] == []
    weights = Path("clt") / "weights.safetensors"
    assert (out / weights).read_bytes() == (other / weights).read_bytes()


def n_steps(out: Path) -> int:
    log = out / "metrics.jsonl"
    return len(log.read_text(encoding="utf-8").splitlines()) if log.exists() else 0


def harvested(out: Path) -> int:
    record = out / "activations" / "activations.json"
    return int(json.loads(record.read_text(encoding="utf-8"))["state"].get("tokens", 0)) if record.exists() else 0


def half_written(out: Path) -> set[Path]:
    return set(out.glob(".checkpoint.safetensors.*.part"))


def kill_when(process: ForkServerProcess, is_time: Callable[[], bool]) -> None:
    while not is_time():
        assert process.is_alive(), "the moment never came"
        time.sleep(0.0005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_killed_amid_harvest_amid_a_step_and_amid_a_checkpoint(uninterrupted: Path, tmp_path: Path) -> None:
    moments = random.Random(time.time_ns())
    tokens, step = moments.randint(1, 1_000), moments.randint(2, 60)

    kill_when(start_training(tmp_path, OPTIONS), lambda: harvested(tmp_path) >= tokens)
    assert n_steps(tmp_path) == 0
    kill_when(start_training(tmp_path, OPTIONS), lambda: n_steps(tmp_path) >= step)
    left = half_written(tmp_path)
    kill_when(start_training(tmp_path, OPTIONS), lambda: bool(half_written(tmp_path) - left))
    assert n_steps(tmp_path) < STEPS

    assert_same_bits(finished(tmp_path), uninterrupted)
    assert not half_written(tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("moment", range(20))
def test_killed_at_any_moment(moment: int, uninterrupted: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    finished(tmp_path / "timed")
    whole = time.monotonic() - started
    process = start_training(tmp_path / "killed", OPTIONS)
    process.join(random.Random(time.time_ns()).uniform(0, whole))
    process.kill()
    process.join()

    assert_same_bits(finished(tmp_path / "killed"), uninterrupted)


def test_an_interrupt_stops_after_the_step_and_saves(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C, or a notebook's interrupt of its kernel: a SIGINT while the main thread trains."""
    read = CachedBatches.batch

    def interrupted(self: CachedBatches, step: int) -> torch.Tensor:
        if step == 20:
            signal.raise_signal(signal.SIGINT)
        return read(self, step)

    run = tiny_training_run(tmp_path, **OPTIONS)
    run.prepare(resume=False)
    assert run.harvest()
    with monkeypatch.context() as patch:
        patch.setattr(CachedBatches, "batch", interrupted)
        assert not run.train()

    assert load_checkpoint(tmp_path, run.config).step == 21
    assert_same_bits(finished(tmp_path), uninterrupted)


def test_a_run_on_another_thread_is_stopped_by_its_flag(tmp_path: Path) -> None:
    run = tiny_training_run(tmp_path, epochs=100_000)
    run.prepare(resume=False)
    assert run.harvest()
    ended: list[bool] = []
    thread = threading.Thread(target=lambda: ended.append(run.train()))

    thread.start()
    while n_steps(tmp_path) < 5:
        time.sleep(0.01)
    run.stop.signal_number = signal.SIGINT
    thread.join()

    assert ended == [False]
    assert load_checkpoint(tmp_path, run.config).step >= 5
