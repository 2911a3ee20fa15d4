"""What the graph explorer takes from an atlas."""

from __future__ import annotations

from workbench.features.atlas import Atlas


def densities(atlas: Atlas) -> dict[tuple[int, int], float]:
    """Return how often every feature fires: (layer, feature) → share of the atlas's tokens."""
    table = atlas.table()
    keys = zip(table["layer"].tolist(), table["feature"].tolist(), strict=True)
    return dict(zip(keys, table["density"].astype(float).tolist(), strict=True))
