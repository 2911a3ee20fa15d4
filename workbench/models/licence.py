"""Asking once whether a user accepts the licence of a model."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from workbench.errors import ModelError
from workbench.files import write_json
from workbench.models.cache import cache_folder
from workbench.models.registry import NamedModel

ACCEPT_VARIABLE = "WORKBENCH_ACCEPT_LICENCE"


def _acceptance(model: NamedModel) -> Path:
    return cache_folder() / "licences" / f"{model.name}.json"


def is_accepted(model: NamedModel) -> bool:
    """Return whether the licence needs no acceptance or was accepted before."""
    return not model.asks_licence or _acceptance(model).is_file()


def require_licence(model: NamedModel, *, accept: bool = False) -> None:
    """Make sure that the user accepts the licence; the answer is remembered in the cache.

    Asks on the terminal where somebody can answer; ``accept`` or the environment variable
    ``WORKBENCH_ACCEPT_LICENCE=1`` answer where nobody can.

    Raises:
        ModelError: the licence was refused, or nobody can be asked.
    """
    if is_accepted(model):
        return
    notice = (
        f"{model.name} is provided under the {model.licence}, which restrict its use and bind whoever passes it on, "
        f"models derived from it included. Full terms: {model.licence_url} (a copy will lie beside the weights)."
    )
    if not (accept or os.environ.get(ACCEPT_VARIABLE, "").lower() in ("1", "true", "yes")):
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise ModelError(
                f"The licence of {model.name!r} ({model.licence}, {model.licence_url}) has to be accepted once: "
                f"read it, then use --accept-licence or set {ACCEPT_VARIABLE}=1."
            )
        sys.stderr.write(f"{notice}\nDo you accept these terms? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ModelError(f"The licence of {model.name!r} was not accepted, so nothing was fetched.")
    else:
        sys.stderr.write(f"{notice}\n")
    write_json(
        _acceptance(model),
        {
            "model": model.name,
            "licence": model.licence,
            "terms": model.licence_url,
            "accepted": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
