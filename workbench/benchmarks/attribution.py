"""How fast attribution is, how much memory it takes, and what a cap costs.

Each case runs in a fresh process, so that its peak memory is its own: ``python -m workbench.benchmarks.attribution``
with a case as JSON prints its result as JSON.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from workbench.attribution import attribute
from workbench.attribution.cap import within_cap
from workbench.attribution.local_model import ActiveFeatures, LocalModel, freeze
from workbench.attribution.scores import graph_scores
from workbench.attribution.sweep import sweep
from workbench.attribution.targets import Outputs, outputs_of
from workbench.benchmarks.circuit_tracer import python_of, start_circuit_tracer
from workbench.benchmarks.machine import machine, matmul_gflops
from workbench.clt import CLT, CLTConfig, default_clt, load_clt
from workbench.errors import ConfigError, ResourceError
from workbench.memory import peak_memory_mb
from workbench.models import LoadedModel, capture_reads_and_writes, load_model, model_folder, tokenize

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")
LENGTHS = (8, 16, 32, 64, 128)
CAPS = (1024, 2048, 4096)
PARTS = ("uncapped", "length", "cap")

# The case that other tools have been measured on.
_MODEL, _MODEL_IN_TRANSFORMER_LENS = "gemma-3-270m", "google/gemma-3-270m"
_PROMPT = "Fact: Michael Jordan plays the sport of"
_N_FEATURES, _L0 = 2048, 16

_TEXT = (
    "The old harbour wakes before the sun does. Fishing boats come back with their lamps still burning, and the men on "
    "deck call the night's catch across the water to the women who wait with baskets on the quay. By six o'clock the "
    "market is loud: silver herring, crabs that try to climb out of their crates, and a boy who sells hot bread from a "
    "bicycle. A doctor from the hill buys two mackerel every Tuesday and asks the same question each time, whether the "
    "wind will turn. Nobody knows, but somebody always answers. When the bell of the small white church rings nine, "
    "the stalls close one after another, the stones are washed with sea water, and the cats inherit the square."
)
_CAP_PROMPTS = (
    "The currency of the United Kingdom is the",
    "When Mary and John went to the store, John gave a drink to",
    "A child with an itchy rash of small blisters probably has chicken",
)


def run(
    parts: Sequence[str] = PARTS,
    *,
    models: Sequence[str] = MODELS,
    lengths: Sequence[int] = LENGTHS,
    caps: Sequence[int] = CAPS,
    repeats: int = 3,
    circuit_tracer: Path | str | None = None,
) -> dict[str, Any]:
    """Return facts of the ``machine`` and the results of some parts.

    - ``uncapped_9_tokens``: seconds, sweep_seconds, peak_memory_mb, active_features, operations and
      fraction_of_matmul_rate (what the sweep reaches of the rate measured just before and after it; the median of
      the repeats) on the case that
      other tools have been measured on. Where ``circuit_tracer`` names a virtual environment that holds it, the two
      take turns: ``circuit_tracer`` tells its version, seconds, peak_memory_mb, active_features, batch_size and
      largest_difference (of an edge, relative to its largest weight), ``ratio_to_circuit_tracer`` its best seconds
      over ours. Else both are None.
    - ``by_length``: model, tokens, seconds, peak_memory_mb, nodes, edges with the shipped CLTs and the default cap;
      ``growth_exponent``: by model, the slope of log seconds over log tokens.
    - ``by_cap``: model, prompt, cap, rule (``influence``, or ``size``: activation × decoder norm), seconds (of choosing
      and sweeping), operations, replacement, completeness, left_out_influence.

    Raises:
        ConfigError: ``circuit_tracer`` is no environment with circuit-tracer, or its case is not among ``parts``.
        ResourceError: a case's process failed.
    """
    if circuit_tracer is not None:
        if "uncapped" not in parts:
            raise ConfigError("circuit-tracer is measured on the uncapped case: add the part 'uncapped'.")
        python_of(circuit_tracer)
    found: dict[str, Any] = {"machine": machine()}
    if "uncapped" in parts:
        venv = None if circuit_tracer is None else str(circuit_tracer)
        case = {"part": "uncapped", "repeats": repeats, "circuit_tracer": venv}
        found["uncapped_9_tokens"] = _in_a_fresh_process(case)
    if "length" in parts:
        found["by_length"] = [
            _in_a_fresh_process({"part": "length", "model": model, "tokens": length, "repeats": repeats})
            for model in models
            for length in lengths
        ]
        found["growth_exponent"] = {
            model: growth_exponent([row for row in found["by_length"] if row["model"] == model]) for model in models
        }
    if "cap" in parts:
        rows = [_in_a_fresh_process({"part": "cap", "model": model, "caps": list(caps)})["rows"] for model in models]
        found["by_cap"] = [row for of_model in rows for row in of_model]
    return found


def growth_exponent(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return the slope of log seconds over log tokens; None for fewer than two lengths."""
    if len({row["tokens"] for row in rows}) < 2:
        return None
    logs = np.log([[row["tokens"], row["seconds"]] for row in rows])
    return round(float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]), 2)


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
    parts: dict[str, Callable[..., dict[str, Any]]] = {"uncapped": _uncapped, "length": _length, "cap": _cap}
    return parts[case["part"]](**{name: value for name, value in case.items() if name != "part"})


