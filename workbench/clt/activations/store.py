"""Activations kept on disk: what the transcoder reads and must write, token by token, in a memory-mapped file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import FormatError
from workbench.files import read_json, require_disk, write_json

Storage = Literal["int8", "bfloat16"]

_DATA = "activations.bin"
_SCALES = "scales.bin"
_STATE = "activations.json"


def quantise_rows(rows: Float[Tensor, "*row d"]) -> tuple[Int[Tensor, "*row d"], Float[Tensor, "*row 1"]]:
    """Return int8 values and one scale a row, so that ``values * scale`` is the row to within half a scale."""
    scale = rows.abs().amax(dim=-1, keepdim=True).float() / 127
    # A row of zeros would divide by zero; any positive scale represents it.
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return torch.round(rows / scale).clamp_(-127, 127).to(torch.int8), scale


class ActivationStore:
    """A file of ``capacity`` tokens × ``2 · n_layers`` sites × ``d_model`` values.

    Sites 0 … n_layers − 1 are what the transcoder reads, the others what it must write. int8 rows
    carry one float32 scale a token and site. ``state`` is a small JSON document for whoever fills
    the store; it is written after the data, so that a killed process leaves a store that can go on.
    """

    def __init__(self, folder: Path, *, capacity: int, n_layers: int, d_model: int, storage: Storage, create: bool):
        self.folder, self.capacity, self.n_layers, self.d_model = folder, capacity, n_layers, d_model
        self.storage: Storage = storage
        self.state: dict[str, Any] = {}
        self._buffers: tuple[Tensor, Tensor] | None = None
        shape = (capacity, 2 * n_layers, d_model)
        mode: Literal["r+", "w+"] = "w+" if create else "r+"
        if storage == "int8":
            self._data = np.memmap(folder / _DATA, dtype=np.int8, mode=mode, shape=shape)
            self._scales = np.memmap(folder / _SCALES, dtype=np.float32, mode=mode, shape=(*shape[:2], 1))
            self.scales = torch.from_numpy(self._scales)
            self.values = torch.from_numpy(self._data)
        else:
            self._data = np.memmap(folder / _DATA, dtype=np.int16, mode=mode, shape=shape)
            self.values = torch.from_numpy(self._data).view(torch.bfloat16)

    @staticmethod
    def n_bytes(*, capacity: int, n_layers: int, d_model: int, storage: Storage) -> int:
        """Return the size on disk in bytes."""
        per_row = d_model + 4 if storage == "int8" else 2 * d_model
        return capacity * 2 * n_layers * per_row

    @classmethod
    def create(cls, folder: Path, *, capacity: int, n_layers: int, d_model: int, storage: Storage) -> ActivationStore:
        """Make an empty store.

        Raises:
            ResourceError: the disk has no room for it.
        """
        folder.mkdir(parents=True, exist_ok=True)
        size = cls.n_bytes(capacity=capacity, n_layers=n_layers, d_model=d_model, storage=storage)
        require_disk(folder, size, f"A cache of {capacity:,} tokens of activations")
        store = cls(folder, capacity=capacity, n_layers=n_layers, d_model=d_model, storage=storage, create=True)
        # The files are sparse until written: reserving their blocks makes a full disk an error here, no SIGBUS later.
        for name in (_DATA, _SCALES):
            path = folder / name
            if path.exists() and hasattr(os, "posix_fallocate"):
                with path.open("r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        store.save_state({})
        return store

    @classmethod
    def open(cls, folder: Path) -> ActivationStore:
        """Open a store that ``create`` made.

        Raises:
            FormatError: there is none, or its files do not have the size that its description says.
        """
        description = read_json(folder / _STATE)
        try:
            shape = {name: int(description[name]) for name in ("capacity", "n_layers", "d_model")}
            storage: Storage = description["storage"]
            wanted = cls.n_bytes(**shape, storage=storage)
            found = sum((folder / name).stat().st_size for name in (_DATA, _SCALES) if (folder / name).exists())
            # numpy would lengthen a file that is too short, and so hide what is lost.
            if found != wanted:
                raise ValueError(f"its files have {found:,} bytes instead of {wanted:,}")
            store = cls(folder, **shape, storage=storage, create=False)
        except (KeyError, TypeError, ValueError, OSError) as error:
            raise FormatError(f"The activation cache in {folder} is damaged: {error}; delete the folder.") from error
        store.state = description["state"]
        return store

    @staticmethod
    def exists(folder: Path) -> bool:
        return (folder / _STATE).exists()

    def save_state(self, state: dict[str, Any]) -> None:
        """Flush the data, then record ``state``."""
        self.flush()
        self.state = state
        description = {name: getattr(self, name) for name in ("capacity", "n_layers", "d_model", "storage")}
        write_json(self.folder / _STATE, {**description, "state": state})

    def flush(self) -> None:
        """Hand every written row to the disk."""
        self._data.flush()
        if self.storage == "int8":
            self._scales.flush()

    def write(self, start: int, rows: Float[Tensor, "site token d_model"]) -> None:
        """Store the activations of some tokens from row ``start`` on."""
        span = slice(start, start + rows.shape[1])
        by_token = rows.transpose(0, 1)
        if self.storage == "int8":
            values, scale = quantise_rows(by_token)
            self.values[span], self.scales[span] = values, scale
        else:
            self.values[span] = by_token.to(torch.bfloat16)

    def read(self, rows: Int[Tensor, " token"], *, reuse: bool = False) -> Float[Tensor, "site token d_model"]:
        """Return some tokens' activations in float32, site by site.

        Args:
            reuse: return the same memory as the call before, whose result is then overwritten. Fresh pages for every
                batch cost a training step a twentieth of its time.
        """
        shape = (len(rows), 2 * self.n_layers, self.d_model)
        if not reuse or self._buffers is None or self._buffers[0].shape != shape:
            staged, out = self.values.new_empty(shape), torch.empty(shape[1], shape[0], shape[2])
            self._buffers = (staged, out) if reuse else None
        else:
            staged, out = self._buffers
        torch.index_select(self.values, 0, rows, out=staged)
        # copy_ converts int8 an order of magnitude faster than a mixed-dtype product does.
        out.copy_(staged.transpose(0, 1))
        if self.storage == "int8":
            out.mul_(self.scales.index_select(0, rows).transpose(0, 1))
        return out
