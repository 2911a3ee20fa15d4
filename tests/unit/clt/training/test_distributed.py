"""Two processes train what one process trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from helpers import tiny_recipe, tiny_training_run, train_to_the_end
from processes import in_processes, resume_part, stop_part, train_part

from workbench.clt.training.checkpoint import TrainState, load_checkpoint
from workbench.clt.training.distributed import Ranks
from workbench.errors import ConfigError
from workbench.files import read_json

Way = Literal["data", "features"]
WAYS: tuple[Way, ...] = ("data", "features")


def metrics(out: Path, name: str) -> list[Any]:
    lines = (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[name] for line in lines]


def fvu(out: Path) -> torch.Tensor:
    return torch.tensor(metrics(out, "fvu_by_layer"))


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


FEW_STEPS: dict[str, Any] = {"lr": 1e-3, "epochs": 2, "window": 2, "init": "random"}
RESAMPLING: dict[str, Any] = {"dead_after": 500}
CASES: dict[str, dict[str, Any]] = {
    "batchtopk": {"activation": "batchtopk", **RESAMPLING},
    "auxk": {"dead": "auxk", "aux_k": 7, "dead_after": 150, "resample_every": 100, "n_features": 64, "k": 2},
    "tied": {"tied": True, **RESAMPLING},
    "jumprelu": {"activation": "jumprelu", "sparsity": 0.1, **RESAMPLING},
    "kl": {"kl_weight": 0.3, "kl_from": 0.5, "threshold_from": 0.5, **RESAMPLING},
}


def train_parts(ranks: Ranks, out: Path, cases: dict[str, dict[str, Any]]) -> None:
    """Do this process's part of several tiny runs, one after the other."""
    for name, options in cases.items():
        train_part(ranks, out / name, options)


@pytest.fixture(scope="module", params=WAYS)
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every case trained by the same two processes."""
    out = tmp_path_factory.mktemp(request.param)
    # The KL needs every feature.
    cases = {name: FEW_STEPS | case for name, case in CASES.items() if name != "kl" or request.param == "data"}
    in_processes(2, request.param, train_parts, out, cases)
    return out


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every case trained by one process."""
    out = tmp_path_factory.mktemp("alone")
    for name, case in CASES.items():
        train_to_the_end(tiny_training_run(out / name, **FEW_STEPS, **case))
    return out


def test_whatever_is_trained_two_processes_train_what_one_trains(together: Path, alone: Path) -> None:
    for folder in sorted(together.iterdir()):
        config = tiny_recipe(**FEW_STEPS, **CASES[folder.name])
        ours, theirs = fvu(folder), fvu(alone / folder.name)
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5, msg=lambda text, f=folder: f"{f.name}: {text}")
        kl = [[value or 0.0 for value in metrics(out / folder.name, "kl")] for out in (together, alone)]
        assert kl[0] == pytest.approx(kl[1], rel=1e-3)
        assert metrics(folder, "dead") == metrics(alone / folder.name, "dead")
        assert_same(load_checkpoint(folder, config), load_checkpoint(alone / folder.name, config), rtol=1e-3, atol=1e-4)


def test_those_runs_did_what_they_are_for(alone: Path) -> None:
    assert 0.1 < max(metrics(alone / "auxk", "dead")) < 0.9
    assert metrics(alone / "kl", "kl")[-1] > 0
    assert load_checkpoint(alone / "jumprelu", tiny_recipe(**FEW_STEPS, **CASES["jumprelu"])).parameters.log_threshold


def test_a_run_that_two_processes_began_is_ended_by_one(tmp_path: Path) -> None:
    """One of the two is asked to stop: both do after the same step."""
    alone = tiny_training_run(tmp_path / "alone", lr=1e-3)
    train_to_the_end(alone)

    in_processes(2, "features", stop_part, tmp_path / "begun", {"lr": 1e-3}, 20)
    assert load_checkpoint(tmp_path / "begun", alone.config).step < 36
    train_to_the_end(tiny_training_run(tmp_path / "begun", lr=1e-3), resume=True)

    assert len(fvu(tmp_path / "begun")) == 36
    torch.testing.assert_close(fvu(tmp_path / "begun"), fvu(tmp_path / "alone"), rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("way", WAYS)
def test_in_a_stream_each_process_harvests_its_share_and_goes_on_with_it(way: Way, tmp_path: Path) -> None:
    options: dict[str, Any] = {"stream": True, "buffer_tokens": 400, "epochs": 2, "batch_tokens": 50}

    in_processes(2, way, train_part, tmp_path / "whole", options)
    in_processes(2, way, stop_part, tmp_path / "stopped", options, 30)
    with pytest.raises(ConfigError, match="as many as it was started with"):
        train_to_the_end(tiny_training_run(tmp_path / "stopped", **options), resume=True)
    in_processes(2, way, resume_part, tmp_path / "stopped", options)

    report = read_json(tmp_path / "whole" / "report.json")
    assert (report["token_passes"], report["machine"]["processes"]) == (2 * 1_200, 2)
    for rank in (0, 1):
        buffer = tmp_path / "whole" / "activations" / f"rank-{rank}-of-2" / "activations.bin"
        assert buffer.stat().st_size == 200 * 6 * 16
    assert report["fvu"] < 0.9
    # Two numbers have one sum, whatever the order: a run on two processes is resumed to the bit too.
    config = tiny_recipe(**options)
    stopped, whole = (load_checkpoint(tmp_path / name, config) for name in ("stopped", "whole"))
    assert_same(stopped, whole, rtol=0, atol=0)


@pytest.mark.parametrize(("name", "way"), [("n_features", "features"), ("batch_tokens", "data"), ("kl_rows", "data")])
def test_what_does_not_divide_is_refused(name: str, way: Way, tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_features": 60, "batch_tokens": 120, "kl_weight": 0.1} | {name: 31}
    if way == "features":
        del options["kl_weight"]
    run = tiny_training_run(tmp_path, ranks=Ranks(rank=0, world=5, parallel=way), parallel=way, **options)

    with pytest.raises(ConfigError, match=rf"{name} = 31 does not divide among 5 processes"):
        run.prepare(resume=False)
