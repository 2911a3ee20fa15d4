from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from helpers import (
    tiny_hf_model,
    tiny_model,
    tiny_model_folder,
    tiny_prompt,
    tiny_tokenizer,
    tiny_training_run,
    train_to_the_end,
)

from workbench.clt import load_clt
from workbench.clt.training.checkpoint import TrainState, load_checkpoint
from workbench.clt.training.trainer import StopFlag
from workbench.errors import CLTError, ConfigError, FormatError, ModelError, ResourceError
from workbench.files import read_json
from workbench.models import from_huggingface


def metrics(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


class StopAfter(StopFlag):
    """Asks to stop once it was asked ``n`` times, as a signal at that moment would."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_training_lowers_the_unexplained_variance_and_exports_what_it_learned(tmp_path: Path) -> None:
    model = tiny_model("llama", dtype=torch.float32)

    report = train_to_the_end(tiny_training_run(tmp_path, model=model, k_start=1, init="random", epochs=12))

    lines = metrics(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 109))
    assert lines[-1]["fvu"] < 0.7 * lines[0]["fvu"]
    assert report["fvu"] < 0.7
    assert report["l0"] == pytest.approx(3 * model.n_layers, rel=0.05)
    clt = load_clt(tmp_path / "clt", model=model)
    assert clt.config.fingerprint == model.fingerprint
    assert clt.config.start_token_id == model.start_token_id
    assert read_json(tmp_path / "clt" / "training.json") == report


@pytest.mark.parametrize("architecture", ["gemma3", "gpt2", "pythia"])
def test_other_architectures_train_too(architecture: Any, tmp_path: Path) -> None:
    model = tiny_model(architecture, dtype=torch.float32)

    report = train_to_the_end(tiny_training_run(tmp_path, model=model))

    assert report["fvu"] < 0.9


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = train_to_the_end(tiny_training_run(tmp_path / "whole"))
    stopped = tiny_training_run(tmp_path / "stopped", stop=StopAfter(30))
    stopped.prepare(resume=False)

    assert stopped.harvest()
    assert not stopped.train()
    assert load_checkpoint(tmp_path / "stopped", stopped.config).step < 36
    resumed = train_to_the_end(tiny_training_run(tmp_path / "stopped"), resume=True)

    assert [line["step"] for line in metrics(tmp_path / "stopped")] == list(range(1, 37))
    assert resumed["fvu"] == pytest.approx(whole["fvu"], rel=1e-5)
    torch.testing.assert_close(
        load_clt(tmp_path / "stopped" / "clt").W_enc, load_clt(tmp_path / "whole" / "clt").W_enc, rtol=1e-4, atol=1e-5
    )


def test_a_stream_through_a_small_buffer_sees_every_token_once_and_can_be_resumed(tmp_path: Path) -> None:
    options: dict[str, Any] = {"stream": True, "buffer_tokens": 400, "epochs": 2, "batch_tokens": 50}
    whole = train_to_the_end(tiny_training_run(tmp_path / "whole", **options))
    stopped = tiny_training_run(tmp_path / "stopped", stop=StopAfter(37), **options)
    stopped.prepare(resume=False)
    assert stopped.harvest()
    assert not stopped.train()

    resumed = train_to_the_end(tiny_training_run(tmp_path / "stopped", **options), resume=True)

    assert whole["token_passes"] == 2 * 1_200
    assert (tmp_path / "whole" / "activations" / "activations.bin").stat().st_size == 400 * 6 * 16
    assert resumed["fvu"] == pytest.approx(whole["fvu"], rel=1e-5)


def test_a_wider_transcoder_starts_from_a_per_layer_one(tmp_path: Path) -> None:
    train_to_the_end(tiny_training_run(tmp_path / "narrow", window=1))

    wide = tiny_training_run(tmp_path / "wide", window=3, k_start=1, warm_start=tmp_path / "narrow" / "clt")
    train_to_the_end(wide)

    assert metrics(tmp_path / "wide")[0]["fvu"] < 1.1 * metrics(tmp_path / "narrow")[-1]["fvu"]
    assert load_clt(tmp_path / "wide" / "clt").config.window == 3


def test_a_run_tells_how_many_parameters_it_trains(tmp_path: Path) -> None:
    """Tied decoders count once, here 3 layers of 24 features of 16 numbers that write to 3, 2 and 1 layers."""
    for tied, decoders in ((False, 6 * 24 * 16), (True, 3 * 24 * 16 + 6 * 24)):
        said: list[str] = []
        run = tiny_training_run(tmp_path / str(tied), tied=tied, window=3)
        run.say = said.append
        report = train_to_the_end(run)
        assert report["parameters"] == decoders + 3 * (24 * 16 + 2 * 24 + 16)
        assert f"{report['parameters'] / 1e6:.1f} M parameters" in said[0]


def test_what_cannot_fit_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Untied decoders need their gradients and moments too, so tied ones fit where untied ones do not."""
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 13_500_000)
    wide: dict[str, Any] = {"n_features": 4_000, "window": 3, "batch_tokens": 16, "tokens": 64}
    tiny_training_run(tmp_path / "tied", tied=True, **wide).prepare(resume=False)

    with pytest.raises(ResourceError, match=r"Training 0\.6 M parameters needs .* lower n_features"):
        tiny_training_run(tmp_path / "untied", **wide).prepare(resume=False)


