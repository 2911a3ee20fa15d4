"""The benchmark of training says what it measured and what limits it, in a form that other programs can read."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import tiny_model

from workbench.benchmarks import training as benchmark
from workbench.benchmarks.rivals import RIVALS, python_of, start_rival
from workbench.cli.app import run
from workbench.clt.activations.store import ActivationStore
from workbench.errors import ConfigError, ResourceError
from workbench.models.shape import ModelShape

SHAPES = {
    "smollm2-135m-instruct": ModelShape(30, 576, 106_000_000, 134_000_000),
    "gemma-3-270m": ModelShape(18, 640, 100_000_000, 268_000_000),
}
unix_only = pytest.mark.skipif(sys.platform == "win32", reason="stands in a shell script for Python")


def fake(case: dict[str, Any]) -> dict[str, Any]:
    if case["part"] == "harvest":
        return {"tokens_per_second": 600.0, "dtype": "bfloat16"}
    if case["part"] == "rival":
        return {"version": "1", "tokens_per_second": 100.0, "our_tokens_per_second": 500.0, "ratio": 5.0}
    rates = {"tokens_per_second": 900.0, "limit_tokens_per_second": 1200.0, "fraction_of_limit": 0.75}
    return {**rates, "optimiser_bytes": 8, "matmul_gflops": 100.0, "copy_gb_per_second": 30.0}


@pytest.fixture
def without_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_in_a_fresh_process", fake)
    monkeypatch.setattr(benchmark, "model_shape", lambda name: SHAPES[name])
    monkeypatch.setattr(benchmark, "require_memory", lambda *about: None)


@pytest.mark.usefixtures("without_measuring")
def test_the_command_prints_one_object_with_every_case(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "training", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"machine", "harvest_tokens_per_second", "harvest_dtypes", "runs", "skipped"}
    assert found["harvest_tokens_per_second"] == {"smollm2-135m-instruct": 600.0, "gemma-3-270m": 600.0}
    asked = {"model", "features", "window", "skip", "precision"}
    asked |= {"tokens_per_second", "limit_tokens_per_second", "fraction_of_limit", "optimiser_bytes"}
    assert all(set(row) >= asked for row in found["runs"])
    for model in SHAPES:
        rows = [row for row in found["runs"] if row["model"] == model]
        plain = [(row["features"], row["window"]) for row in rows if not row["skip"]]
        assert plain == [(features, window) for features in (1024, 2048) for window in (1, 4, "full")]
        assert [(row["features"], row["window"]) for row in rows if row["skip"]] == [(1024, 4)]


@pytest.mark.usefixtures("without_measuring")
def test_people_read_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "training", "--model", "gemma-3-270m", "--features", "64", "--window", "2"]) == 0
    out = capsys.readouterr().out
    assert "harvest gemma-3-270m: 600 tokens/s in bfloat16" in out
    assert out.count("75%") == 2  # without and with a skip


@pytest.mark.usefixtures("without_measuring")
def test_a_case_that_memory_does_not_suffice_for_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed: list[int] = []

    def require(n_bytes: int, what: str, remedy: str) -> None:
        needed.append(n_bytes)
        if "window full" in what:
            raise ResourceError(f"{what} needs too much: {remedy}.")

    monkeypatch.setattr(benchmark, "require_memory", require)
    arguments = ["--model", "smollm2-135m-instruct", "--features", "2048", "--window", "1", "--window", "full"]
    assert run(["bench", "training", "--json", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["window"] for row in found["runs"]] == [1]
    assert [(row["window"], row["skip"]) for row in found["skipped"]] == [("full", False), ("full", True)]
    assert "2048 features a layer, window full) needs too much" in found["skipped"][0]["reason"]
    # Weights, gradients and two moments of encoders and of 465 decoders.
    assert needed[1] > 16 * (30 + 465) * 2048 * 576


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--window", "31"], "has 30 layers: a window is 1 … 30 or 'full', not '31'"),
        (["--window", "all"], "a window is 1 … 30 or 'full', not 'all'"),
        (["--precision", "float16"], "knows no precision 'float16': choose from float32"),
        (["--batch", "100000"], "a batch has at most"),
        (["--rival", "eai-sparsify"], "give NAME=VENV"),
        (["--rival", "nobody=there"], "no rival 'nobody': choose from decode-clt, eai-sparsify, llamascopium"),
        (["--rival", "eai-sparsify=nowhere"], "give the folder of a virtual environment with eai-sparsify"),
    ],
)
@pytest.mark.usefixtures("without_measuring")
def test_what_cannot_be_measured_is_refused(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", "training", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.fixture
def tiny_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """A case of a tiny model, with activations in its folder."""
    model = tiny_model("llama")
    monkeypatch.setattr(benchmark, "load_model", lambda *about, **options: model)
    monkeypatch.setattr(benchmark, "_TOKENS", 64)
    monkeypatch.setattr(benchmark, "K", 4)
    store = ActivationStore.create(
        tmp_path / "activations", capacity=64, n_layers=model.n_layers, d_model=model.d_model, storage="int8"
    )
    # What is written is what was read, so that there is something to learn.
    store.write(0, torch.randn(model.n_layers, 64, model.d_model).repeat(2, 1, 1))
    store.save_state({})
    about = {"model": "tiny", "folder": str(tmp_path), "features": 24, "window": 2, "skip": True}
    return {**about, "batch_tokens": 32, "seconds": 0.0, "precision": "float32"}


def test_a_case_trains_as_a_run_would_with_as_many_active_features_as_it_says(tiny_case: dict[str, Any]) -> None:
    trainer = benchmark.make_trainer(tiny_case)
    losses = [trainer.step().loss for _ in range(30)]
    assert losses[-1] < losses[0]
    active = trainer.step().active
    assert all(len(layer.values) == 4 * 32 for layer in active)


def test_a_case_tells_its_rate_its_limit_and_the_bytes_of_the_optimiser(tiny_case: dict[str, Any]) -> None:
    found = benchmark.measure({"part": "train", **tiny_case})
    assert found["steps"] == 3
    assert found["fraction_of_limit"] == pytest.approx(
        found["tokens_per_second"] / found["limit_tokens_per_second"], rel=0.01, abs=5.1e-4
    )
    trainer = benchmark.make_trainer(tiny_case)
    weights = sum(tensor.numel() for tensor in trainer.state.parameters.tensors())
    assert found["optimiser_bytes"] == 8 * weights


def test_a_case_that_fails_in_its_process_is_told() -> None:
    with pytest.raises(ResourceError, match=r"case .*no-such-model.* failed: .*no-such-model"):
        benchmark._in_a_fresh_process({"part": "harvest", "model": "no-such-model", "folder": "nowhere"})


# --- rivals -----------------------------------------------------------------------------------------------------------


def environment(folder: Path, script: str) -> Path:
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    # Says that the rival is there, then does what the script says.
    python.write_text(f'#!/bin/sh\ntest "$2" = -c && exit 0\n{script}\n')
    python.chmod(0o755)
    return folder / "venv"


@unix_only
def test_an_environment_without_the_rival_is_refused(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    python.chmod(0o755)
    for name in RIVALS:
        with pytest.raises(ConfigError, match=rf"has no {name}: install it there with .*pip install {name}"):
            python_of(name, tmp_path / "venv")


@unix_only
def test_a_rival_is_given_the_same_activations_and_takes_turns(tiny_case: dict[str, Any], tmp_path: Path) -> None:
    said = tmp_path / "said.json"
    turn = json.dumps({"tokens": 32, "steps": 1, "seconds": 0.5, "losses": [0.9], "peak_memory_mb": 7.0})
    script = f"""printf %s "$4" > "{said}"
