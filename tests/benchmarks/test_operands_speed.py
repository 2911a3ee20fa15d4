"""How much faster operand grids are when the prompts' shared beginnings are run once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch

from workbench.clt import CLT, default_clt, load_clt
from workbench.features.operands import Template
from workbench.features.operands.prefixes import active_features
from workbench.models import LoadedModel, run_decoder

pytestmark = pytest.mark.benchmark

A, B = range(40, 44), range(100)
_TOGETHER = 128


def plainly(model: LoadedModel, clt: CLT, rows: list[tuple[int, ...]]) -> int:
    """Run every prompt whole, those of one length together, without logits; count what is active at the end."""
    n_active = 0

    def read(layer: int) -> Callable[..., None]:
        def hook(activation: torch.Tensor, hook: Any) -> None:
            nonlocal n_active
            n_active += int((clt.encode(layer, activation[:, -1].to(clt.W_enc.dtype)) > 0).sum())

        return hook

    hooks = [(clt.config.read_hook.format(layer=layer), read(layer)) for layer in range(clt.n_layers)]
    for _, group in itertools.groupby(sorted(rows, key=len), key=len):
        same = list(group)
        for first in range(0, len(same), _TOGETHER):
            run_decoder(model, torch.tensor(same[first : first + _TOGETHER]), hooks)
    return n_active


def test_shared_beginnings_make_grids_at_least_one_and_a_half_times_faster(
    smollm2: LoadedModel, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    clt = load_clt(default_clt(smollm2.name), model=smollm2)
    prompts = Template.parse("{a} + {b} = ").prompts(smollm2, A, B, "last")
    positions = [[at] for at in prompts.positions]
    plainly(smollm2, clt, prompts.rows[:20])
    start = time.process_time()
    plain_active = plainly(smollm2, clt, prompts.rows)
    plain = time.process_time() - start
    start, wall = time.process_time(), time.perf_counter()
    shared_active = sum(len(found.row) for found in active_features(smollm2, clt, prompts.rows, positions))
    shared, wall = time.process_time() - start, time.perf_counter() - wall
    minutes = wall / len(prompts.rows) * 10_000 / 60
    with capsys.disabled():
        print(  # noqa: T201 - a benchmark's result is its output
            f"\n{len(prompts.rows)} sums: shared {shared:.1f} s, plain {plain:.1f} s ({plain / shared:.1f} ×); "
            f"100 × 100 take {minutes:.1f} minutes with {torch.get_num_threads()} threads"
        )
    record_property("ratio", plain / shared)
    record_property("minutes_100_by_100", minutes)
    # Rounding may decide at a threshold.
    assert abs(plain_active - shared_active) <= 1e-3 * plain_active
    assert plain / shared >= 1.5
