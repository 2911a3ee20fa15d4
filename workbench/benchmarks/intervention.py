"""From the movement of a slider to new probabilities: how long it takes, and against what."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from tqdm.auto import tqdm

import workbench as wb
from workbench.benchmarks.machine import machine
from workbench.errors import ConfigError
from workbench.interventions import MODES, CleanRun, Edit
from workbench.models import LoadedModel, run_decoder, tokenize
from workbench.widgets import InterventionSliders

MODEL = "smollm2-135m-instruct"
TOKENS = 20
# Near the bottom, in the middle and near the top of the default model's 30 layers.
LAYERS = (3, 15, 27)
EARLY = 4

_TEXT = (
    "The old harbour wakes before the sun does. Fishing boats come back with their lamps still burning, and the men on "
    "deck call the night's catch across the water"
)
# None is 1 and none comes twice in a row, so that each movement changes something.
_FACTORS = (0.0, 2.0, -1.0, 3.0, 0.5)


class _Place(NamedTuple):
    """Where a slider is: the strongest feature there is moved."""

    layer: int
    position: int
    where: str


def run(
    *,
    model: str = MODEL,
    layers: Sequence[int] = LAYERS,
    tokens: int = TOKENS,
    modes: Sequence[str] = ("propagated",),
    movements: int = 30,
    progress: bool = True,
) -> dict[str, Any]:
    """Return facts of the ``machine`` and one row a layer, place and mode in ``runs``.

    - ``model, tokens, layer, position, where`` (early or last), ``mode``;
    - ``p50_ms`` and ``p95_ms``: from assigning a slider's value to the table of probabilities being there, the
      worker's thread and the widget's own work included;
    - ``forward_ms``: the median of bare forward passes of the same prompt, logits of the last position included, taken
      in turns with the movements;
    - ``ratio``: ``p50_ms`` over ``forward_ms``.

    Raises:
        ConfigError: a layer, the number of tokens or a mode cannot be used.
    """
    if movements < 1:
        raise ConfigError(f"{movements} movements were asked for: ask for at least 1.")
    unknown = set(modes) - set(MODES)
    if unknown:
        raise ConfigError(f"There is no mode {min(unknown)!r}: choose from {', '.join(MODES)}.")
    bench = wb.open(model)
    ids = tokenize(bench.loaded, _TEXT)[:tokens]
    if len(ids) < tokens or tokens <= EARLY:
        raise ConfigError(f"The prompt cannot have {tokens} tokens: give from {EARLY + 1} to {len(ids)}.")
    outside = [layer for layer in layers if not 0 <= layer < bench.loaded.n_layers]
    if outside:
        raise ConfigError(f"{model!r} has no layer {outside[0]}: give layers 0 to {bench.loaded.n_layers - 1}.")
    clean = CleanRun.of(bench.loaded, bench.clt, ids)
    places = [_Place(layer, at, where) for layer in layers for at, where in ((EARLY, "early"), (tokens - 1, "last"))]
    cases = [(place, mode) for place in places for mode in modes]
    rows = [_row(clean, place, mode, movements) for place, mode in tqdm(cases, desc="movements", disable=not progress)]
    return {"machine": machine(), "runs": [{"model": model, "tokens": tokens, **row} for row in rows]}


def _row(clean: CleanRun, place: _Place, mode: str, movements: int) -> dict[str, Any]:
    layer, position, where = place
    activations = clean.clt.encode(layer, clean.reads[layer, position].to(clean.clt.W_enc.dtype))
    node = Edit(layer, int(activations.argmax()), position, factor=0).node_id
    until = {"until": min(layer + 1, clean.model.n_layers - 1)} if mode == "constrained" else {}
    sliders = _sliders(clean, node, float(activations.max()), mode, until)
    moved, passes = [], []
    try:
        # The first movement also computes what the later ones reuse.
        for movement in range(movements + 2):
            factor = _FACTORS[movement % len(_FACTORS)]
            started = time.perf_counter()
            sliders.values = {node: factor}
            if not sliders.wait(60):
                raise ConfigError(f"The slider of {node} failed: {sliders.error or 'it took more than a minute'}.")
            moved.append(1e3 * (time.perf_counter() - started))
            passes.append(_forward_ms(clean.model, clean))
    finally:
        sliders.close()
    counted, forward = sorted(moved[2:]), statistics.median(passes)
    p50 = statistics.median(counted)
    return {
        "layer": layer,
        "position": position,
        "where": where,
        "mode": mode,
        "p50_ms": round(p50, 1),
        "p95_ms": round(counted[min(len(counted) - 1, round(0.95 * len(counted)))], 1),
        "forward_ms": round(forward, 1),
        "ratio": round(p50 / forward, 3),
    }


def _sliders(clean: CleanRun, node: str, activation: float, mode: str, until: dict[str, int]) -> InterventionSliders:
    _, layer, feature, position = node.split("/")
    row = {"node_id": node, "kind": "feature", "layer": int(layer), "feature": int(feature)}
    nodes = pd.DataFrame([{**row, "position": int(position), "activation": activation}])

    def run(edits: list[Edit], widget_mode: str) -> Any:
        return clean.intervene(edits, mode=mode, **until)  # type: ignore[arg-type]

    return InterventionSliders(nodes, run, prompt="")


@torch.no_grad()
def _forward_ms(model: LoadedModel, clean: CleanRun) -> float:
    started = time.perf_counter()
    model.logits(run_decoder(model, clean.tokens[None], [])[0, -1])
    return 1e3 * (time.perf_counter() - started)
