"""From the movement of a slider to new probabilities: how long it takes, and against what."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import workbench as wb
from workbench.benchmarks.intervention_screen import screen_milliseconds
from workbench.benchmarks.machine import machine
from workbench.errors import ConfigError
from workbench.interventions import MODES, CleanRun, Edit
from workbench.models import LoadedModel, run_decoder, tokenize
from workbench.widgets import InterventionSliders

MODEL = "smollm2-135m-instruct"
TOKENS = 20
# Near the bottom, in the middle and near the top of the default model's 30 layers.
LAYERS = (3, 15, 27)
SCREEN_LAYER = 15
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
    screen: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Return facts of the ``machine``, ``model``, ``tokens``, and one row a layer, place and mode in ``cases``.

    - ``layer, position, where`` (early or last), ``mode``;
    - ``p50_ms`` and ``p95_ms``: from assigning a slider's value to the table of probabilities being there, the
      worker's thread and the widget's own work included;
    - ``forward_ms``: the median of bare forward passes of the same prompt, logits of the last position included, taken
      in turns with the movements;
    - ``ratio_to_forward``: ``p50_ms`` over ``forward_ms``.

    ``screen_p50_ms`` and ``screen_p95_ms`` are what the user waits, for a slider of layer ``screen_layer`` at the last
    position in a JupyterLab: from the key that moves it to the end of the frame with the new bars. They are None
    without a ``screen``.

    Raises:
        ConfigError: a layer, the number of tokens or a mode cannot be used; or there is no browser for the screen.
        ResourceError: the browser did not show what was expected.
    """
    if movements < 1:
        raise ConfigError(f"{movements} movements were asked for: ask for at least 1.")
    unknown = set(modes) - set(MODES)
    if unknown:
        raise ConfigError(f"There is no mode {min(unknown)!r}: choose from {', '.join(MODES)}.")
    loaded, clean = clean_run(model, tokens)
    outside = [layer for layer in layers if not 0 <= layer < loaded.n_layers]
    if outside:
        raise ConfigError(f"{model!r} has no layer {outside[0]}: give layers 0 to {loaded.n_layers - 1}.")
    places = [_Place(layer, at, where) for layer in layers for at, where in ((EARLY, "early"), (tokens - 1, "last"))]
    cases = [(place, mode) for place in places for mode in modes]
    facts = machine()
    rows = [_row(clean, place, mode, movements) for place, mode in tqdm(cases, desc="movements", disable=not progress)]
    layer = min(SCREEN_LAYER, loaded.n_layers - 1)
    # The kernel of the notebook loads the model once more: this one makes room.
    del loaded, clean
    waits = screen_milliseconds(model, layer, tokens, movements) if screen else []
    return {
        "machine": facts,
        "model": model,
        "tokens": tokens,
        "cases": rows,
        "screen_layer": layer if screen else None,
        "screen_p50_ms": _quantile(waits, 0.5),
        "screen_p95_ms": _quantile(waits, 0.95),
    }


def clean_run(model: str, tokens: int) -> tuple[LoadedModel, CleanRun]:
    """Return a model and the clean run of the benchmark's prompt.

    Raises:
        ConfigError: the prompt cannot have so many tokens.
    """
    bench = wb.open(model)
    ids = tokenize(bench.loaded, _TEXT)[:tokens]
    if len(ids) < tokens or tokens <= EARLY:
        raise ConfigError(f"The prompt cannot have {tokens} tokens: give from {EARLY + 1} to {len(ids)}.")
    return bench.loaded, CleanRun.of(bench.loaded, bench.clt, ids)


def strongest_slider(clean: CleanRun, layer: int, position: int, mode: str = "propagated") -> InterventionSliders:
    """Return a slider on the strongest feature of a layer and position."""
    activations = clean.clt.encode(layer, clean.reads[layer, position].to(clean.clt.W_enc.dtype))
    feature, node = int(activations.argmax()), f"f/{layer}/{int(activations.argmax())}/{position}"
    row = {"node_id": node, "kind": "feature", "layer": layer, "feature": feature, "position": position}
    until = {"until": min(layer + 1, clean.model.n_layers - 1)} if mode == "constrained" else {}

    def run(edits: list[Edit], widget_mode: str) -> Any:
        return clean.intervene(edits, mode=mode, **until)  # type: ignore[arg-type]

    nodes = pd.DataFrame([{**row, "activation": float(activations.max())}])
    return InterventionSliders(nodes, run, prompt="")


def _row(clean: CleanRun, place: _Place, mode: str, movements: int) -> dict[str, Any]:
    layer, position, where = place
    sliders = strongest_slider(clean, layer, position, mode)
    (node,) = sliders.values
    moved, passes = [], []
    try:
        # The first movements also compute what the later ones reuse.
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
    forward, p50 = statistics.median(passes), statistics.median(moved[2:])
    return {
        "layer": layer,
        "position": position,
        "where": where,
        "mode": mode,
        "p50_ms": round(p50, 1),
        "p95_ms": _quantile(moved[2:], 0.95),
        "forward_ms": round(forward, 1),
        "ratio_to_forward": round(p50 / forward, 3),
    }


def _quantile(values: Sequence[float], share: float) -> float | None:
    return round(float(np.quantile(values, share)), 1) if values else None


@torch.no_grad()
def _forward_ms(model: LoadedModel, clean: CleanRun) -> float:
    started = time.perf_counter()
    model.logits(run_decoder(model, clean.tokens[None], [])[0, -1])
    return 1e3 * (time.perf_counter() - started)
