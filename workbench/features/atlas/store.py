"""An atlas on disk: one Parquet file, one row a feature, sorted by layer and feature.

Columns are read separately and rows in groups, so that a table of labels reads no examples and a card reads one group.
Every page has a checksum; the schema's metadata tells which model and which CLT the file is of.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import AtlasError
from workbench.files import atomic_file

FILE = "atlas.parquet"
FORMAT = 2
# Rows that are read together: a card needs one of them, a file a few hundred groups at most.
GROUP_ROWS = 64
_METADATA = b"workbench.atlas"

_i4, _i8, _f4, _text = pa.int32(), pa.int64(), pa.float32(), pa.string()
SCALARS = {
    "layer": _i4,
    "feature": _i4,
    "density": pa.float64(),
    "n_active": _i8,
    "max_activation": _f4,
    "mean_activation": _f4,
    "label": _text,
    "label_score": _f4,
    "label_precision": _f4,
    "label_recall": _f4,
    "label_control": _f4,
    "label_reason": _text,
    "kind": _text,
    "family": _text,
}
LISTS = {
    "quantiles": _f4,
    "histogram_edges": _f4,
    "histogram_counts": _i8,
    "position_counts": _i8,
    "top_logit_ids": _i4,
    "top_logit_values": _f4,
    "bottom_logit_ids": _i4,
    "bottom_logit_values": _f4,
    "top_token_ids": _i4,
    "top_token_counts": _i8,
    "top_token_means": _f4,
    "top_token_shares": _f4,
    "upstream": _i8,
    "upstream_twera": _f4,
    "downstream": _i8,
    "downstream_twera": _f4,
    # Examples one after the other; their tokens are joined, ``example_length`` tells where each ends.
    "example_group": _text,
    "example_peak": _i4,
    "example_length": _i4,
    "example_token_ids": _i4,
    "example_activations": _f4,
}
SCHEMA = pa.schema(
    [*(pa.field(name, kind) for name, kind in SCALARS.items())]
    + [pa.field(name, pa.list_(kind)) for name, kind in LISTS.items()]
)

Rows = Mapping[str, Sequence[Any]]


def write_atlas(path: Path, metadata: Mapping[str, Any], layers: Iterable[Rows], *, small: bool = False) -> None:
    """Write an atlas whole or not at all.

    Args:
        layers: for each layer the columns of all its features; columns may be left out.
        small: spend time on compression.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    about = {_METADATA: json.dumps({"format": FORMAT, **metadata}, ensure_ascii=False).encode()}
    options = {"compression": "zstd", "compression_level": 19 if small else 3, "write_page_checksum": True}
    with atomic_file(path) as temporary:
        writer: pq.ParquetWriter | None = None
        try:
            for rows in layers:
                schema = pa.schema([one for one in SCHEMA if one.name in rows]).with_metadata(about)
                if writer is None:
                    writer = pq.ParquetWriter(temporary, schema, **options)
                table = pa.table([pa.array(rows[one.name], one.type) for one in schema], schema=schema)
                writer.write_table(table, row_group_size=len(table) if small else GROUP_ROWS)
        finally:
            if writer is not None:
                writer.close()


@dataclass
class AtlasFile:
    """A stored atlas, read piece by piece.

    Attributes:
        metadata: model, CLT, corpus and settings.
    """

    path: Path
    metadata: dict[str, Any]
    _parquet: pq.ParquetFile = field(repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def open(cls, path: Path) -> AtlasFile:
        """Open a file; only its footer is read.

        Raises:
            AtlasError: there is none, it is damaged, or it is of another version.
        """
        if not path.is_file():
            raise AtlasError(f"There is no atlas at {path}: build one with `workbench atlas CLT --model NAME`.")
        try:
            parquet = pq.ParquetFile(path, page_checksum_verification=True)
            metadata = json.loads((parquet.schema_arrow.metadata or {})[_METADATA])
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            raise _damaged(path, error) from error
        if metadata.get("format") != FORMAT:
            raise AtlasError(
                f"The atlas {path} has format {metadata.get('format')!r}, but this version reads {FORMAT}: build it "
                "again with `workbench atlas CLT --model NAME`."
            )
        return cls(path, metadata, parquet)

    @property
    def columns(self) -> list[str]:
        return list(self._parquet.schema_arrow.names)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Return some columns of all features, those that the file has.

        Raises:
            AtlasError: the file is damaged.
        """
        try:
            with self._lock:
                return self._parquet.read(columns=[name for name in columns if name in self.columns])
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.path, error) from error

    def row(self, index: int) -> dict[str, Any]:
        """Return all columns of one feature; lists as numpy arrays or lists of text.

        Raises:
            AtlasError: the file is damaged.
        """
        try:
            with self._lock:
                group, first = self._group_of(index)
                table = self._parquet.read_row_group(group).slice(index - first, 1)
        except (OSError, pa.ArrowException) as error:
            raise _damaged(self.path, error) from error
        values = {name: table.column(name)[0].as_py() for name in table.column_names}
        return values

    def _group_of(self, index: int) -> tuple[int, int]:
        if not hasattr(self, "_starts"):
            about = self._parquet.metadata
            sizes = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
            self._starts = np.concatenate([[0], np.cumsum(sizes)])
        group = int(np.searchsorted(self._starts, index, side="right")) - 1
        return group, int(self._starts[group])


def _damaged(path: Path, error: Exception) -> AtlasError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return AtlasError(
        f"The atlas {path} is damaged ({reason}): delete it and build it again with `workbench atlas CLT --model NAME`."
    )
