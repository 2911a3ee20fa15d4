"""Columns of a table on their way to JavaScript: numbers as bytes, text as lists.

A list of 20,000 numbers as JSON costs some hundred kilobytes and a parse; as bytes it costs 80 kB and none.
``widgets/src/kit/binary.ts`` is the other half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import traitlets

Column: TypeAlias = np.ndarray | Sequence[str]


def pack(column: Column) -> Any:
    """Return a column as it is sent: ``{"dtype", "data"}`` for numbers, a list for text.

    Raises:
        TypeError: the column holds neither numbers nor text.
        OverflowError: an integer does not fit into 32 bits.
    """
    if not isinstance(column, np.ndarray):
        return [str(value) for value in column]
    if column.dtype.kind == "b" or column.dtype == np.uint8:
        dtype = "uint8"
    elif column.dtype.kind == "f":
        dtype = "float32"
    elif column.dtype.kind in "iu":
        dtype = "int32"
        if column.size and (column.max() > 2**31 - 1 or column.min() < -(2**31)):
            raise OverflowError(f"A column with {column.min()} … {column.max()} does not fit into 32-bit integers.")
    else:
        raise TypeError(f"A column of {column.dtype} cannot be sent to a widget: make it numbers or a list of text.")
    return {"dtype": dtype, "data": np.asarray(column, dtype=np.dtype(dtype).newbyteorder("<")).tobytes()}


class Columns(traitlets.Dict):
    """A synchronised trait that holds a table: ``{name: numpy array or list of text}``; read-only for JavaScript."""

    def __init__(self, **metadata: Any) -> None:
        super().__init__(**metadata)
        self.tag(sync=True, to_json=self._to_json, from_json=self._from_json)

    @staticmethod
    def _to_json(value: Mapping[str, Column], widget: Any) -> dict[str, Any]:
        return {name: pack(column) for name, column in value.items()}

    @staticmethod
    def _from_json(value: Mapping[str, Any], widget: Any) -> dict[str, Any]:
        return {
            name: column if isinstance(column, list) else np.frombuffer(column["data"], dtype=column["dtype"])
            for name, column in value.items()
        }
