"""The short form of an atlas that is shipped beside a CLT's weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import ResourceError
from workbench.features.atlas.rows import compact_rows
from workbench.features.atlas.store import write_atlas
from workbench.files import atomic_file

if TYPE_CHECKING:
    from workbench.features.atlas.atlas import Atlas


def write_within(atlas: Atlas, path: Path, n_bytes: int, shapes: Sequence[tuple[int, int, int]]) -> None:
    """Write the longest of several short forms that is small enough.

    Args:
        shapes: examples, tokens of an example, logits of each form, the longest first.

    Raises:
        ResourceError: even the last is larger, or the file cannot be written.
    """
    metadata = {key: value for key, value in atlas.info.items() if key not in ("format", "settings")}
    with tempfile.TemporaryDirectory() as scratch:
        trial = Path(scratch) / path.name
        for n_examples, window, k in shapes:
            write_atlas(trial, {**metadata, "complete": False}, _layers(atlas, n_examples, window, k), small=True)
            size = trial.stat().st_size
            if size <= n_bytes:
                with atomic_file(path) as temporary:
                    temporary.write_bytes(trial.read_bytes())
                return
    raise ResourceError(
        f"The shortest atlas of {atlas.info['clt']} has {size / 1e6:.1f} MB, more than {n_bytes / 1e6:.0f} MB: ship "
        "the full one, or none."
    )


def _layers(atlas: Atlas, n_examples: int, window: int, k: int) -> Iterator[dict[str, list[Any]]]:
    given = atlas.given.all()
    n_features = atlas.clt.n_features
    table = atlas.file.read(atlas.file.columns)
    for layer in range(atlas.clt.n_layers):
        rows = table.slice(layer * n_features, n_features).to_pydict()
        for feature in range(n_features):
            own = given.get((layer, feature))
            if own is not None:
                rows["label"][feature], rows["label_score"][feature] = own.text, own.score
        yield compact_rows(rows, n_examples=n_examples, window=window, k=k)
