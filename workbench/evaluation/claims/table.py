"""The table of claims: one Parquet file, one row a claim, whatever came of it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from workbench.errors import FormatError, ResourceError
from workbench.evaluation.claims.decide import ALPHA, holm, verdict
from workbench.files import atomic_file

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("claimed_at", pa.timestamp("us", tz="UTC")),
        ("notebook", pa.string()),
        ("statement", pa.string()),
        ("expect", pa.string()),
        ("metric", pa.string()),
        ("effect", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("margin", pa.float64()),
        ("control_effect", pa.float64()),
        ("control_sd", pa.float64()),
        ("n_controls", pa.int32()),
        ("n_prompts", pa.int32()),
        ("p", pa.float64()),
        ("mode", pa.string()),
        ("until", pa.int32()),
        ("edits", pa.string()),
        ("prompts", pa.list_(pa.string())),
        ("effects", pa.list_(pa.float64())),
        ("model", pa.string()),
        ("clt", pa.string()),
        ("fingerprint", pa.string()),
        ("seed", pa.int64()),
    ]
)
# What a reader looks at first; the rest follows.
_FIRST = ["statement", "verdict", "expect", "metric", "effect", "low", "high", "control_effect", "p", "p_corrected"]


def claims_path(path: Path | str | None = None) -> Path:
    """Return where claims are kept: ``path``, ``$WORKBENCH_CLAIMS``, or ``claims.parquet`` in the current folder."""
    chosen = path or os.environ.get("WORKBENCH_CLAIMS") or "claims.parquet"
    return Path(chosen).expanduser()


def claims(path: Path | str | None = None, *, notebook: str | None = None) -> pd.DataFrame:
    """Return the claims that were tested, in the order in which they were first made.

    ``p_corrected`` and ``verdict`` are worked out when the table is read, because every further claim of a notebook is
    a further chance to find something by accident: p-values are corrected by Holm's method over the claims of each
    notebook.

    Args:
        path: the file; by default ``$WORKBENCH_CLAIMS`` or ``claims.parquet`` in the current folder.
        notebook: those of one notebook alone.

    Returns:
        Beside what the columns' names say: ``effect`` (mean change of the metric) with ``low`` and ``high`` (95 %
        bootstrap interval over prompts; missing for one), ``control_effect`` and ``control_sd`` (of the controls' mean
        effects), ``effects`` (by prompt). Empty where nothing has been claimed.

    Raises:
        FormatError: the file is damaged or of something else.
    """
    table = with_verdicts(claims_path(path))
    if notebook is not None:
        table = table[table["notebook"] == notebook]
    return table.drop(columns="key").reset_index(drop=True)


def with_verdicts(path: Path) -> pd.DataFrame:
    """Return the whole table, its keys included, with corrected p-values and verdicts."""
    table: pd.DataFrame = _read(path).to_pandas()
    table["p_corrected"] = 1.0
    for _, own in table.groupby("notebook", sort=False):
        table.loc[own.index, "p_corrected"] = holm(own["p"].tolist())
    records: list[Any] = table.to_dict("records")
    table["verdict"] = pd.Series([_verdict(row) for row in records], dtype="str", index=table.index)
    return table[[*_FIRST, *(name for name in table.columns if name not in _FIRST)]]


def check_table(path: Path) -> None:
    """Check that the table can be read, before minutes are spent on a test whose result could not be kept.

    Raises:
        FormatError: it is damaged.
    """
    _read(path)


def keep(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to the table, or put it in the place of the same test's earlier result.

    Raises:
        FormatError: the file is damaged; it is left as it is.
        ResourceError: the folder cannot be written.
    """
    with _locked(path):
        rows = _read(path).to_pylist()
        same = next((at for at, other in enumerate(rows) if other["key"] == row["key"]), None)
        if same is None:
            rows.append(dict(row))
        else:
            rows[same] = dict(row)
        with atomic_file(path) as temporary:
            parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary)


def _read(path: Path) -> pa.Table:
    if not path.exists():
        return SCHEMA.empty_table()
    remedy = "move it away or name another file"
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError, KeyError) as error:
        # pyarrow's own errors are children of these.
        raise FormatError(f"Cannot read {path} as a table of claims: {error}; {remedy}.") from error
    if not table.schema.equals(SCHEMA):
        raise FormatError(f"{path} is no table of claims, its columns are others: {remedy}.")
    return table


def _verdict(row: Mapping[str, Any]) -> str:
    interval = None if pd.isna(row["low"]) else (row["low"], row["high"])
    margin = None if pd.isna(row["margin"]) else row["margin"]
    return verdict(
        expect=row["expect"],
        effect=row["effect"],
        interval=interval,
        p=row["p"],
        p_corrected=row["p_corrected"],
        margin=margin,
        alpha=ALPHA,
    )


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time add to a table: two notebooks may share it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = (path.parent / f".{path.name}.lock").open("a")
    except OSError as error:
        raise ResourceError(f"Cannot write {path}: {error}; choose a folder that you may write to.") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
