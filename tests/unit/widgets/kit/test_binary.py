from __future__ import annotations

import numpy as np
import pytest

from workbench.widgets.kit import Columns, Widget
from workbench.widgets.kit.binary import pack


def test_numbers_are_sent_as_little_endian_bytes_of_four_or_one() -> None:
    assert pack(np.array([1.5, -2.0])) == {"dtype": "float32", "data": np.array([1.5, -2.0], "<f4").tobytes()}
    assert pack(np.array([7, -8])) == {"dtype": "int32", "data": np.array([7, -8], "<i4").tobytes()}
    assert pack(np.array([True, False])) == {"dtype": "uint8", "data": b"\x01\x00"}
    assert pack(np.array([0, 255], dtype=np.uint8)) == {"dtype": "uint8", "data": b"\x00\xff"}


def test_a_column_that_is_not_contiguous_is_sent_in_order() -> None:
    data = pack(np.arange(6, dtype=np.float32).reshape(2, 3)[:, 1])["data"]
    assert np.frombuffer(data, "<f4").tolist() == [1.0, 4.0]


def test_text_is_sent_as_a_list() -> None:
    assert pack(["a", "</script>", "\n"]) == ["a", "</script>", "\n"]


def test_what_javascript_could_not_read_is_refused() -> None:
    with pytest.raises(OverflowError, match="32-bit"):
        pack(np.array([2**40]))
    with pytest.raises(TypeError, match="complex"):
        pack(np.array([1j]))


class Table(Widget):
    _esm = "export default {}"
    rows = Columns()


def test_a_trait_of_columns_travels_as_bytes_and_comes_back_as_arrays() -> None:
    table = Table(rows={"weight": np.array([0.25, 4.0]), "label": ["a", "b"]})
    sent = table.get_state("rows")["rows"]
    assert sent["weight"]["dtype"] == "float32"
    assert isinstance(sent["weight"]["data"], bytes)

    table.set_state({"rows": sent})
    assert table.rows["weight"].tolist() == [0.25, 4.0]
    assert table.rows["label"] == ["a", "b"]
    table.close()
