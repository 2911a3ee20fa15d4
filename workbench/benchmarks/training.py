"""How fast a CLT trains from cached activations, how fast they are harvested, and how near that is to the limit.

Each case runs in a fresh process: ``python -m workbench.benchmarks.training`` with a case as JSON prints its result as
JSON. A model's activations are harvested once, into a temporary folder, by the case that measures the harvest.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from workbench.benchmarks.machine import machine
from workbench.benchmarks.rivals import RIVALS, python_of, start_rival
from workbench.clt.activations.batches import CachedBatches
from workbench.clt.activations.harvest import Harvester, harvest_dtype
from workbench.clt.activations.store import ActivationStore
from workbench.clt.config import CLTConfig
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.plan import limit_tokens_per_second
from workbench.clt.training.run import TrainingRun
from workbench.clt.training.trainer import Trainer
from workbench.corpus import bundled, token_batches
from workbench.errors import ConfigError, ResourceError
from workbench.hardware import copy_bandwidth_gb, matmul_gflops
from workbench.memory import peak_memory_mb, require_memory
from workbench.models import LoadedModel, load_model
from workbench.models.shape import ModelShape, model_shape

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
FEATURES = (1024, 2048)
WINDOWS = ("1", "4", "full")
PRECISIONS = {"float32": torch.float32}
SECONDS = 10.0
BATCH_TOKENS, K = 1024, 16

_TOKENS, _ROWS, _ROW_LENGTH = 6_144, 32, 64
_ROUNDS = 3
# The first steps set up memory and caches.
_WARM_UP, _STEPS_AT_LEAST = 2, 3


def run(
    models: Sequence[str] = MODELS,
    *,
    features: Sequence[int] = FEATURES,
    windows: Sequence[str] = WINDOWS,
    precision: str = "float32",
    seconds: float = SECONDS,
    batch_tokens: int = BATCH_TOKENS,
    rivals: Mapping[str, Path | str] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Return facts of the ``machine`` and the results.

    - ``harvest_tokens_per_second``: by model, in the dtype that ``harvest_dtypes`` tells.
    - ``runs``: model, features (a layer), window (a number, or "full"), skip, precision, tokens_per_second of
      training steps from cached activations (of the median step), limit_tokens_per_second (`plan.seconds_per_token`
      with the rates measured just before and after: matmul_gflops in the precision used, copy_gb_per_second),
      fraction_of_limit, optimiser_bytes, parameters, k, batch_tokens, steps, peak_memory_mb. Every feature count and
      window without a skip, and a model's first feature count with window 4 (or the widest asked for) with one.
    - ``skipped``: cases that memory does not suffice for, with the ``reason``.
    - ``rivals``: with virtual environments that hold them (by name, see `RIVALS`), other trainers by turns with
      ours, same shape, activations, batch and threads: rival, version, model, features, window, their
      tokens_per_second, our_tokens_per_second, ratio; or the ``error`` that one ended with.

    Args:
        seconds: of training steps a case; three steps at least.
        say: receives one line a case, before it starts.

    Raises:
        ConfigError: an unknown window or precision, too large a batch, or no environment with a rival.
        ModelError: a model is unknown or not fetched.
        ResourceError: a case's process failed.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"The trainer knows no precision {precision!r}: choose from {', '.join(PRECISIONS)}.")
    if 2 * batch_tokens > _TOKENS:
        raise ConfigError(f"The benchmark harvests {_TOKENS} tokens: a batch has at most {_TOKENS // 2}.")
    for name, venv in (rivals or {}).items():
        python_of(name, venv)
    shapes = {model: model_shape(model) for model in models}
    cases = [case for model in models for case in _cases(model, shapes[model], features, windows)]
    found: dict[str, Any] = {"machine": machine(), "harvest_tokens_per_second": {}, "harvest_dtypes": {}}
    found |= {"runs": [], "skipped": []}
    if rivals:
        found["rivals"] = []
    common = {"seconds": seconds, "batch_tokens": batch_tokens, "precision": precision}
    with tempfile.TemporaryDirectory(prefix="bench-training-") as made:
        for model in models:
            folder = str(Path(made) / str(len(found["harvest_dtypes"])))
            say(f"harvest {model}")
            harvested = _in_a_fresh_process({"part": "harvest", "model": model, "folder": folder})
            found["harvest_tokens_per_second"][model] = harvested["tokens_per_second"]
            found["harvest_dtypes"][model] = harvested["dtype"]
            for case in (case for case in cases if case["model"] == model):
                about = {name: case[name] for name in ("model", "features", "window", "skip")}
                about["precision"] = precision
                say(f"train {_told(about)}")
                try:
                    _require_memory(_clt_config(case, shapes[model]), batch_tokens, about)
                except ResourceError as error:
                    found["skipped"].append({**about, "reason": str(error)})
                    continue
                measured = _in_a_fresh_process({"part": "train", "folder": folder, **case, **common})
                found["runs"].append({**about, **measured})
            for name, venv in (rivals or {}).items():
                window = RIVALS[name].window
                about = {"rival": name, "model": model, "features": features[0], "window": _as_told(window)}
                say(f"{name} {_told({**about, 'skip': False})}")
                case = {**_case(model, shapes[model], features[0], window), "rival": name, "venv": str(venv)}
                try:
                    # Two trainers at once, theirs with dense activations of every layer and their gradients.
                    _require_memory(_clt_config(case, shapes[model]), batch_tokens, about, copies=2)
                    measured = _in_a_fresh_process({"part": "rival", "folder": folder, **case, **common})
                except ResourceError as error:
                    measured = {"error": str(error)}
                found["rivals"].append({**about, **measured})
    return found


def _cases(model: str, shape: ModelShape, features: Sequence[int], windows: Sequence[str]) -> list[dict[str, Any]]:
    cases = [_case(model, shape, n, window) for n in features for window in windows]
    with_skip = "4" if "4" in windows else windows[-1]
    return [*cases, {**_case(model, shape, features[0], with_skip), "skip": True}]


def _case(model: str, shape: ModelShape, features: int, window: str) -> dict[str, Any]:
    if window != "full" and not (window.isdecimal() and 1 <= int(window) <= shape.n_layers):
        raise ConfigError(
            f"{model} has {shape.n_layers} layers: a window is 1 … {shape.n_layers} or 'full', not {window!r}."
        )
    return {"model": model, "features": features, "window": _as_told(window), "skip": False}


def _as_told(window: str) -> int | str:
    return window if window == "full" else int(window)


def _told(about: Mapping[str, Any]) -> str:
    skip = ", skip" if about["skip"] else ""
    return f"{about['model']}: {about['features']} features a layer, window {about['window']}{skip}"


def _clt_config(case: Mapping[str, Any], shape: ModelShape | LoadedModel) -> CLTConfig:
    return CLTConfig(
        model=case["model"],
        n_layers=shape.n_layers,
        d_model=shape.d_model,
        n_features=case["features"],
        window=shape.n_layers if case["window"] == "full" else case["window"],
        skip=case["skip"],
    )


def _require_memory(config: CLTConfig, batch_tokens: int, about: Mapping[str, Any], *, copies: int = 1) -> None:
    # Weights, gradients, two moments; the batch as it is stored, read, normalised, and its errors and their gradient;
    # the model and the libraries.
    batch = 4 * batch_tokens * (8 * config.n_layers * config.d_model + config.n_features)
    dense = 8 * 4 * batch_tokens * config.n_layers * config.n_features if copies > 1 else 0
    needed = copies * (16 * config.n_parameters + batch + 10**9) + dense
    require_memory(needed, f"A case ({_told({'skip': False, **about})})", "ask for fewer features or a narrower window")


def _in_a_fresh_process(case: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-m", __name__, json.dumps(case)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or [f"status {result.returncode}"])[-1]
        raise ResourceError(f"The benchmark case {json.dumps(case)} failed: {reason}; run it alone to see more.")
    return dict(json.loads(result.stdout.splitlines()[-1]))


# --- in the fresh process ---------------------------------------------------------------------------------------------


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Run one case in this process."""
    parts: dict[str, Callable[..., dict[str, Any]]] = {"harvest": _harvest, "train": _train, "rival": _rival}
    return parts[case["part"]](case)


