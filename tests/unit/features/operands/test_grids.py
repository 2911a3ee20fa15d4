"""Operand grids of a tiny model against every prompt by itself, and what is kept on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import tiny_clt

from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError
from workbench.features.operands import OperandGrids, build, operand_grids
from workbench.models import LoadedModel, capture

A, B = (3, 12, 7, 105), (0, 8, 9, 10, 11)


@pytest.fixture(scope="module")
def clt(digits: LoadedModel) -> CLT:
    return tiny_clt(digits, active=0.5)


def grids_of(model: LoadedModel, clt: CLT, cache: Path, **options: Any) -> OperandGrids:
    fields: dict[str, Any] = {"template": "{a} + {b} =", "a": A, "b": B, "cache": cache, "progress": False}
    return operand_grids(model, clt, **(fields | options))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """One first operand a part."""
    monkeypatch.setattr(build, "_PROMPTS_A_PART", 1)


@pytest.mark.parametrize(("role", "position"), [("b_last", -2), ("last", -1), ("a_first", 1)])
@pytest.mark.usefixtures("small_parts")
def test_each_cell_is_the_activation_of_its_prompt(
    digits: LoadedModel, clt: CLT, tmp_path: Path, role: str, position: int
) -> None:
    grids = grids_of(digits, clt, tmp_path, role=role)
    assert (grids.a, grids.b, grids.role, grids.stopped) == (A, B, role, False)
    assert grids.values.dtype == np.float32
    assert len(grids.features) > 5
    names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
    n_active = np.zeros((clt.n_layers, clt.n_features), dtype=int)
    for i, a in enumerate(A):
        for j, b in enumerate(B):
            ids = [0, *digits.tokenizer.encode(f"{a} + {b} =", add_special_tokens=False)]
            kept = capture(digits, torch.tensor([ids]), names)
            found = torch.stack([clt.encode(layer, kept[name][0, position]) for layer, name in enumerate(names)])
            n_active += (found > 0).numpy()
            for at, (layer, feature) in enumerate(grids.features):
                assert grids.values[at, i, j] == pytest.approx(float(found[layer, feature]), abs=1e-5)
    assert grids.features == tuple((int(layer), int(feature)) for layer, feature in np.argwhere(n_active > 0))


def test_features_asked_for_come_in_their_order_even_if_silent(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    everything = grids_of(digits, clt, tmp_path)
    silent = next(
        (layer, feature)
        for layer in range(clt.n_layers)
        for feature in range(clt.n_features)
        if (layer, feature) not in everything.features
    )
    asked = [everything.features[3], silent, everything.features[0]]
    grids = grids_of(digits, clt, tmp_path, features=asked)
    assert grids.features == tuple(asked)
    np.testing.assert_allclose(grids.values[0], everything.values[3], atol=1e-6)
    np.testing.assert_allclose(grids.grid(*asked[2]), everything.values[0], atol=1e-6)
    assert (grids.values[1] == 0).all()
    assert everything.select(asked[::2]).features == tuple(asked[::2])


def test_rarely_active_features_are_left_out(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    everything, often = grids_of(digits, clt, tmp_path), grids_of(digits, clt, tmp_path, min_active=0.5)
    share = (everything.values > 0).mean(axis=(1, 2))
    assert 0 < len(often.features) < len(everything.features)
    assert often.features == tuple(f for f, s in zip(everything.features, share, strict=True) if s >= 0.5)


@pytest.mark.usefixtures("small_parts")
def test_a_stopped_run_gives_what_is_finished_and_goes_on_there(
    digits: LoadedModel, clt: CLT, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = grids_of(digits, clt, tmp_path / "whole")
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == 2

    first = grids_of(digits, clt, tmp_path / "parts", stop=stop, min_active=0)
    assert first.stopped
    assert first.a == A[:2]
    run: list[tuple[int, ...]] = []
    plain = build._Run.part
    monkeypatch.setattr(build._Run, "part", lambda self, a: run.append(a) or plain(self, a))  # type: ignore[func-returns-value]

    again = grids_of(digits, clt, tmp_path / "parts")

    assert run == [A[2:3], A[3:]]
    assert not again.stopped
    assert again.features == whole.features
    np.testing.assert_array_equal(again.values, whole.values)
    run.clear()
    np.testing.assert_array_equal(grids_of(digits, clt, tmp_path / "parts").values, whole.values)
    assert not run, "a finished run is read, not repeated"


@pytest.mark.usefixtures("small_parts")
def test_a_damaged_part_is_computed_again(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    whole = grids_of(digits, clt, tmp_path)
    part = sorted(tmp_path.rglob("part-*.safetensors"))[1]
    part.write_bytes(part.read_bytes()[:-7])
    np.testing.assert_array_equal(grids_of(digits, clt, tmp_path).values, whole.values)


def test_another_clt_or_role_does_not_read_these_parts(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    grids_of(digits, clt, tmp_path)
    other = tiny_clt(digits, active=0.5, seed=1)
    np.testing.assert_array_equal(
        grids_of(digits, other, tmp_path).values, grids_of(digits, other, tmp_path / "fresh").values
    )
    assert len(list(tmp_path.glob("*/run.json"))) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "{a} + 3"}, r"holds \{b\} 0 times"),
        ({"role": "c_last"}, "has no role 'c_last'"),
        ({"a": range(0)}, "The range of a is empty"),
        ({"a": 7}, "The range of a does not hold whole numbers"),
        ({"b": ["1"]}, "The range of b does not hold whole numbers"),
        ({"b": []}, "The range of b is empty"),
        ({"b": [1, 2, 1]}, "holds 1 more than once"),
        ({"features": []}, "features is empty"),
        ({"features": [(0, 12)]}, "There is no feature 12 in layer 0: the CLT has 3 layers of 12"),
        ({"features": [(-1, 0)]}, "There is no feature 0 in layer -1"),
        ({"features": [(0, 1), (0, 1)]}, "names one more than once"),
        ({"min_active": 1.5}, "from 0 to 1"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_is_written(
    digits: LoadedModel, clt: CLT, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        grids_of(digits, clt, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_the_clt_of_another_model_is_refused(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    from dataclasses import replace

    foreign = replace(clt, config=clt.config.model_copy(update={"fingerprint": "0" * 64}))
    with pytest.raises(CLTError, match="trained on another model"):
        grids_of(digits, foreign, tmp_path)


def test_a_grid_that_is_not_there_is_told(digits: LoadedModel, clt: CLT, tmp_path: Path) -> None:
    grids = grids_of(digits, clt, tmp_path, features=[(0, 1)])
    with pytest.raises(ConfigError, match=r"ask for it with features=\[\(layer, feature\)\]"):
        grids.grid(2, 2)
