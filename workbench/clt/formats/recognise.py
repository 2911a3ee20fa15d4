"""Which format a folder is in, told from the names of the files that it holds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Literal

from workbench.clt.formats import circuit_tracer, gemma_scope, own, saelens

FormatName = Literal["workbench", "circuit-tracer", "saelens", "gemma-scope"]

# Each module has recognise(folder), read_config(folder), load(folder) and save(clt, folder). The order counts: a folder
# that was converted may still hold what it was converted from.
FORMATS: dict[str, ModuleType] = {
    "workbench": own,
    "circuit-tracer": circuit_tracer,
    "gemma-scope": gemma_scope,
    "saelens": saelens,
}


def recognise(folder: Path) -> str | None:
    """Return the name of the format that a folder is in; None when it is in none."""
    return next((name for name, reader in FORMATS.items() if reader.recognise(folder)), None)


def layer_folders(folder: Path) -> list[Path]:
    """Return the folders that hold one layer each of the transcoder in ``folder``; none where one holds all."""
    match recognise(folder):
        case "saelens":
            found = saelens.layer_folders(folder)
        case "gemma-scope":
            found = gemma_scope.layer_folders(folder)
        case _:
            found = []
    return [part for part in found if part != folder]
