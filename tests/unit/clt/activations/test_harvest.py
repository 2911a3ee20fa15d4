from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from helpers import tiny_model, tiny_token_batches
from jaxtyping import Int
from torch import Tensor

from workbench.clt.activations.harvest import Harvester, faster_dtype, harvest_dtype
from workbench.clt.activations.store import ActivationStore
from workbench.errors import ConfigError
from workbench.models import LoadedModel, capture_reads_and_writes


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_model("gemma3", dtype=torch.float32)


def harvester(model: LoadedModel, folder: Path, *, capacity: int = 200, outlier_factor: float = 1e9) -> Harvester:
    store = ActivationStore.create(
        folder, capacity=capacity, n_layers=model.n_layers, d_model=model.d_model, storage="bfloat16"
    )
    return Harvester(model, store, outlier_factor=outlier_factor)


def batches() -> Iterator[Int[Tensor, "row position"]]:
    yield from tiny_token_batches(n_batches=5)("train")


def test_position_0_is_left_out_and_the_rest_is_in_order(model: LoadedModel, tmp_path: Path) -> None:
    filled = harvester(model, tmp_path)
    tokens = next(batches())

    assert filled.fill(batches(), target=8 * 15, progress=False)

    reads, writes = capture_reads_and_writes(model, tokens)
    wanted = torch.cat([reads, writes])[:, :, 1:].flatten(1, 2)
    torch.testing.assert_close(filled.store.read(torch.arange(120)), wanted, rtol=0.01, atol=0.01)


def test_tokens_of_outlying_norm_are_dropped_and_counted(model: LoadedModel, tmp_path: Path) -> None:
    narrow = harvester(model, tmp_path, outlier_factor=1.5)

    narrow.fill(batches(), target=100, progress=False)

    state = narrow.store.state
    kept = narrow.store.read(torch.arange(100)).norm(dim=-1)
    assert state["dropped"] > 0
    assert (kept <= 1.51 * torch.tensor(state["medians"])[:, None]).all()


def test_a_stopped_harvest_goes_on_where_it_was(model: LoadedModel, tmp_path: Path) -> None:
    whole = harvester(model, tmp_path / "whole")
    whole.fill(batches(), target=200, progress=False)
    stopped = harvester(model, tmp_path / "stopped")

    assert not stopped.fill(batches(), target=200, stop=lambda: True, progress=False)
    assert stopped.n_tokens == 120
    again = Harvester(model, ActivationStore.open(tmp_path / "stopped"), outlier_factor=1e9)
    assert again.fill(batches(), target=200, progress=False)

    rows = torch.arange(200)
    torch.testing.assert_close(again.store.read(rows), whole.store.read(rows))


def test_beyond_the_capacity_the_oldest_tokens_make_room(model: LoadedModel, tmp_path: Path) -> None:
    whole = harvester(model, tmp_path / "whole", capacity=400)
    ring = harvester(model, tmp_path / "ring", capacity=200)

    for each in (whole, ring):
        each.fill(batches(), target=400, progress=False)

    torch.testing.assert_close(ring.store.read(torch.arange(200)), whole.store.read(torch.arange(200, 400)))


def test_a_corpus_that_ends_too_early_is_an_error(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"The corpus ended after 600 of 1,000 tokens: ask for fewer"):
        harvester(model, tmp_path, capacity=1_000).fill(batches(), target=1_000, progress=False)


def test_the_dtype_can_be_fixed_or_measured() -> None:
    assert harvest_dtype("bfloat16") == torch.bfloat16
    assert harvest_dtype("auto") in (torch.float32, torch.bfloat16)


def stopwatch(float32: float, bfloat16: float, delays: list[float]) -> tuple[Callable[[torch.dtype], float], list[str]]:
    """A timer of work that takes that long in each dtype, and what else the machine does, each time anew, on top."""
    asked: list[str] = []

    def seconds(dtype: torch.dtype) -> float:
        asked.append(str(dtype))
        own = float32 if dtype == torch.float32 else bfloat16
        return own + (delays[len(asked) - 1] if len(asked) <= len(delays) else 0.0)

    return seconds, asked


@pytest.mark.parametrize(
    ("float32", "bfloat16", "faster"),
    [
        (1.0, 0.5, torch.bfloat16),
        (1.0, 0.8, torch.float32),  # too little to lose precision for
        (1.0, 1.0, torch.float32),
        (1.0, 300.0, torch.float32),
    ],
)
def test_the_faster_dtype_is_found_however_busy_the_machine_is(
    float32: float, bfloat16: float, faster: torch.dtype
) -> None:
    always_quiet, _ = stopwatch(float32, bfloat16, [])
    assert faster_dtype(always_quiet) == faster
    for seed in range(200):
        load = torch.rand(50, generator=torch.Generator().manual_seed(seed))
        # Undisturbed one time in three; else it takes up to seven times as long.
        busy, _ = stopwatch(float32, bfloat16, [6 * max(0.0, value - 1 / 3) for value in load.tolist()])
        assert faster_dtype(busy) == faster


def test_what_is_hopeless_is_not_timed_to_the_end() -> None:
    seconds, asked = stopwatch(1.0, 300.0, [0.0, 0.0, 5_000.0])

    assert faster_dtype(seconds) == torch.float32
    assert asked == ["torch.float32", "torch.bfloat16"] * 3
