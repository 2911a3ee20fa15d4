"""What a run will take is told before it starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_hf_model, tiny_recipe

from workbench.cli.app import run
from workbench.clt import CLTConfig
from workbench.clt.training.plan import Machine, limit_tokens_per_second, memory_on, parts_on, plan, seconds_per_token
from workbench.errors import ConfigError
from workbench.hardware import copy_bandwidth_gb, matmul_gflops
from workbench.models.shape import ModelShape, model_shape

MODEL = ModelShape(n_layers=4, d_model=100, block_parameters=2_000_000, n_parameters=5_000_000)
MACHINE = Machine("a machine", 1, gflops=1, harvest_gflops=8, bandwidth_gb=2, memory_gb=1, link_gb=1)
FIGURES = ["--gflops", "1", "--bandwidth-gb", "2", "--memory-gb", "1", "--harvest-gflops", "8"]


def clt(**overrides: Any) -> CLTConfig:
    fields: dict[str, Any] = {"model": "m", "n_layers": 4, "d_model": 100, "n_features": 50, "window": 3}
    return CLTConfig(**fields | overrides)


def test_the_limit_is_the_sum_of_its_parts() -> None:
    parts = seconds_per_token(clt(skip=True), k=5, batch_tokens=10, gflops=1, bandwidth_gb=2)

    n_pairs = 3 + 3 + 2 + 1
    n_parameters = (4 + n_pairs) * 50 * 100 + 4 * 100 * 100 + 4 * (2 * 50 + 100)
    assert parts == pytest.approx(
        {
            "encoder": 2 * 4 * 100 * 50 / 1e9,
            "skip": 4 * 4 * 100 * 100 / 1e9,
            "decoders": 16 * n_pairs * 5 * 100 / 2e9,
            "adam": 28 * n_parameters / (10 * 2e9),
        }
    )
    limit = limit_tokens_per_second(clt(skip=True), k=5, batch_tokens=10, gflops=1, bandwidth_gb=2)
    assert limit == pytest.approx(1 / sum(parts.values()))


def test_several_devices_share_out_either_the_tokens_or_the_features() -> None:
    config, four = clt(skip=True), replace(MACHINE, devices=4)
    alone = parts_on(MACHINE, config, tiny_recipe())
    over_data = parts_on(four, config, tiny_recipe(parallel="data"))
    over_features = parts_on(four, config, tiny_recipe(parallel="features"))

    assert alone["exchange"] == 0
    for name in ("encoder", "decoders"):
        assert over_data[name] == over_features[name] == pytest.approx(alone[name] / 4)
    assert (over_data["adam"], over_features["skip"]) == pytest.approx((alone["adam"], alone["skip"]))
    assert (over_data["skip"], over_features["adam"]) == pytest.approx((alone["skip"] / 4, alone["adam"] / 4))
    assert over_data["exchange"] == pytest.approx(8 * 0.75 * config.n_parameters / 128 / 1e9)
    assert over_features["exchange"] == pytest.approx(8 * 0.75 * 4 * 100 / 1e9)


def test_features_that_are_shared_out_share_out_their_memory() -> None:
    config, four = clt(n_features=400), replace(MACHINE, devices=4)

    over_data = memory_on(four, config, tiny_recipe(parallel="data"), MODEL)
    over_features = memory_on(four, config, tiny_recipe(parallel="features"), MODEL)

    assert over_data["adam"] == 8 * config.n_parameters
    assert over_features["adam"] == pytest.approx(over_data["adam"] / 4, rel=1e-4)
    assert over_features["batch"] > over_data["batch"]
    assert over_data["model"] == over_features["model"] == 2 * 5_000_000


def test_tied_decoders_are_counted_once() -> None:
    recipe = tiny_recipe(tied=True, n_features=50, window=3)
    n_pairs = 3 + 3 + 2 + 1
    n_parameters = (4 + 4) * 50 * 100 + n_pairs * 50 + 4 * (2 * 50 + 100)

    told = plan(recipe, MODEL, replace(MACHINE, devices=2))

    assert told["parameters"] == n_parameters
    assert told["memory_bytes_per_device"]["adam"] == told["optimiser_state_bytes"] == 8 * n_parameters
    assert told["checkpoint_bytes"] == 2 * 12 * n_parameters
    assert told["seconds_per_token"]["adam"] == pytest.approx(28 * n_parameters / (128 * 2e9))
    assert told["seconds_per_token"]["exchange"] == pytest.approx(8 * 0.5 * n_parameters / 128 / 1e9)


def test_hours_follow_from_tokens_and_speed() -> None:
    recipe = tiny_recipe(tokens=1_000_000, held_out_tokens=200_000, epochs=3)

    told = plan(recipe, MODEL, MACHINE)

    assert told["harvest_tokens_per_second"] == pytest.approx(0.6 * 8e9 / (2 * 2_000_000))
    assert told["training_tokens_per_second"] == pytest.approx(0.6 * told["limit_tokens_per_second"])
    assert told["harvest_hours"] == pytest.approx(1_200_000 / told["harvest_tokens_per_second"] / 3600)
    assert told["training_hours"] == pytest.approx(3_000_000 / told["training_tokens_per_second"] / 3600)
    assert told["optimiser_state_bytes"] == 8 * told["parameters"]
    assert told["cache_bytes"] == 1_200_000 * 2 * 4 * (100 + 4)
    assert told["fits"]
    assert not plan(recipe, MODEL, replace(MACHINE, memory_gb=0.001))["fits"]


def test_a_stream_needs_disk_for_its_buffer_alone_and_is_harvested_by_all() -> None:
    recipe = tiny_recipe(tokens=1_000_000, held_out_tokens=1_000, stream=True, buffer_tokens=9_000)

    told = plan(recipe, MODEL, replace(MACHINE, devices=2))

    assert told["cache_bytes"] == 10_000 * 2 * 4 * (100 + 4)
    assert told["harvest_tokens_per_second"] == pytest.approx(2 * 0.6 * 8e9 / (2 * 2_000_000))


def test_gpus_are_known_by_name() -> None:
    eight = Machine.named("8xH100")

    assert (eight.devices, eight.memory_gb) == (8, 80)
    assert Machine.named("a100").devices == 1
    with pytest.raises(ConfigError, match=r"no figure for the machine '3xABACUS': give a number and one of A100, H100"):
        Machine.named("3xABACUS")


def test_this_machine_is_measured() -> None:
    assert matmul_gflops(size=128) > 0.01
    assert copy_bandwidth_gb(n_bytes=2**22) > 0.01


def test_the_shape_of_a_model_is_read_without_loading_it(tmp_path: Path) -> None:
    model = tiny_hf_model("llama", dtype=torch.float32)
    model.save_pretrained(tmp_path)

    shape = model_shape(str(tmp_path))

    in_blocks = sum(p.numel() for name, p in model.named_parameters() if ".layers." in name)
    assert (shape.n_layers, shape.d_model, shape.block_parameters) == (3, 16, in_blocks)
    assert ModelShape.parse("26x2304x2.6e9").n_parameters == 2_600_000_000
    for text in ("26x2304", "ax2x3", "0x1x1"):
        with pytest.raises(ConfigError, match=r"The shape .* of a model is none"):
            ModelShape.parse(text)


def recipe_file(folder: Path) -> str:
    path = folder / "recipe.toml"
    path.write_text('model = "far/away"\nn_features = 50\nwindow = 3\n', encoding="utf-8")
    return str(path)


def test_the_command_prints_a_plan_and_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", recipe_file(tmp_path), "--out", str(tmp_path / "run"), "--model-shape", "4x100x2e6", *FIGURES]

    assert run([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["parameters"] == clt().n_parameters
    assert run([*arguments, "--plan-for", "2xH200", "--devices", "4"]) == 0
    assert "2xH200: 4 device(s)" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gflops", "3"], "give --bandwidth-gb, --memory-gb too, or --plan-for"),
        (["--gflops", "-3"], "--gflops has to be positive"),
        (["--plan-for", "a box"], "no figure for the machine 'a box'"),
    ],
)
def test_half_a_machine_is_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", recipe_file(tmp_path), "--model-shape", "4x100x2e6", *options]) == 2
    assert message in capsys.readouterr().err
