"""A checkpoint is whole or absent, and whoever wrote it, any number of processes reads it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_recipe, tiny_training_run, train_to_the_end
from processes import StopAfter, in_processes, rewrite_part
from safetensors import safe_open
from safetensors.torch import load_file

from workbench.clt.training.checkpoint import TrainState, load_checkpoint, save_checkpoint
from workbench.errors import ConfigError, FormatError
from workbench.files import read_json, write_json, write_safetensors

OPTIONS: dict[str, Any] = {"skip": True, "epochs": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained")
    train_to_the_end(tiny_training_run(out, **OPTIONS))
    return out


@pytest.fixture(scope="module")
def shared_out(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same checkpoint, written by two processes that hold half of the features each."""
    out = tmp_path_factory.mktemp("shared_out") / "run"
    shutil.copytree(trained, out)
    in_processes(2, "features", rewrite_part, out, OPTIONS)
    return out


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "run"))


def load(folder: Path) -> TrainState:
    return load_checkpoint(folder, tiny_recipe(**OPTIONS))


def checkpoint_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if "checkpoint" in path.name}


def tensors(state: TrainState) -> dict[str, torch.Tensor]:
    named = dict(state.parameters.named())
    moments = {
        f"{kind}.{name}": state.optimiser.state[tensor][kind]
        for name, tensor in named.items()
        for kind in ("step", "exp_avg", "exp_avg_sq")
    }
    rest = {"mean": state.normalisation.mean, "scale": state.normalisation.scale}
    return named | moments | rest | {"last_fired": state.last_fired, "threshold": state.threshold}


def assert_equal(found: TrainState, expected: TrainState) -> None:
    assert (found.step, found.seconds) == (expected.step, expected.seconds)
    ours, theirs = tensors(found), tensors(expected)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


def test_one_process_writes_one_file(trained: Path) -> None:
    assert checkpoint_files(trained) == {"checkpoint.safetensors"}


def test_processes_with_shared_out_features_write_one_file_each_and_an_index(shared_out: Path) -> None:
    assert checkpoint_files(shared_out) == {
        "checkpoint.json",
        "checkpoint.step-18.rank-0-of-2.safetensors",
        "checkpoint.step-18.rank-1-of-2.safetensors",
    }


def test_one_process_reads_bit_for_bit_what_two_wrote(trained: Path, shared_out: Path) -> None:
    assert_equal(load(shared_out), load(trained))


@pytest.mark.parametrize("world", [2, 3])
def test_so_does_another_number_of_processes(trained: Path, shared_out: Path, world: int, tmp_path: Path) -> None:
    out = copy(shared_out, tmp_path)

    in_processes(world, "features", rewrite_part, out, OPTIONS)

    assert len(checkpoint_files(out)) == 1 + world
    assert_equal(load(out), load(trained))


def test_one_process_takes_over_from_two(shared_out: Path, tmp_path: Path) -> None:
    out = copy(shared_out, tmp_path)
    state = load(out)

    save_checkpoint(out, state, tiny_recipe(**OPTIONS))

    assert checkpoint_files(out) == {"checkpoint.safetensors"}
    assert_equal(load(out), state)


def test_files_that_no_index_names_are_ignored_and_cleared_away(shared_out: Path, tmp_path: Path) -> None:
    """As after a kill when one process had written its part of the next checkpoint and the other had not."""
    out = copy(shared_out, tmp_path)
    (out / "checkpoint.step-19.rank-0-of-2.safetensors").write_bytes(b"the part of a checkpoint that has no other")
    state = load(out)
    assert state.step == 18

    save_checkpoint(out, state, tiny_recipe(**OPTIONS))

    assert checkpoint_files(out) == {"checkpoint.safetensors"}


