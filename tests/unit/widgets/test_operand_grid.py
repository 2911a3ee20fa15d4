from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.errors import ConfigError
from workbench.widgets import OperandGrid
from workbench.widgets.page import page


@dataclass(frozen=True)
class Grids:
    """Two features over two by three operands."""

    template: str = "{a} + {b} = "
    role: str = "b_last"
    a: tuple[int, ...] = (3, 4)
    b: tuple[int, ...] = (7, 8, 9)
    features: tuple[tuple[int, int], ...] = ((5, 30), (2, 17))
    values: Any = None
    table: Any = None

    def families(self) -> pd.DataFrame:
        return self.table


TABLE = pd.DataFrame(
    {
        "layer": [2, 5],
        "feature": [17, 30],
        "family": ["operand ends in d", "sum ends in d"],
        "score": [0.9, 0.5],
        "digits": ["3 4", "2"],
        "operand": ["a", ""],
    }
)
GRIDS = Grids(values=np.arange(12, dtype=np.float64).reshape(2, 2, 3), table=TABLE)


def test_grids_travel_as_bytes_and_keep_their_order() -> None:
    widget = OperandGrid(GRIDS)
    assert np.frombuffer(widget.values, np.float32).tolist() == list(range(12))
    assert widget.features["layer"].tolist() == [5, 2]
    assert widget.features["family"] == ["sum ends in d", "operand ends in d"]
    assert widget.features["score"].tolist() == [0.5, pytest.approx(0.9)]
    assert widget.features["detail"] == ["sum ends in 2", "a ends in 3, 4"]
    assert widget.axes["b"].tolist() == [7, 8, 9]
    assert "operand-grid" in page(widget, title="Grids")


def test_what_is_clicked_can_be_observed_and_set() -> None:
    widget = OperandGrid(GRIDS, sort="maximum")
    heard: list[Any] = []
    widget.observe(lambda change: heard.append(change["new"]), ["selected", "cell"])
    widget.set_state({"selected": [2, 17], "cell": [4, 9]})
    assert heard == [(2, 17), (4, 9)]
    widget.selected = None
    widget.family = "sum ends in d"
    assert widget.sort == "maximum"


def test_what_is_not_there_cannot_be_selected() -> None:
    widget = OperandGrid(GRIDS)
    with pytest.raises(ConfigError, match="no grid of feature 5/31"):
        widget.selected = (5, 31)
    with pytest.raises(ConfigError, match="no cell a = 3, b = 4"):
        widget.cell = (3, 4)
    with pytest.raises(ConfigError, match="No grid is of the family 'exact pair': choose operand ends in d, sum"):
        widget.family = "exact pair"
    with pytest.raises(ConfigError, match="cannot be sorted by 'name'"):
        OperandGrid(GRIDS, sort="name")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("family", "columns", "detail"),
    [
        ("one operand near x", {"operand": "either", "x": 36.0, "y": np.nan, "digits": ""}, "either operand near 36"),
        ("sum near x", {"operand": "", "x": 92.5, "digits": ""}, "sum near 92.5"),
        ("exact pair", {"x": 3.0, "y": 8.0}, "3 and 8"),
        ("both ends", {"digits": "6 9"}, "a ends in 6, b in 9"),
        ("other", {"nearest": "exact pair", "x": 3.0}, "most like exact pair"),
        ("other", {"nearest": "other"}, ""),
        ("sum near x", {}, ""),
    ],
)
def test_each_grid_is_said_to_be_of_its_numbers(family: str, columns: dict[str, Any], detail: str) -> None:
    table = pd.DataFrame([{"layer": 5, "feature": 30, "family": family, "score": 0.7, **columns}])
    grids = replace(GRIDS, features=((5, 30),), values=GRIDS.values[:1], table=table)
    assert OperandGrid(grids).features["detail"] == [detail]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": ()}, "no feature to show"),
        ({"a": ()}, "no first operand"),
        ({"b": ()}, "no second operand"),
        ({"values": np.zeros((2, 3, 2))}, r"shape \(2, 3, 2\): \(2, 2, 3\)"),
        ({"values": np.full((2, 2, 3), np.nan)}, "not finite"),
        ({"table": TABLE.drop(columns="score")}, "no column score"),
        ({"table": TABLE.iloc[:1]}, "Feature 5/30 has no family"),
    ],
)
def test_grids_that_cannot_be_shown_are_said(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OperandGrid(replace(GRIDS, **changes))