echo '{{"version": "9", "threads": 2, "parameters": 5}}'
while read seconds; do echo '{turn}'; done"""
    case = {**tiny_case, "window": 1, "skip": False, "seconds": 0.03, "rival": "eai-sparsify"}
    found = benchmark.measure({"part": "rival", "venv": str(environment(tmp_path, script)), **case})
    told = json.loads(said.read_text())
    assert (told["rival"], told["n_features"], told["k"]) == ("eai-sparsify", 24, 4)
    assert found["version"] == "9"
    assert found["tokens_per_second"] == 64.0
    assert found["steps"] == 3
    assert found["ratio"] == pytest.approx(found["our_tokens_per_second"] / 64.0, abs=0.01)
    assert not Path(told["batch"]).exists()


@unix_only
def test_a_rival_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    reads, writes = torch.zeros(2, 2, 3, 4)
    venv = environment(tmp_path, 'echo "ImportError: no torch" >&2\nexit 1')
    with (
        pytest.raises(ResourceError, match="llamascopium failed: ImportError: no torch"),
        start_rival("llamascopium", venv, reads=reads, writes=writes, n_features=8, k=2),
    ):
        pass


@pytest.mark.usefixtures("without_measuring")
def test_rivals_stand_in_the_result_and_what_stopped_one_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_fails(case: dict[str, Any]) -> dict[str, Any]:
        if case.get("rival") == "decode-clt":
            raise ResourceError("decode-clt failed: no CUDA")
        return fake(case)

    monkeypatch.setattr(benchmark, "_in_a_fresh_process", one_fails)
    monkeypatch.setattr(benchmark, "python_of", lambda name, venv: venv)
    arguments = ["bench", "training", "--model", "gemma-3-270m", "--features", "64", "--window", "4"]
    arguments += ["--rival", "eai-sparsify=a", "--rival", "decode-clt=b"]
    assert run([*arguments, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rivals"]
    assert [(row["rival"], row["window"], row.get("ratio"), row.get("error")) for row in rows] == [
        ("eai-sparsify", 1, 5.0, None),
        ("decode-clt", "full", None, "decode-clt failed: no CUDA"),
    ]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "eai-sparsify, gemma-3-270m, 64 features, window 1: 100.0 tokens/s, here 500.0 by turns (5.0 ×)" in out
    assert "decode-clt, gemma-3-270m, 64 features, window full: decode-clt failed: no CUDA" in out
