"""Gemma Scope 2: cross-layer transcoders and per-layer ones of Gemma 3, with or without an affine skip.

A cross-layer transcoder is one folder of ``config.json`` and ``params_layer_{i}.safetensors``: ``w_enc`` [d, F],
``b_enc`` [F], ``threshold`` [F], ``w_dec`` [F, L, d], ``b_dec`` [d], perhaps ``affine_skip_connection`` [d, d], used as
``x @ A``. The decoder's second axis counts the layers written to from 0; what stands below a feature's own layer is
left aside, as circuit-tracer does.

A per-layer transcoder is one folder a layer, ``config.json`` and ``params.safetensors`` with ``w_dec`` [F, d]; a folder
of such folders is read as a whole, each layer's number being in its config.

``config.json`` names Hugging Face's modules: ``hf_hook_point_in``, ``hf_hook_point_out``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.clt.config import CLTConfig
from workbench.clt.formats.hooks import common, split_hugging_face, to_hugging_face
from workbench.clt.formats.tensors import TensorFile, allocate, numbered_files, same_shape
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, FormatError
from workbench.files import read_json, write_json, write_safetensors

CONFIG = "config.json"
_CLT_FILE, _LAYER_FILE = "params_layer_", "params.safetensors"
_SKIP = "affine_skip_connection"
_NAMES = ("w_enc", "b_enc", "threshold", "w_dec", "b_dec", _SKIP)


@dataclass(frozen=True)
class _Parts:
    """The files of a transcoder by layer, and what their configs say."""

    files: list[Path]
    read_hook: str
    write_hook: str
    config: dict[str, Any]
    cross_layer: bool


def recognise(folder: Path) -> bool:
    return any(folder.glob(f"{_CLT_FILE}*.safetensors")) or bool(_layer_files(folder))


def layer_folders(folder: Path) -> list[Path]:
    """Return the folders of the layers; none for a cross-layer transcoder, whose layers share one."""
    return [] if any(folder.glob(f"{_CLT_FILE}*.safetensors")) else [path.parent for path in _layer_files(folder)]


def _layer_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob(_LAYER_FILE), *folder.glob(f"*/{_LAYER_FILE}")])


def read_config(folder: Path | str) -> CLTConfig:
    """Return what a folder holds, from the configs and the headers of the weights; the fingerprint is unknown.

    Raises:
        FormatError: a file is missing or damaged, or a layer does not fit the others.
        CLTError: it is no transcoder of Gemma 3's MLPs.
    """
    folder = Path(folder)
    return _config(_parts(folder), folder)


def load(folder: Path | str) -> CLT:
    """Read a folder: the window is the number of layers for a cross-layer transcoder, else 1.

    Raises:
        FormatError: a file is missing or damaged, or a tensor has the wrong shape.
        CLTError: it is no transcoder of Gemma 3's MLPs.
        ResourceError: memory will not hold the weights.
    """
    folder = Path(folder)
    parts = _parts(folder)
    config = _config(parts, folder)
    n_layers, n_features, d_model = config.n_layers, config.n_features, config.d_model
    clt, decoders = allocate(config, folder), []
    for layer, path in enumerate(parts.files):
        with TensorFile.open(path) as file:
            file.only(_NAMES)
            clt.W_enc[layer] = file.read("w_enc", (d_model, n_features)).T
            clt.b_enc[layer] = file.read("b_enc", (n_features,))
            clt.b_dec[layer] = file.read("b_dec", (d_model,))
            # Here a feature is relu(h)·(h > θ), which for a threshold below zero is a ReLU.
            clt.threshold[layer] = file.read("threshold", (n_features,)).clamp_min(0)
            if clt.W_skip is not None and _SKIP in file.names:
                clt.W_skip[layer] = file.read(_SKIP, (d_model, d_model)).T
            if parts.cross_layer:
                _check_causal(file, layer, (n_features, n_layers, d_model))
                written = file.read("w_dec", (n_features, n_layers, d_model), (slice(None), slice(layer, None)))
                # A slice is a view of the file, which would stay mapped as a whole.
                decoders.append(written.contiguous())
            else:
                decoders.append(file.read("w_dec", (n_features, d_model))[:, None])
    return replace(clt, W_dec=tuple(decoders))


def save(clt: CLT, folder: Path | str) -> None:
    """Write a cross-layer transcoder's folder as Gemma Scope 2 has it; decoders beyond the window are zero.

    Raises:
        CLTError: a threshold below zero, or a hook that Gemma Scope has no name for.
        ResourceError: the disk is full.
    """
    folder, config = Path(folder), clt.config
    points = [to_hugging_face(hook, "{all}") for hook in (config.read_hook, config.write_hook)]
    if bool((clt.threshold < 0).any()):
        raise CLTError("Gemma Scope's format has no thresholds below zero: its features are never negative.")
    for layer, decoder in enumerate(clt.W_dec):
        full = decoder.new_zeros(config.n_features, config.n_layers, config.d_model)
        full[:, layer : layer + decoder.shape[1]] = decoder
        tensors = {
            "w_enc": clt.W_enc[layer].T,
            "b_enc": clt.b_enc[layer],
            "threshold": clt.threshold[layer],
            "w_dec": full,
            "b_dec": clt.b_dec[layer],
        }
        if clt.W_skip is not None:
            tensors[_SKIP] = clt.W_skip[layer].T
        write_safetensors(folder / f"{_CLT_FILE}{layer}.safetensors", tensors)
    description = {
        "hf_hook_point_in": points[0],
        "hf_hook_point_out": points[1],
        "width": config.n_features * config.n_layers,
        "model_name": config.model,
        "architecture": "jump_relu",
        "affine_connection": clt.W_skip is not None,
        "type": "clt",
    }
    write_json(folder / CONFIG, description)


def _parts(folder: Path) -> _Parts:
    if any(folder.glob(f"{_CLT_FILE}*.safetensors")):
        config = _description(folder / CONFIG)
        hooks = _hooks(config, folder / CONFIG)
        return _Parts(numbered_files(folder, _CLT_FILE), hooks[0][1], hooks[1][1], config, cross_layer=True)
    by_layer: dict[int, Path] = {}
    reads, writes = [], []
    config = {}
    for path in _layer_files(folder):
        config = _description(path.parent / CONFIG)
        (layer, read_hook), (layer_out, write_hook) = _hooks(config, path.parent / CONFIG)
        if layer is None or layer != layer_out:
            raise FormatError(f"{path.parent / CONFIG} does not read and write at one layer: give a transcoder's.")
        if layer in by_layer:
            raise FormatError(
                f"{by_layer[layer].parent} and {path.parent} are both of layer {layer}: give a folder with one a layer."
            )
        by_layer[layer] = path
        reads.append(read_hook)
        writes.append(write_hook)
    missing = set(range(max(by_layer) + 1)) - set(by_layer)
    if missing:
        raise FormatError(f"{folder} has no transcoder of layer {min(missing)}: every layer needs one.")
    files = [by_layer[layer] for layer in sorted(by_layer)]
    return _Parts(files, common(reads, folder), common(writes, folder), config, cross_layer=False)


def _config(parts: _Parts, folder: Path) -> CLTConfig:
    n_layers, shapes, skip = len(parts.files), [], False
    for path in parts.files:
        with TensorFile.open(path) as file:
            d_model, n_features = file.shape("w_enc", (None, None))
            shapes.append((n_features, d_model))
            skip |= _SKIP in file.names
            if parts.cross_layer:
                written = file.shape("w_dec", (n_features, None, d_model))[1]
                if written != n_layers:
                    raise FormatError(
                        f"{path} writes to {written} layers, but {folder} holds {n_layers}: get the folder again."
                    )
    n_features, d_model = same_shape(parts.files, shapes)
    if parts.config.get("affine_connection", skip) != skip:
        raise FormatError(
            f"The config of {folder} says affine_connection: {parts.config['affine_connection']}, but the weights "
            f"{'have' if skip else 'lack'} {_SKIP!r}: get the folder again."
        )
    return CLTConfig(
        model=str(parts.config.get("model_name", "unknown")),
        n_layers=n_layers,
        d_model=d_model,
        n_features=n_features,
        window=n_layers if parts.cross_layer else 1,
        skip=skip,
        read_hook=parts.read_hook,
        write_hook=parts.write_hook,
    )


def _description(path: Path) -> dict[str, Any]:
    read = read_json(path)
    config: dict[str, Any] = read if isinstance(read, dict) else {}
    for key in ("hf_hook_point_in", "hf_hook_point_out"):
        if not isinstance(config.get(key), str):
            raise FormatError(f"{path} has no field {key!r}: give the config.json of a Gemma Scope 2 transcoder.")
    if config.get("type", "clt") not in ("clt", "transcoder"):
        raise CLTError(f"{path} describes a {config['type']!r}: only transcoders of the MLPs can be used.")
    if config.get("architecture", "jump_relu") != "jump_relu":
        raise CLTError(f"{path} names the architecture {config['architecture']!r}: only 'jump_relu' can be used.")
    return config


def _hooks(config: dict[str, Any], path: Path) -> tuple[tuple[int | None, str], tuple[int | None, str]]:
    found = [(point, split_hugging_face(point)) for point in (config["hf_hook_point_in"], config["hf_hook_point_out"])]
    for point, hook in found:
        if hook is None:
            raise CLTError(
                f"{path} names the module {point!r}, which is neither the input nor the output of an MLP of Gemma 3: "
                "give a transcoder of the MLPs."
            )
    (_, read), (_, write) = found
    assert read is not None
    assert write is not None
    return read, write


def _check_causal(file: TensorFile, layer: int, shape: tuple[int, int, int]) -> None:
    """Refuse decoders that count layers from their own one: read by the wrong rule they would decode to nonsense."""
    if layer == 0:
        return
    below = file.read("w_dec", shape, (slice(None), slice(None, layer)))
    if bool(below.any()) and not bool(file.read("w_dec", shape, (slice(None), slice(shape[1] - layer, None))).any()):
        raise FormatError(
            f"The decoders in {file.path} count layers from {layer}, not from 0: "
            "Gemma Scope's layout has a row for every layer of the model."
        )