def random_case(model: LoadedModel) -> tuple[CLT, Int[Tensor, " position"]]:
    """Return a random full CLT with ``_L0`` active features a layer and position on the prompt, and its tokens."""
    torch.manual_seed(0)
    n_layers, d_model = model.n_layers, model.d_model
    tokens = tokenize(model, _PROMPT)
    W_enc = torch.randn(n_layers, _N_FEATURES, d_model) / d_model**0.5
    reads, _ = capture_reads_and_writes(model, tokens[None])
    pre = torch.einsum("lpd,lfd->lpf", reads[:, 0, 1:], W_enc)
    # The threshold of a layer lets exactly that many features a position pass, on average.
    # Midway to the next one, so that rounding in another implementation finds the same features.
    threshold = pre.flatten(1).topk(_L0 * (len(tokens) - 1) + 1).values[:, -2:].mean(dim=1, keepdim=True)
    config = CLTConfig(model=model.name, n_layers=n_layers, d_model=d_model, n_features=_N_FEATURES, window=n_layers)
    clt = CLT(
        config,
        W_enc,
        torch.zeros(n_layers, _N_FEATURES),
        threshold.expand(-1, _N_FEATURES),
        tuple(torch.randn(_N_FEATURES, n_layers - layer, d_model) for layer in range(n_layers)),
        torch.zeros(n_layers, d_model),
    )
    return clt, tokens


def _uncapped(repeats: int, circuit_tracer: str | None = None) -> dict[str, Any]:
    model = load_model(_MODEL)
    clt, tokens = random_case(model)
    seconds, sweep_seconds, rates, error = [], [], [matmul_gflops()], 0.0
    with ExitStack() as stack:
        other = None
        if circuit_tracer is not None:
            started = start_circuit_tracer(
                circuit_tracer, clt, tokens, model=model_folder(_MODEL), name=_MODEL_IN_TRANSFORMER_LENS
            )
            other = stack.enter_context(started)
        for _ in range(repeats):
            graph = attribute(model, clt, tokens, cap=None, progress=False)
            seconds.append(graph.info["seconds"])
            sweep_seconds.append(graph.info["sweep_seconds"])
            error = max(error, graph.scores().row_sum_error)
            rates.append(matmul_gflops())
            if other is not None:
                other.run()
        peak = peak_memory_mb()
        theirs = None if other is None else other.summary(graph)
    operations, best = graph.info["operations"], min(seconds)
    # The rate of a shared machine drifts within seconds, so each run is held against its neighbours.
    fractions = [
        operations / sweep / 1e9 / statistics.mean(around)
        for sweep, around in zip(sweep_seconds, pairwise(rates), strict=True)
    ]
    return {
        "seconds": round(best, 3),
        "sweep_seconds": round(min(sweep_seconds), 3),
        "all_seconds": [round(value, 3) for value in seconds],
        "peak_memory_mb": round(peak, 1),
        "tokens": len(tokens),
        "active_features": graph.info["active_features"],
        "operations": operations,
        "matmul_gflops": round(max(rates), 1),
        "fraction_of_matmul_rate": round(statistics.median(fractions), 3),
        "row_sum_error": error,
        "ratio_to_circuit_tracer": None if theirs is None else round(theirs["seconds"] / best, 1),
        "circuit_tracer": theirs,
    }