def test_features_that_never_fire_are_resampled(tmp_path: Path) -> None:
    dead, fvu = {}, {}
    for every in (0, 20):
        out = tmp_path / str(every)
        options: dict[str, Any] = {"n_features": 200, "k": 2, "k_start": 1, "epochs": 20, "init": "random"}
        train_to_the_end(tiny_training_run(out, resample_every=every, resample_until=0.8, threshold_from=1, **options))
        dead[every], fvu[every] = metrics(out)[-1]["dead"], metrics(out)[-1]["fvu"]

    assert dead[20] < 0.5 * dead[0]
    assert fvu[20] < fvu[0]


# --- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_folder_with_a_run_is_not_overwritten(tmp_path: Path) -> None:
    tiny_training_run(tmp_path).prepare(resume=False)

    with pytest.raises(ConfigError, match="already holds a training run: add --resume"):
        tiny_training_run(tmp_path).prepare(resume=False)


def test_a_run_is_not_resumed_with_another_recipe(tmp_path: Path) -> None:
    train_to_the_end(tiny_training_run(tmp_path))
    other = tiny_training_run(tmp_path, lr=1e-4, seed=3, epochs=9)

    with pytest.raises(ConfigError, match=r"another recipe \(lr 0\.003 → 0\.0001, seed 0 → 3\): restore"):
        other.prepare(resume=True)
    with pytest.raises(ConfigError, match=r"another recipe \(lr 0\.003 → 0\.0001, seed 0 → 3\): restore"):
        other.train()


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tiny_training_run(tmp_path, stop=StopAfter(25))
    first.prepare(resume=False)
    assert first.harvest()
    assert not first.train()
    before = load_checkpoint(tmp_path, first.config)

    def full(tensors: Any, path: Any, metadata: Any = None) -> None:
        Path(path).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    again = tiny_training_run(tmp_path)
    again.prepare(resume=True)
    with pytest.raises(ResourceError, match="The disk is full"):
        again.train()

    after = load_checkpoint(tmp_path, first.config)
    assert after.step == before.step < 36
    assert torch.equal(after.parameters.W_enc[0], before.parameters.W_enc[0])
    assert not list(tmp_path.glob(".*.part"))


def test_a_truncated_checkpoint_is_an_error(tmp_path: Path) -> None:
    run = tiny_training_run(tmp_path)
    train_to_the_end(run)
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(FormatError, match="truncated"):
        run.train()


