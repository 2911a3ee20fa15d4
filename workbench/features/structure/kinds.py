"""The share of each kind of feature, layer by layer."""

from __future__ import annotations

import pandas as pd

from workbench.errors import ConfigError

KINDS = ("input-like", "abstract", "output-like", "silent")


def kinds_by_layer(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each kind of feature in each layer.

    Args:
        table: one row a feature with columns ``layer`` and ``kind``, as ``atlas.table()`` gives it. Features of the
            kind ``"silent"`` are no part of the shares: a feature that never fires has no kind.

    Returns:
        ``layer, kind, n_features, share``; all three kinds for every layer that has a feature that fires.

    Raises:
        ConfigError: a column is missing or a kind is unknown.
    """
    missing = [column for column in ("layer", "feature", "kind") if column not in table.columns]
    if missing:
        raise ConfigError(
            f"The table has no column {missing[0]!r}: give layer, feature and kind, as atlas.table() does."
        )
    kinds = table["kind"].astype(str)
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ConfigError(f"The kind {unknown[0]!r} is unknown: the kinds are {', '.join(KINDS)}.")
    firing = pd.DataFrame({"layer": table["layer"].to_numpy(), "kind": kinds.to_numpy()})[
        (kinds != "silent").to_numpy()
    ]
    counts = firing.groupby(["layer", "kind"]).size().unstack(fill_value=0).reindex(columns=KINDS[:-1], fill_value=0)
    long = counts.reset_index().melt("layer", var_name="kind", value_name="n_features")
    long = long.sort_values("layer", kind="stable", ignore_index=True)
    long["share"] = long["n_features"] / long.groupby("layer")["n_features"].transform("sum")
    return long