def _length(model: str, tokens: int, repeats: int) -> dict[str, Any]:
    loaded = load_model(model)
    clt = load_clt(default_clt(model), model=loaded)
    ids = tokenize(loaded, _TEXT)[:tokens]
    if len(ids) < tokens:
        raise ResourceError(f"The benchmark's text has {len(ids)} tokens of {model!r}, not {tokens}: ask for fewer.")
    # Long cases are steady enough to be run once.
    graphs = [attribute(loaded, clt, ids, progress=False) for _ in range(repeats if tokens <= 32 else 1)]
    best = min(graphs, key=lambda graph: float(graph.info["seconds"]))
    return {
        "model": model,
        "tokens": tokens,
        "seconds": round(best.info["seconds"], 3),
        "peak_memory_mb": round(peak_memory_mb(), 1),
        "active_features": best.info["active_features"],
        "nodes": len(best.nodes),
        "edges": best.n_edges,
        "left_out_influence": round(best.info["left_out_influence"], 4),
        "operations": best.info["operations"],
        "row_sum_error": best.scores().row_sum_error,
    }


def by_size(local: LocalModel, cap: int) -> ActiveFeatures:
    """Return the features of the largest activation × decoder norm."""
    features = local.features
    norms = torch.stack([decoder.flatten(1).norm(dim=1) for decoder in local.clt.W_dec])
    size = features.activation * norms[features.layer, features.feature]
    return features.select(size.topk(min(cap, len(size))).indices.sort().values)


def _cap(model: str, caps: list[int]) -> dict[str, Any]:
    loaded = load_model(model)
    clt = load_clt(default_clt(model), model=loaded)
    rows = []
    for prompt in _CAP_PROMPTS:
        local = freeze(loaded, clt, tokenize(loaded, prompt))
        outputs = outputs_of(local)
        for cap in (cap for cap in caps if cap < len(local.features)):
            for rule in ("size", "influence"):
                start = time.perf_counter()
                left_out, estimating = None, 0
                if rule == "size":
                    features = by_size(local, cap)
                else:
                    features, left_out, estimating = within_cap(local, local.features, outputs, cap)
                scores, sweeping = _scores(local, features, outputs)
                rows.append(
                    {
                        "model": model,
                        "prompt": prompt,
                        "active_features": len(local.features),
                        "cap": cap,
                        "rule": rule,
                        "seconds": round(time.perf_counter() - start, 3),
                        "operations": estimating + sweeping,
                        **scores,
                        "left_out_influence": None if left_out is None else round(left_out, 4),
                    }
                )
    return {"rows": rows}


def _scores(local: LocalModel, features: ActiveFeatures, outputs: Outputs) -> tuple[dict[str, float], int]:
    result = sweep(local, features, outputs, progress=False)
    columns, error = result.columns, result.row_sum_error()
    index = torch.arange(columns.bias_start)
    scores, _ = graph_scores(
        result.weights[:, : columns.bias_start],
        is_error=(index >= columns.n_features) & (index < columns.tokens.start),
        is_token=index >= columns.tokens.start,
        feature_layer=features.layer,
        probability=outputs.weight,
        row_sum_error=error,
    )
    found = {
        "replacement": round(scores.replacement, 4),
        "completeness": round(scores.completeness, 4),
        "row_sum_error": error,
    }
    return found, result.operations


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(json.loads(sys.argv[1]))) + "\n")