def test_a_cache_of_another_model_is_refused(tmp_path: Path) -> None:
    first = tiny_training_run(tmp_path)
    first.prepare(resume=False)
    assert first.harvest()
    other = tiny_training_run(tmp_path, model=tiny_model("llama", dtype=torch.float32, seed=1))
    other.prepare(resume=True)

    with pytest.raises(ConfigError, match=r"The activation cache in .* is of another recipe or model: choose another"):
        other.harvest()


def test_a_recipe_may_change_until_training_begins_but_not_what_was_harvested(tmp_path: Path) -> None:
    first = tiny_training_run(tmp_path)
    first.prepare(resume=False)
    assert first.harvest()

    tiny_training_run(tmp_path, lr=1e-4).prepare(resume=True)
    with pytest.raises(ConfigError, match=r"another recipe \(row_length 16 → 12\)"):
        tiny_training_run(tmp_path, row_length=12).prepare(resume=True)


def test_activations_with_nan_are_refused(tmp_path: Path) -> None:
    hf_model: Any = tiny_hf_model("llama", dtype=torch.float32)
    hf_model.model.layers[1].mlp.down_proj.weight.data[0, 0] = float("nan")
    model = from_huggingface(hf_model, tiny_tokenizer(), name="tiny", start_token_id=0, fingerprint="damaged")
    run = tiny_training_run(tmp_path, model=model)
    run.prepare(resume=False)

    with pytest.raises(ModelError, match=r"at blocks\.1\.hook_mlp_out hold a NaN or an infinity: harvest with"):
        run.harvest()


def test_a_loss_that_is_no_number_stops_the_run_and_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    stopped = tiny_training_run(tmp_path, stop=StopAfter(20))
    stopped.prepare(resume=False)
    assert stopped.harvest()
    assert not stopped.train()
    before = load_checkpoint(tmp_path, stopped.config)
    diverging = tiny_training_run(tmp_path)
    start = diverging.start

    def broken() -> TrainState:
        state = start()
        state.parameters.b_dec[2][0] = float("inf")
        return state

    diverging.start = broken  # type: ignore[method-assign]
    with pytest.raises(CLTError, match=rf"diverged at step {before.step}: the loss of layer 2 became NaN or infinite"):
        diverging.train()

    after = load_checkpoint(tmp_path, stopped.config)
    assert after.step == before.step
    assert torch.equal(after.parameters.b_dec[2], before.parameters.b_dec[2])


def test_a_killed_process_loses_its_last_steps_and_nothing_else(tmp_path: Path) -> None:
    """The command itself, killed with SIGKILL amid training, resumed, stopped with SIGTERM, resumed."""
    tiny_model_folder(tmp_path / "model")
    text = "\n\n".join(tiny_prompt(length=60, seed=seed) for seed in range(120))
    (tmp_path / "text.txt").write_text(text, encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        f'model = "{tmp_path / "model"}"\ncorpus = "{tmp_path / "text.txt"}"\n'
        "n_features = 24\nk = 3\ntokens = 1200\nheld_out_tokens = 200\nepochs = 60\nrow_length = 16\n"
        "harvest_rows = 8\nbatch_tokens = 128\nlog_every = 1\ncheckpoint_seconds = 0.05\ndtype = 'float32'\n",
        encoding="utf-8",
    )
    out = tmp_path / "run"

    def start(*options: str) -> subprocess.Popen[str]:
        command = "from workbench.cli.app import main; main()"
        arguments = ["train", str(recipe), "--out", str(out), *options]
        return subprocess.Popen(
            [sys.executable, "-c", command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for_step(process: subprocess.Popen[str], step: int) -> None:
        log = out / "metrics.jsonl"
        while not log.exists() or len(log.read_text(encoding="utf-8").splitlines()) < step:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)

    process = start()
    wait_for_step(process, 40)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (out / "clt").exists()

    process = start("--resume")
    wait_for_step(process, 150)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "go on with --resume" in errors

    output, errors = start("--resume", "--json").communicate()
    report = json.loads(output)
    assert report["steps"] == 9 * 60, errors
    assert [line["step"] for line in metrics(out)] == list(range(1, 541))
    assert report["fvu"] < 0.9