@pytest.mark.parametrize("newer", ["whole", "shared out"])
def test_of_two_checkpoints_side_by_side_the_newer_counts(newer: str, shared_out: Path, tmp_path: Path) -> None:
    """As after a kill between the writing of one kind and the deletion of the other."""
    out = copy(shared_out, tmp_path)
    other = copy(shared_out, tmp_path / "other")
    state = load(other)
    state.step += 1 if newer == "whole" else -1
    save_checkpoint(other, state, tiny_recipe(**OPTIONS))
    shutil.copy(other / "checkpoint.safetensors", out)

    assert load(out).step == (19 if newer == "whole" else 18)


def test_a_damaged_part_is_an_error(shared_out: Path, tmp_path: Path) -> None:
    out = copy(shared_out, tmp_path)
    part = out / "checkpoint.step-18.rank-1-of-2.safetensors"
    part.write_bytes(part.read_bytes()[:-100])

    with pytest.raises(FormatError, match=r"rank-1-of-2\.safetensors: .*truncated"):
        load(out)


def test_another_recipe_is_shown_field_by_field(trained: Path) -> None:
    other = tiny_recipe(skip=True, epochs=9, lr=1e-4, corpus="text.txt", window=3)

    with pytest.raises(ConfigError, match=r"\(corpus bundled → text\.txt, lr 0\.003 → 0\.0001, window 2 → 3\)"):
        load_checkpoint(trained, other)


# --- recipes of other versions ----------------------------------------------------------------------------------------


def change_recipe(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the recipe that a run wrote down, in both places."""
    recipe = read_json(folder / "recipe.json")
    change(recipe)
    write_json(folder / "recipe.json", recipe)
    path = folder / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["state"])
    change(description["recipe"])
    write_safetensors(path, load_file(path), metadata={"state": json.dumps(description)})


def without_newer_fields(recipe: dict[str, Any]) -> None:
    """What there was before transcoders could be tied, JumpReLUs learned, and several processes train."""
    newer = {"tied", "activation", "sparsity", "sparsity_warmup", "saturation", "bandwidth", "pre_activation", "dead"}
    newer |= {"aux_k", "aux_coefficient", "kl_weight", "kl_from", "kl_rows", "kl_positions", "parallel"}
    for name in newer:
        del recipe[name]


def with_other_defaults(recipe: dict[str, Any]) -> None:
    """What a version wrote down that had other defaults for what a run with top-k does not use."""
    recipe |= {"sparsity": 0.5, "bandwidth": 7.0, "aux_k": 3}


@pytest.mark.parametrize("change", [without_newer_fields, with_other_defaults])
def test_a_run_of_an_older_version_is_resumed(change: Callable[[dict[str, Any]], object], tmp_path: Path) -> None:
    stopped = tiny_training_run(tmp_path, stop=StopAfter(20), **OPTIONS)
    stopped.prepare(resume=False)
    assert stopped.harvest()
    assert not stopped.train()
    change_recipe(tmp_path, change)

    report = train_to_the_end(tiny_training_run(tmp_path, **OPTIONS), resume=True)

    assert report["steps"] == 18
    assert report["recipe"] == tiny_recipe(**OPTIONS).model_dump(mode="json")


def test_what_the_run_does_use_is_compared_all_the_same(trained: Path, tmp_path: Path) -> None:
    out = copy(trained, tmp_path)
    change_recipe(out, lambda recipe: recipe.update(lr=0.5))

    with pytest.raises(ConfigError, match=r"another recipe \(lr 0\.5 → 0\.003\)"):
        tiny_training_run(out, **OPTIONS).prepare(resume=True)


def test_fields_of_a_newer_version_are_named(trained: Path, tmp_path: Path) -> None:
    out = copy(trained, tmp_path)
    change_recipe(out, lambda recipe: recipe.update(momentum=0.9, rank=3))
    told = r"has fields that this version does not know \(momentum, rank\): use the version that it was written by"

    with pytest.raises(ConfigError, match=rf"The recipe .*recipe\.json {told}"):
        tiny_training_run(out, **OPTIONS).prepare(resume=True)
    with pytest.raises(ConfigError, match=rf"The recipe in .*checkpoint\.safetensors {told}"):
        load(out)
