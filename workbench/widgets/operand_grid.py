"""Features over all pairs of operands of an arithmetic prompt: one small heat map each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import pandas as pd
import traitlets
from jaxtyping import Float

from workbench.errors import ConfigError
from workbench.widgets.kit import Columns, Widget
from workbench.widgets.kit.plain import plain_text

Sorting: TypeAlias = Literal["family", "score", "layer", "maximum"]
_OF_FAMILIES = ("layer", "feature", "family", "score")


class HasGrids(Protocol):
    """What is shown: ``workbench.features.operands.OperandGrids``, or what has the same."""

    @property
    def template(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def a(self) -> tuple[int, ...]: ...
    @property
    def b(self) -> tuple[int, ...]: ...
    @property
    def features(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def values(self) -> Float[np.ndarray, "feature a b"]: ...
    def families(self) -> pd.DataFrame: ...


class OperandGrid(Widget, bundle="operand-grid"):
    """Many small heat maps, one a feature: its activation over all pairs of operands.

    ::

        grid = wb.OperandGrid(bench.operands("{a} + {b} = ", a=range(100), b=range(100)))
        grid.selected       # (layer, feature) of the grid that is enlarged, or None
        grid.cell           # (a, b) of the cell that was clicked, or None

    Args:
        grids: the grids; their families and scores come from ``grids.families()``.
        sort: what the small grids are sorted by.

    Attributes:
        selected: layer and feature of the grid that is enlarged, or None.
        cell: the operands (a, b) that were clicked in it, or None.
        sort: "family", "score", "layer" or "maximum".
        family: the family that is shown alone, or "" for all.
        scale: "own" where each grid's full colour is its own maximum, "shared" for one maximum of all.

    Raises:
        ConfigError: no feature, no operands, values of another shape or not finite, a feature without a family.
    """

    template = traitlets.Unicode().tag(sync=True)
    role = traitlets.Unicode().tag(sync=True)
    axes = Columns()
    features = Columns()
    # Float32, [feature, a, b] in this order.
    values = traitlets.Bytes().tag(sync=True)
    sort = traitlets.Enum(get_args(Sorting), "family").tag(sync=True)
    family = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Enum(("own", "shared"), "own").tag(sync=True)
    selected: Any = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=None, allow_none=True).tag(
        sync=True
    )
    cell: Any = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=None, allow_none=True).tag(sync=True)

    def __init__(self, grids: HasGrids, *, sort: Sorting = "family") -> None:
        if sort not in get_args(Sorting):
            raise ConfigError(f"Grids cannot be sorted by {sort!r}: choose {', '.join(get_args(Sorting))}.")
        values = _checked_values(grids)
        table = _table(grids)
        self._names = {feature: row for row, feature in enumerate(grids.features)}
        self._operands = (frozenset(grids.a), frozenset(grids.b))
        self._families = frozenset(table["family"])
        super().__init__(
            template=plain_text(grids.template),
            role=plain_text(grids.role),
            axes={"a": np.asarray(grids.a, np.int32), "b": np.asarray(grids.b, np.int32)},
            features={
                "layer": table["layer"].to_numpy(np.int32),
                "feature": table["feature"].to_numpy(np.int32),
                "family": table["family"].tolist(),
                "score": table["score"].to_numpy(np.float32),
                "detail": _details(table),
            },
            values=values.astype("<f4").tobytes(),
            sort=sort,
        )

    @traitlets.validate("selected")
    def _check_selected(self, proposal: Any) -> tuple[int, int] | None:
        selected: tuple[int, int] | None = proposal["value"]
        if selected is not None and selected not in self._names:
            raise ConfigError(f"There is no grid of feature {selected[0]}/{selected[1]}: choose one of those given.")
        return selected

    @traitlets.validate("cell")
    def _check_cell(self, proposal: Any) -> tuple[int, int] | None:
        cell: tuple[int, int] | None = proposal["value"]
        if cell is not None and not (cell[0] in self._operands[0] and cell[1] in self._operands[1]):
            raise ConfigError(f"The grids have no cell a = {cell[0]}, b = {cell[1]}: choose operands of theirs.")
        return cell

    @traitlets.validate("family")
    def _check_family(self, proposal: Any) -> str:
        family: str = proposal["value"]
        if family and family not in self._families:
            raise ConfigError(
                f"No grid is of the family {family!r}: choose {', '.join(sorted(self._families))}, or '' for all."
            )
        return family


def _checked_values(grids: HasGrids) -> Float[np.ndarray, "feature a b"]:
    values = np.asarray(grids.values)
    shape = (len(grids.features), len(grids.a), len(grids.b))
    if 0 in shape:
        what = ("feature", "first operand", "second operand")[shape.index(0)]
        raise ConfigError(f"There is no {what} to show: give grids with at least one.")
    if values.shape != shape:
        raise ConfigError(f"The grids' values have the shape {values.shape}: {shape} (feature, a, b) is needed.")
    if not np.isfinite(values).all():
        raise ConfigError("The grids hold values that are not finite: compute them anew.")
    return values


def _table(grids: HasGrids) -> pd.DataFrame:
    """Return layer, feature, family and score of each grid, in the order of the grids."""
    families = grids.families()
    missing = [column for column in _OF_FAMILIES if column not in families.columns]
    if missing:
        raise ConfigError(f"The table of families has no column {', '.join(missing)}: it cannot be shown.")
    features = pd.DataFrame(list(grids.features), columns=["layer", "feature"])
    table = features.merge(families.drop_duplicates(["layer", "feature"]), on=["layer", "feature"], how="left")
    without = table[table["family"].isna()]
    if not without.empty:
        first = without.iloc[0]
        raise ConfigError(f"Feature {first['layer']}/{first['feature']} has no family: classify every grid.")
    return table.assign(family=table["family"].astype(str).map(plain_text))


def _details(table: pd.DataFrame) -> list[str]:
    """Return what each grid is of within its family, such as "sum ends in 5", from whichever columns there are."""
    return [plain_text(_detail(row)) for row in table.astype(object).to_dict("records")]


def _detail(row: Mapping[Any, Any]) -> str:
    operand = {"a": "a", "b": "b", "either": "either operand"}.get(str(row.get("operand")), "sum")
    digits = str(row.get("digits") or "")
    x, y = (row.get(name) for name in ("x", "y"))
    near = [f"{value:g}" for value in (x, y) if isinstance(value, numbers.Real) and math.isfinite(value)]
    if row["family"] == "other":
        return f"most like {row['nearest']}" if row.get("nearest") not in (None, "", "other") else ""
    if row["family"] == "both ends" and " " in digits:
        return "a ends in {}, b in {}".format(*digits.split(" ", 1))
    if digits:
        return f"{operand} ends in {', '.join(digits.split())}"
    if row["family"] == "exact pair":
        return " and ".join(near)
    return f"{operand} near {near[0]}" if near else ""
