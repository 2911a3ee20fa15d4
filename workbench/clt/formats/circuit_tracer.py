"""circuit-tracer's folder of a cross-layer transcoder: config.yaml and two safetensors files a layer.

``W_enc_{i}.safetensors`` holds ``W_enc_{i}`` [F, d], ``b_enc_{i}`` [F], ``b_dec_{i}`` [d] and, for
JumpReLU, ``threshold_{i}`` [F]; ``W_dec_{i}.safetensors`` holds ``W_dec_{i}`` [F, L − i, d], whose row j
writes to layer i + j. There is no skip, and every feature writes to all later layers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, FormatError
from workbench.files import atomic_file, read_safetensors, write_safetensors

CONFIG = "config.yaml"
_KIND = "cross_layer_transcoder"
_BLOCK = "blocks.{layer}."


def load(folder: Path | str) -> CLT:
    """Read a folder; the window is the number of layers, and the fingerprint is unknown.

    Raises:
        FormatError: a file is missing or damaged, layers are missing, or a tensor has the wrong shape.
    """
    folder = Path(folder)
    description = _description(folder / CONFIG)
    n_layers = _count_layers(folder)
    encoders = [read_safetensors(folder / f"W_enc_{layer}.safetensors") for layer in range(n_layers)]
    first = _get(encoders[0], "W_enc_0", None, folder)
    if first.ndim != 2:
        raise FormatError(f"W_enc_0 in {folder} has shape {tuple(first.shape)}, not [features, d_model]: get it again.")
    n_features, d_model = first.shape
    W_enc, b_enc, b_dec, threshold, W_dec = [], [], [], [], []
    for layer, tensors in enumerate(encoders):
        W_enc.append(_get(tensors, f"W_enc_{layer}", (n_features, d_model), folder))
        b_enc.append(_get(tensors, f"b_enc_{layer}", (n_features,), folder))
        b_dec.append(_get(tensors, f"b_dec_{layer}", (d_model,), folder))
        # Without a threshold the activation is a plain ReLU: JumpReLU at zero.
        name = f"threshold_{layer}"
        stored = name in tensors
        threshold.append(_get(tensors, name, (n_features,), folder) if stored else torch.zeros(n_features))
        decoder = read_safetensors(folder / f"W_dec_{layer}.safetensors")
        W_dec.append(_get(decoder, f"W_dec_{layer}", (n_features, n_layers - layer, d_model), folder))
    config = CLTConfig(
        model=str(description["model_name"]),
        n_layers=n_layers,
        d_model=d_model,
        n_features=n_features,
        window=n_layers,
        read_hook=_template(description["feature_input_hook"]),
        write_hook=_template(description["feature_output_hook"]),
    )
    return CLT(
        config=config,
        W_enc=torch.stack(W_enc),
        b_enc=torch.stack(b_enc),
        threshold=torch.stack(threshold),
        W_dec=tuple(W_dec),
        b_dec=torch.stack(b_dec),
    )


def save(clt: CLT, folder: Path | str) -> None:
    """Write a folder that circuit-tracer reads; beyond the window decoders are zero.

    Raises:
        CLTError: the transcoder has a skip, or hooks outside a block, which this format cannot hold.
        ResourceError: the disk is full.
    """
    folder = Path(folder)
    config = clt.config
    if clt.W_skip is not None:
        raise CLTError("circuit-tracer's CLT format has no skip: export a transcoder without one.")
    hooks = {}
    for key, hook in (("feature_input_hook", config.read_hook), ("feature_output_hook", config.write_hook)):
        if not hook.startswith(_BLOCK):
            raise CLTError(f"circuit-tracer's CLT format cannot express the hook {hook!r}: it knows hooks of a block.")
        hooks[key] = hook.removeprefix(_BLOCK)
    for layer in range(config.n_layers):
        write_safetensors(
            folder / f"W_enc_{layer}.safetensors",
            {
                f"W_enc_{layer}": clt.W_enc[layer],
                f"b_enc_{layer}": clt.b_enc[layer],
                f"b_dec_{layer}": clt.b_dec[layer],
                f"threshold_{layer}": clt.threshold[layer],
            },
        )
        decoder = clt.W_dec[layer]
        full = decoder.new_zeros(config.n_features, config.n_layers - layer, config.d_model)
        full[:, : decoder.shape[1]] = decoder
        write_safetensors(folder / f"W_dec_{layer}.safetensors", {f"W_dec_{layer}": full})
    with atomic_file(folder / CONFIG) as temporary:
        description = {"model_name": config.model, "model_kind": _KIND, **hooks}
        temporary.write_text(yaml.safe_dump(description, sort_keys=False), encoding="utf-8")


def _description(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise FormatError(f"Cannot read {path} as YAML: {str(error).splitlines()[0]}; give a complete file.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} is no mapping: give the config.yaml of a circuit-tracer CLT.")
    for key in ("model_name", "model_kind", "feature_input_hook", "feature_output_hook"):
        if key not in value:
            raise FormatError(f"{path} has no field {key!r}: give the config.yaml of a circuit-tracer CLT.")
    if value["model_kind"] != _KIND:
        raise FormatError(f"{path} describes a {value['model_kind']!r}, not a {_KIND!r}: give the folder of a CLT.")
    return value


def _count_layers(folder: Path) -> int:
    """Return the number of layers; encoders and decoders must be there for every one, the last included."""
    counts = {}
    for kind in ("W_enc", "W_dec"):
        layers = {int(path.stem.rsplit("_", 1)[1]) for path in folder.glob(f"{kind}_[0-9]*.safetensors")}
        missing = set(range(max(layers, default=-1) + 1)) - layers
        if missing:
            raise FormatError(f"{folder / f'{kind}_{min(missing)}.safetensors'} is missing: get the folder again.")
        counts[kind] = len(layers)
    if counts["W_enc"] != counts["W_dec"] or not counts["W_enc"]:
        raise FormatError(
            f"{folder} holds {counts['W_enc']} encoder and {counts['W_dec']} decoder files: get the folder again."
        )
    return counts["W_enc"]


def _get(tensors: dict[str, Tensor], name: str, shape: tuple[int, ...] | None, folder: Path) -> Tensor:
    if name not in tensors:
        raise FormatError(f"The tensor {name!r} is missing from {folder}: get the folder again.")
    tensor = tensors[name].float()
    if shape is not None and tuple(tensor.shape) != shape:
        raise FormatError(
            f"The tensor {name!r} in {folder} has shape {tuple(tensor.shape)} instead of {shape}: get the folder again."
        )
    return tensor


def _template(hook: str) -> str:
    return hook if "{layer}" in hook else _BLOCK + str(hook)
