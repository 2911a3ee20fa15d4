"""Where atlases lie: the full one in the cache, by its CLT; a compact one beside the CLT's weights."""

from __future__ import annotations

from pathlib import Path

from workbench.clt.store import resolve_clt
from workbench.errors import CLTError
from workbench.features.atlas.store import FILE
from workbench.models.cache import cache_folder


def atlas_folder(clt_hash: str) -> Path:
    """Return the folder of a CLT's full atlas and of the labels that a user gives, whether it exists or not."""
    return cache_folder() / "atlas" / clt_hash[:16]


def compact_atlas(clt_name: str) -> Path | None:
    """Return the compact atlas that lies beside a CLT's weights, if there is one."""
    try:
        path = resolve_clt(clt_name) / FILE
    except CLTError:
        # A CLT that was made in this process lies nowhere.
        return None
    return path if path.is_file() else None
