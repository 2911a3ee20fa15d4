"""The project's own format: ``config.json`` and ``weights.safetensors``, the weights in float32 or int8.

In int8 files every row of ``W_enc`` and every (feature, target) row of ``W_dec`` has one float32
scale beside it (``….scale``); biases and thresholds stay float32, a skip is quantised by row too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from workbench.clt.activations.store import quantise_rows
from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT
from workbench.errors import FormatError
from workbench.files import read_json, read_safetensors, write_json, write_safetensors

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def recognise(folder: Path) -> bool:
    # Gemma Scope's folders have a config.json too. One without any weights is rather ours, cut short.
    return (folder / CONFIG).exists() and not any(folder.glob("params*.safetensors"))


def save(clt: CLT, folder: Path | str, *, int8: bool = False) -> None:
    """Write a transcoder's folder.

    Raises:
        ResourceError: the disk is full; no file is left half-written.
    """
    folder = Path(folder)
    large = {"W_enc": clt.W_enc, **{f"W_dec.{layer}": decoder for layer, decoder in enumerate(clt.W_dec)}}
    if clt.W_skip is not None:
        large["W_skip"] = clt.W_skip
    tensors: dict[str, Tensor] = {"b_enc": clt.b_enc, "threshold": clt.threshold, "b_dec": clt.b_dec}
    for name, tensor in large.items():
        if int8:
            tensors[name], scale = quantise_rows(tensor)
            tensors[f"{name}.scale"] = scale.squeeze(-1)
        else:
            tensors[name] = tensor
    # Weights first: a folder whose config stands is complete.
    write_safetensors(folder / WEIGHTS, tensors, metadata={"format": "circuit-workbench CLT 1"})
    write_json(folder / CONFIG, clt.config.model_dump(mode="json"))


def read_config(folder: Path | str) -> CLTConfig:
    """Read ``config.json``.

    Raises:
        FormatError: it is missing, or has an unknown or unsuitable field.
    """
    path = Path(folder) / CONFIG
    try:
        return CLTConfig.model_validate(read_json(path))
    except ValidationError as error:
        first: Any = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise FormatError(f"{path} is not usable: {field}: {first['msg']}.") from error


def load(folder: Path | str) -> CLT:
    """Read a transcoder's folder; int8 weights come back in float32.

    Raises:
        FormatError: a file is missing, truncated, or holds non-finite numbers or a tensor of the wrong shape.
    """
    folder = Path(folder)
    config = read_config(folder)
    path = folder / WEIGHTS
    stored = read_safetensors(path)
    n_layers, n_features, d_model = config.n_layers, config.n_features, config.d_model
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (n_layers, n_features, d_model),
        "b_enc": (n_layers, n_features),
        "threshold": (n_layers, n_features),
        "b_dec": (n_layers, d_model),
        **{f"W_dec.{layer}": (n_features, len(config.targets(layer)), d_model) for layer in range(n_layers)},
        **({"W_skip": (n_layers, d_model, d_model)} if config.skip else {}),
    }
    tensors = {name: _tensor(stored, name, shape, path) for name, shape in shapes.items()}
    unknown = set(stored) - set(shapes) - {f"{name}.scale" for name in shapes}
    if unknown:
        raise FormatError(f"{path} holds an unknown tensor {min(unknown)!r}: it is not of this format or version.")
    return CLT(
        config=config,
        W_enc=tensors["W_enc"],
        b_enc=tensors["b_enc"],
        threshold=tensors["threshold"],
        W_dec=tuple(tensors[f"W_dec.{layer}"] for layer in range(n_layers)),
        b_dec=tensors["b_dec"],
        W_skip=tensors.get("W_skip"),
    )


def _tensor(stored: dict[str, Tensor], name: str, shape: tuple[int, ...], path: Path) -> Tensor:
    if name not in stored:
        raise FormatError(f"The tensor {name!r} is missing from {path}: get the file again.")
    tensor = stored[name]
    if tuple(tensor.shape) != shape:
        raise FormatError(
            f"The tensor {name!r} in {path} has shape {tuple(tensor.shape)}, its config says {shape}: "
            "get both files again."
        )
    if tensor.is_floating_point():
        return tensor.float()
    scale = stored.get(f"{name}.scale")
    if scale is None or tuple(scale.shape) != shape[:-1]:
        raise FormatError(f"The int8 tensor {name!r} in {path} lacks scales of shape {shape[:-1]}: get the file again.")
    return tensor.float() * scale.float()[..., None]
