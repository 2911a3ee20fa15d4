"""circuit-tracer's folders: ``config.yaml`` beside the weights of a cross-layer transcoder or of per-layer ones.

``model_kind: cross_layer_transcoder`` has two files a layer. ``W_enc_{i}.safetensors`` holds ``W_enc_{i}`` [F, d],
``b_enc_{i}`` [F], ``b_dec_{i}`` [d] and, for JumpReLU, ``threshold_{i}`` [F]; ``W_dec_{i}.safetensors`` holds
``W_dec_{i}`` [F, L − i, d], whose row j writes to layer i + j. Every feature writes to all later layers. Some versions
store a skip too, ``W_skip_{i}`` [d, d], used as ``x @ W_skip``.

``model_kind: transcoder_set`` has ``layer_{i}.safetensors`` with ``W_enc`` [F, d], ``W_dec`` [F, d], ``b_enc``,
``b_dec``, perhaps ``activation_function.threshold`` [F] and ``W_skip`` [d, d], used as ``x @ W_skip.T``.

Without a threshold the activation is a plain ReLU. ``config.yaml`` names hooks inside a block.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from workbench.clt.config import CLTConfig
from workbench.clt.formats.hooks import BLOCK, template
from workbench.clt.formats.tensors import TensorFile, allocate, numbered_files, same_shape
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, FormatError
from workbench.files import atomic_file, write_safetensors

CONFIG = "config.yaml"
_CLT, _PLT = "cross_layer_transcoder", "transcoder_set"
_THRESHOLD = "activation_function.threshold"


def recognise(folder: Path) -> bool:
    return (folder / CONFIG).exists()


def read_config(folder: Path | str) -> CLTConfig:
    """Return what a folder holds, from ``config.yaml`` and the headers of the weights; the fingerprint is unknown.

    Raises:
        FormatError: a file is missing or damaged, or a layer does not fit the others.
        CLTError: the activation is neither ReLU nor JumpReLU, or a hook's name is ambiguous.
    """
    folder = Path(folder)
    description = _description(folder / CONFIG)
    is_clt = description["model_kind"] == _CLT
    paths = numbered_files(folder, "W_enc_" if is_clt else "layer_")
    shapes, skip = [], False
    for layer, path in enumerate(paths):
        suffix = f"_{layer}" if is_clt else ""
        with TensorFile.open(path) as file:
            n_features, d_model = file.shape(f"W_enc{suffix}", (None, None))
            shapes.append((n_features, d_model))
            skip |= f"W_skip{suffix}" in file.names
    n_features, d_model = same_shape(paths, shapes)
    if is_clt and (decoders := len(numbered_files(folder, "W_dec_"))) != len(paths):
        raise FormatError(f"{folder} holds {len(paths)} encoder and {decoders} decoder files: get the folder again.")
    return CLTConfig(
        model=str(description.get("model_name", "unknown")),
        n_layers=len(paths),
        d_model=d_model,
        n_features=n_features,
        window=len(paths) if is_clt else 1,
        skip=skip,
        read_hook=template(description["feature_input_hook"], folder / CONFIG),
        write_hook=template(description["feature_output_hook"], folder / CONFIG),
    )


def load(folder: Path | str) -> CLT:
    """Read a folder: the window is the number of layers for a cross-layer transcoder, else 1.

    Raises:
        FormatError: a file is missing or damaged, layers are missing, or a tensor has the wrong shape.
        CLTError: the activation is neither ReLU nor JumpReLU, or a hook's name is ambiguous.
        ResourceError: memory will not hold the weights.
    """
    folder = Path(folder)
    config = read_config(folder)
    description = _description(folder / CONFIG)
    is_clt = description["model_kind"] == _CLT
    n_features, d_model = config.n_features, config.d_model
    clt, decoders = allocate(config, folder), []
    for layer, path in enumerate(numbered_files(folder, "W_enc_" if is_clt else "layer_")):
        suffix = f"_{layer}" if is_clt else ""
        threshold = f"threshold_{layer}" if is_clt else _THRESHOLD
        names = {name: f"{name}{suffix}" for name in ("W_enc", "b_enc", "b_dec", "W_skip")}
        with TensorFile.open(path) as file:
            file.only({*names.values(), threshold} | (set() if is_clt else {"W_dec"}))
            clt.W_enc[layer] = file.read(names["W_enc"], (n_features, d_model))
            clt.b_enc[layer] = file.read(names["b_enc"], (n_features,))
            clt.b_dec[layer] = file.read(names["b_dec"], (d_model,))
            # Where the config says ReLU, circuit-tracer leaves stored thresholds aside. JumpReLU at zero is a ReLU.
            if threshold in file.names and description.get("activation") != "relu":
                clt.threshold[layer] = file.read(threshold, (n_features,))
            if clt.W_skip is not None and names["W_skip"] in file.names:
                skip = file.read(names["W_skip"], (d_model, d_model))
                clt.W_skip[layer] = skip.T if is_clt else skip
            if not is_clt:
                decoders.append(file.read("W_dec", (n_features, d_model))[:, None])
        if is_clt:
            with TensorFile.open(folder / f"W_dec_{layer}.safetensors") as file:
                file.only({f"W_dec_{layer}"})
                decoders.append(file.read(f"W_dec_{layer}", (n_features, config.n_layers - layer, d_model)))
    return replace(clt, W_dec=tuple(decoders))


def save(clt: CLT, folder: Path | str) -> None:
    """Write a folder that circuit-tracer reads: a transcoder set for window 1, else a cross-layer transcoder.

    Beyond the window decoders are zero.

    Raises:
        CLTError: hooks outside a block, or a skip of a cross-layer transcoder, which most versions of circuit-tracer
            leave out without a word.
        ResourceError: the disk is full.
    """
    folder = Path(folder)
    config = clt.config
    is_plt = config.window == 1 and config.n_layers > 1
    if clt.W_skip is not None and not is_plt:
        raise CLTError("circuit-tracer's CLT format has no skip: export a transcoder without one.")
    hooks = {}
    for key, hook in (("feature_input_hook", config.read_hook), ("feature_output_hook", config.write_hook)):
        if not hook.startswith(BLOCK):
            raise CLTError(f"circuit-tracer's format cannot express the hook {hook!r}: it knows hooks of a block.")
        hooks[key] = hook.removeprefix(BLOCK)
    for layer in range(config.n_layers):
        if is_plt:
            _save_layer(clt, layer, folder)
        else:
            _save_cross_layer(clt, layer, folder)
    # Last, because a folder with a config is taken to be complete.
    with atomic_file(folder / CONFIG) as temporary:
        description = {"model_name": config.model, "model_kind": _PLT if is_plt else _CLT, **hooks}
        temporary.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")


def _save_layer(clt: CLT, layer: int, folder: Path) -> None:
    tensors = {
        "W_enc": clt.W_enc[layer],
        "W_dec": clt.W_dec[layer][:, 0],
        "b_enc": clt.b_enc[layer],
        "b_dec": clt.b_dec[layer],
        _THRESHOLD: clt.threshold[layer],
    }
    if clt.W_skip is not None:
        tensors["W_skip"] = clt.W_skip[layer]
    write_safetensors(folder / f"layer_{layer}.safetensors", tensors)


def _save_cross_layer(clt: CLT, layer: int, folder: Path) -> None:
    encoder = {
        f"W_enc_{layer}": clt.W_enc[layer],
        f"b_enc_{layer}": clt.b_enc[layer],
        f"b_dec_{layer}": clt.b_dec[layer],
        f"threshold_{layer}": clt.threshold[layer],
    }
    write_safetensors(folder / f"W_enc_{layer}.safetensors", encoder)
    decoder = clt.W_dec[layer]
    missing = clt.n_layers - layer - decoder.shape[1]
    full = torch.nn.functional.pad(decoder, (0, 0, 0, missing)) if missing else decoder
    write_safetensors(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": full})


def _description(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FormatError(f"Cannot read {path} as YAML: {str(error).splitlines()[0]}; give a complete file.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} is no mapping: give the config.yaml of circuit-tracer's transcoders.")
    for key in ("model_kind", "feature_input_hook", "feature_output_hook"):
        if not isinstance(value.get(key), str):
            raise FormatError(f"{path} has no field {key!r}: give the config.yaml of circuit-tracer's transcoders.")
    if value["model_kind"] not in (_CLT, _PLT):
        raise FormatError(
            f"{path} describes a {value['model_kind']!r}, neither a {_CLT!r} nor a {_PLT!r}: give the folder of one."
        )
    if value.get("transcoders") and not any(path.parent.glob("*.safetensors")):
        raise CLTError(
            f"{path} only names files elsewhere ({value['transcoders'][0]}, …): give the folder that holds them."
        )
    if value.get("activation") not in (None, "relu", "jump_relu", "jumprelu"):
        raise CLTError(
            f"The transcoders in {path.parent} use the activation {value['activation']!r}: "
            "only ReLU and JumpReLU, where each feature has its own threshold, can be used."
        )
    return value
