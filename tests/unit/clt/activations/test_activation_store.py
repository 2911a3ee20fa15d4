from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench import files
from workbench.clt.activations.store import ActivationStore, Storage, quantise_rows
from workbench.errors import FormatError, ResourceError

SHAPE = {"capacity": 50, "n_layers": 2, "d_model": 8}


@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
@settings(deadline=None)
def test_int8_rows_are_right_to_half_a_step_of_their_own_scale(seed: int, size: float) -> None:
    rows = size * torch.randn(5, 16, generator=torch.Generator().manual_seed(seed))

    values, scale = quantise_rows(rows)

    assert values.dtype == torch.int8
    assert ((values * scale - rows).abs() <= scale / 2 * 1.0001).all()
    torch.testing.assert_close(scale, rows.abs().amax(1, keepdim=True) / 127)


def test_a_row_of_zeros_stays_zero() -> None:
    values, scale = quantise_rows(torch.zeros(1, 4))

    assert (values * scale).tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(("storage", "tolerance"), [("int8", 1 / 127), ("bfloat16", 1 / 128)])
def test_what_is_written_is_read_back_in_any_order(tmp_path: Path, storage: Storage, tolerance: float) -> None:
    store = ActivationStore.create(tmp_path, **SHAPE, storage=storage)
    activations = torch.randn(4, 30, 8, generator=torch.Generator().manual_seed(0))
    store.write(20, activations)
    store.save_state({"tokens": 50})

    reopened = ActivationStore.open(tmp_path)
    read = reopened.read(torch.tensor([49, 20, 33]))

    assert reopened.state == {"tokens": 50}
    wanted = activations[:, [29, 0, 13]]
    assert ((read - wanted).abs() <= tolerance * wanted.abs().amax(-1, keepdim=True)).all()


def test_its_size_is_known_before(tmp_path: Path) -> None:
    size = ActivationStore.n_bytes(**SHAPE, storage="int8")

    ActivationStore.create(tmp_path, **SHAPE, storage="int8")

    assert sum(path.stat().st_size for path in tmp_path.glob("*.bin")) == size == 50 * 4 * (8 + 4)


def test_a_disk_without_room_is_noticed_before_harvesting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = files.shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage)

    with pytest.raises(ResourceError, match="A cache of 50 tokens of activations needs"):
        ActivationStore.create(tmp_path, **SHAPE, storage="int8")


def test_a_truncated_cache_is_an_error(tmp_path: Path) -> None:
    ActivationStore.create(tmp_path, **SHAPE, storage="int8")
    with (tmp_path / "activations.bin").open("r+b") as file:
        file.truncate(100)

    with pytest.raises(FormatError, match="is damaged: its files have 900 bytes"):
        ActivationStore.open(tmp_path)