def _harvest(case: Mapping[str, Any]) -> dict[str, Any]:
    dtype = harvest_dtype("auto")
    model = load_model(case["model"], dtype=dtype)
    store = ActivationStore.create(
        Path(case["folder"]) / "activations",
        capacity=_TOKENS,
        n_layers=model.n_layers,
        d_model=model.d_model,
        storage="int8",
    )
    stream = token_batches(
        bundled(),
        model.tokenizer,
        start_token_id=model.start_token_id,
        row_length=_ROW_LENGTH,
        batch_size=_ROWS,
        seed=0,
        split="train",
    )
    # Tokenised before the clock runs, as is the first batch, which fixes the medians that outliers are held against.
    rows = list(islice(stream, 2 * _TOKENS // (_ROWS * (_ROW_LENGTH - 1))))
    harvester = Harvester(model, store)
    harvester.fill(rows, target=_ROWS * (_ROW_LENGTH - 1) // 2, progress=False)
    before, start = harvester.n_tokens, time.perf_counter()
    harvester.fill(rows, target=_TOKENS, progress=False)
    seconds = time.perf_counter() - start
    return {
        "tokens_per_second": round((harvester.n_tokens - before) / seconds, 1),
        "dtype": str(dtype).removeprefix("torch."),
    }


def make_trainer(case: Mapping[str, Any]) -> Trainer:
    """Return a trainer with new random weights on the activations in the case's folder, k features active a token."""
    model = load_model(case["model"], dtype=torch.bfloat16)
    shape = _clt_config(case, model)
    config = TrainConfig(
        model=case["model"],
        n_features=shape.n_features,
        window=shape.window,
        skip=shape.skip,
        k=K,
        k_start=1.0,
        threshold_from=1.0,
        tokens=_TOKENS,
        batch_tokens=case["batch_tokens"],
        # As many steps as the clock allows, the learning rate at its height.
        epochs=10**6,
        warmup=0.0,
        resample_every=0,
        init="random",
    )
    folder = Path(case["folder"])
    state = TrainingRun(config, model, lambda split: (), folder).start()
    batches = CachedBatches(ActivationStore.open(folder / "activations"), config)
    return Trainer(config=config, state=state, batches=batches, out=folder, progress=False)


def _train(case: Mapping[str, Any]) -> dict[str, Any]:
    dtype = PRECISIONS[case["precision"]]
    trainer = make_trainer(case)
    config = trainer.state.parameters.config
    for _ in range(_WARM_UP):
        trainer.step()
    # The rates of a shared machine drift, so they are measured on both sides of the steps.
    rates, bandwidths = [matmul_gflops(dtype=dtype)], [copy_bandwidth_gb()]
    seconds = _timed_steps(trainer, case["seconds"])
    rates.append(matmul_gflops(dtype=dtype))
    bandwidths.append(copy_bandwidth_gb())
    rate, bandwidth = statistics.mean(rates), statistics.mean(bandwidths)
    reached = case["batch_tokens"] / statistics.median(seconds)
    limit = limit_tokens_per_second(config, k=K, batch_tokens=case["batch_tokens"], gflops=rate, bandwidth_gb=bandwidth)
    moments = [value for state in trainer.state.optimiser.state.values() for value in state.values()]
    return {
        "tokens_per_second": round(reached, 1),
        "limit_tokens_per_second": round(limit, 1),
        "fraction_of_limit": round(reached / limit, 3),
        "optimiser_bytes": sum(value.numel() * value.element_size() for value in moments if value.ndim),
        "parameters": config.n_parameters,
        "k": K,
        "batch_tokens": case["batch_tokens"],
        "steps": len(seconds),
        "matmul_gflops": round(rate, 1),
        "copy_gb_per_second": round(bandwidth, 1),
        "peak_memory_mb": round(peak_memory_mb(), 1),
    }


def _timed_steps(trainer: Trainer, seconds: float, *, at_least: int = _STEPS_AT_LEAST) -> list[float]:
    """Return the seconds of each step of as many as fit."""
    found: list[float] = []
    while len(found) < at_least or sum(found) < seconds:
        start = time.perf_counter()
        trainer.step()
        found.append(time.perf_counter() - start)
    return found


def _rival(case: Mapping[str, Any]) -> dict[str, Any]:
    trainer = make_trainer(case)
    n_layers = trainer.state.parameters.config.n_layers
    activations = trainer.state.normalisation.apply_(trainer.batches.batch(0))
    turn = case["seconds"] / _ROUNDS
    tokens, mine = 0, 0.0
    with start_rival(
        case["rival"],
        case["venv"],
        reads=activations[:n_layers],
        writes=activations[n_layers:],
        n_features=case["features"],
        k=K,
    ) as rival:
        trainer.step()
        for _ in range(_ROUNDS):
            steps = _timed_steps(trainer, turn, at_least=1)
            tokens, mine = tokens + len(steps) * case["batch_tokens"], mine + sum(steps)
            rival.run(seconds=turn)
        summary = rival.summary()
    ours = tokens / mine
    return {
        **summary,
        "batch_tokens": case["batch_tokens"],
        "our_threads": torch.get_num_threads(),
        "our_tokens_per_second": round(ours, 1),
        "ratio": round(ours / summary["tokens_per_second"], 2),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
