"""How fast an atlas is built beside a harvest of the same rows, and how fast a card is read."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.clt import CLT, default_clt, load_clt
from workbench.clt.activations.harvest import Harvester
from workbench.clt.activations.store import ActivationStore
from workbench.corpus import bundled, token_rows
from workbench.features.atlas import AtlasPlan, build_atlas
from workbench.features.atlas.shard import count_shard
from workbench.models import LoadedModel

pytestmark = pytest.mark.benchmark

PLAN = AtlasPlan()
# A shard of the default size would take minutes; the first chunk of a shard is the dearest one.
N_ROWS, TURNS = 128, 3


@pytest.fixture(scope="module")
def clt(smollm2: LoadedModel) -> CLT:
    return load_clt(default_clt(smollm2.name), model=smollm2)


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of this thread, which other programs do not lengthen as they do the clock's."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def test_counting_runs_at_four_fifths_of_the_speed_of_a_harvest(
    smollm2: LoadedModel, clt: CLT, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = token_rows(bundled(), smollm2.tokenizer, start_token_id=0, row_length=PLAN.row_length, split="train")
    tokens = np.stack([row.numpy() for row in islice(rows, N_ROWS)]).astype(np.int32)
    batches = torch.from_numpy(tokens.astype(np.int64)).split(PLAN.batch_rows)
    n_tokens = N_ROWS * (PLAN.row_length - 1)

    def harvest(turn: int) -> None:
        store = ActivationStore.create(
            tmp_path / str(turn),
            capacity=n_tokens,
            n_layers=smollm2.n_layers,
            d_model=smollm2.d_model,
            storage="int8",
        )
        # Outliers are dropped, so the target is less than what the rows hold.
        Harvester(smollm2, store).fill(batches, target=int(0.95 * n_tokens), progress=False)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        count_shard(smollm2, clt, tokens[: PLAN.batch_rows], first_row=0, plan=PLAN)
        ratios = [
            seconds(lambda turn=turn: harvest(turn))  # type: ignore[misc]
            / seconds(lambda: count_shard(smollm2, clt, tokens, first_row=0, plan=PLAN))
            for turn in range(TURNS)
        ]
    finally:
        torch.set_num_threads(threads)
    with capsys.disabled():
        print(f"\ncounting beside a harvest of the same rows: {[round(ratio, 2) for ratio in ratios]}")  # noqa: T201
    assert np.median(ratios) >= 0.8, ratios


def test_a_card_takes_fifty_milliseconds_at_most(smollm2: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    plan = AtlasPlan(sample_tokens=1_000, held_out_tokens=1_000)
    atlas = build_atlas(smollm2, clt, tokens=4_000, out=tmp_path, plan=plan)
    assert atlas is not None
    random = np.random.default_rng(0)
    atlas.card(0, 0)
    taken = []
    for layer, feature in zip(
        random.integers(clt.n_layers, size=200), random.integers(clt.n_features, size=200), strict=True
    ):
        started = time.perf_counter()
        atlas.card(int(layer), int(feature)).to_json()
        taken.append(time.perf_counter() - started)
    assert np.quantile(taken, 0.95) <= 0.05, f"p50 {np.median(taken):.4f} s, p95 {np.quantile(taken, 0.95):.4f} s"
