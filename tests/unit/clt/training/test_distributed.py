"""Two processes train what one process trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from helpers import tiny_recipe, tiny_training_run, train_to_the_end
from processes import in_processes, train_part

from workbench.clt.training.checkpoint import TrainState, load_checkpoint

Way = Literal["data", "features"]
WAYS: tuple[Way, ...] = ("data", "features")


def fvu(out: Path) -> torch.Tensor:
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return torch.tensor([json.loads(line)["fvu_by_layer"] for line in lines])


def assert_same(found: TrainState, expected: TrainState, **tolerance: float) -> None:
    assert found.step == expected.step
    for (name, ours), (_, theirs) in zip(found.parameters.named(), expected.parameters.named(), strict=True):
        torch.testing.assert_close(ours, theirs, **tolerance, msg=lambda text, name=name: f"{name}: {text}")
    torch.testing.assert_close(found.threshold, expected.threshold, **tolerance)
    assert torch.equal(found.last_fired, expected.last_fired)


@pytest.mark.parametrize("way", WAYS)
def test_two_processes_train_what_one_trains(way: Way, tmp_path: Path) -> None:
    """With resampling, through the phase of top-k and that of JumpReLU."""
    options: dict[str, Any] = {"skip": True, "lr": 1e-3, "dead_after": 500}
    alone = tiny_training_run(tmp_path / "alone", **options)
    train_to_the_end(alone)

    in_processes(2, way, train_part, tmp_path / "two", options)

    torch.testing.assert_close(fvu(tmp_path / "two"), fvu(tmp_path / "alone"), rtol=1e-3, atol=2e-5)
    assert_same(
        load_checkpoint(tmp_path / "two", tiny_recipe(**options)),
        load_checkpoint(tmp_path / "alone", tiny_recipe(**options)),
        rtol=1e-3,
        atol=1e-4,
    )
