"""Reading other projects' safetensors files tensor by tensor, so that no weight is ever held twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT
from workbench.errors import FormatError
from workbench.files import is_finite
from workbench.memory import require_memory

Shape = tuple[int, ...]


class TensorFile:
    """An open safetensors file; every complaint names the file and the tensor."""

    def __init__(self, path: Path, handle: Any):
        self.path, self._handle = path, handle
        self.names: frozenset[str] = frozenset(handle.keys())

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[TensorFile]:
        """Open a file; its weights stay on the disk until they are asked for.

        Raises:
            FormatError: the file is missing or truncated.
        """
        try:
            with safe_open(path, framework="pt") as handle:
                yield cls(path, handle)
        except (OSError, SafetensorError) as error:
            raise FormatError(
                f"Cannot read {path} as safetensors: {error}; the file is missing or truncated, get it again."
            ) from error

    def shape(self, name: str, wanted: Sequence[int | None] = ()) -> Shape:
        """Return a tensor's shape from the file's header.

        Args:
            wanted: what it must be, None where any size will do; empty for no check.

        Raises:
            FormatError: the tensor is missing or has another shape.
        """
        if name not in self.names:
            raise FormatError(f"The tensor {name!r} is missing from {self.path}: get the file again.")
        found = tuple(self._handle.get_slice(name).get_shape())
        fits = len(found) == len(wanted) and all(w in (None, f) for w, f in zip(wanted, found, strict=True))
        if wanted and not fits:
            spelled = ", ".join("any" if size is None else str(size) for size in wanted)
            raise FormatError(
                f"The tensor {name!r} in {self.path} has shape {list(found)} instead of [{spelled}]: "
                "get the file again."
            )
        return found

    def read(self, name: str, shape: Sequence[int], index: Any = None) -> Tensor:
        """Return a tensor, or the part of it that ``index`` selects, in float32.

        Raises:
            FormatError: it is missing, holds integers, a NaN or an infinity, or has another shape.
        """
        self.shape(name, shape)
        stored = self._handle.get_tensor(name) if index is None else self._handle.get_slice(name)[index]
        if not stored.is_floating_point():
            raise FormatError(f"The tensor {name!r} in {self.path} is of type {stored.dtype}: floats are needed.")
        tensor: Tensor = stored.float()
        if not is_finite(tensor):
            raise FormatError(f"The tensor {name!r} in {self.path} holds a NaN or an infinity: get the file again.")
        return tensor

    def only(self, known: Collection[str]) -> None:
        """Check that the file holds no tensor besides the known ones: what it does would be left out silently.

        Raises:
            FormatError: it does.
        """
        unknown = self.names - set(known)
        if unknown:
            raise FormatError(
                f"{self.path} holds an unknown tensor {min(unknown)!r}: this kind of transcoder cannot be represented."
            )


def allocate(config: CLTConfig, folder: Path) -> CLT:
    """Return a transcoder of zeros, except for the decoders, which each layer brings as it is read.

    Raises:
        ResourceError: memory will not hold it.
    """
    require_memory(4 * config.n_parameters, f"The transcoder {folder} in float32", "choose a smaller transcoder")
    layers, features, d_model = config.n_layers, config.n_features, config.d_model
    return CLT(
        config=config,
        W_enc=torch.empty(layers, features, d_model),
        b_enc=torch.empty(layers, features),
        threshold=torch.zeros(layers, features),
        W_dec=(),
        b_dec=torch.empty(layers, d_model),
        W_skip=torch.zeros(layers, d_model, d_model) if config.skip else None,
    )


def numbered_files(folder: Path, prefix: str) -> list[Path]:
    """Return ``{prefix}0.safetensors`` … of a folder, one a layer and none left out.

    Raises:
        FormatError: there is none, or one below the highest is missing.
    """
    numbers = sorted(
        int(digits)
        for path in folder.glob(f"{prefix}*.safetensors")
        if (digits := path.name.removeprefix(prefix).removesuffix(".safetensors")).isdecimal()
    )
    missing = set(range(numbers[-1] + 1 if numbers else 1)) - set(numbers)
    if missing:
        raise FormatError(f"{folder / f'{prefix}{min(missing)}.safetensors'} is missing: get the folder again.")
    return [folder / f"{prefix}{number}.safetensors" for number in numbers]


def same_shape(files: Sequence[Path], shapes: Sequence[Shape]) -> tuple[int, int]:
    """Return features a layer and d_model, which must be the same in all layers.

    Args:
        shapes: [features, d_model] of each file's encoder.

    Raises:
        FormatError: they are not.
    """
    for path, shape in zip(files, shapes, strict=True):
        if shape != shapes[0]:
            raise FormatError(
                f"{path} has {shape[0]} features × {shape[1]}, but {files[0]} has {shapes[0][0]} × {shapes[0][1]}: "
                "only transcoders of one width in all layers can be used."
            )
    if not prod(shapes[0]):
        raise FormatError(f"{files[0]} has no features: get the file again.")
    n_features, d_model = shapes[0]
    return n_features, d_model
