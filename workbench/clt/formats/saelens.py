"""SAELens 6 transcoders: ``cfg.json`` and ``sae_weights.safetensors``, one folder a layer.

The weights are ``W_enc`` [d_in, F], ``W_dec`` [F, d_out], ``b_enc``, ``b_dec``, for the JumpReLU architectures
``threshold`` [F] and for the skip architectures ``W_skip`` [d_out, d_in], used as ``x @ W_skip.T``. A folder of such
folders, one for every layer of the model, is read as a per-layer transcoder. The hooks stand in the config's
``metadata`` (in older files beside the other fields): ``hook_name`` and ``hook_name_out``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.clt.config import CLTConfig
from workbench.clt.formats.hooks import common, split, split_hugging_face
from workbench.clt.formats.tensors import TensorFile, allocate, same_shape
from workbench.clt.transcoder import CLT
from workbench.errors import CLTError, FormatError
from workbench.files import read_json, write_json, write_safetensors

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
_ARCHITECTURES = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")
# The layout of cfg.json that is written: SAELens reads files without a version as older ones.
_VERSION = "6.0.0"
# On the Hub a layer's folder often lies under its width and its sparsity.
_DEPTHS = ("", "*/", "*/*/", "*/*/*/")


@dataclass(frozen=True)
class _Layer:
    """One layer's folder and the fields of its config that matter here."""

    folder: Path
    number: int
    read_hook: str
    write_hook: str
    d_in: int
    n_features: int
    model: str
    jump: bool
    skip: bool
    subtracts_b_dec: bool

    @property
    def weights(self) -> Path:
        return self.folder / WEIGHTS


def recognise(folder: Path) -> bool:
    return bool(layer_folders(folder))


def layer_folders(folder: Path) -> list[Path]:
    """Return the folders of the layers, by name; the folder itself where it holds one."""
    return [path.parent for depth in _DEPTHS for path in sorted(folder.glob(depth + CONFIG))]


def read_config(folder: Path | str) -> CLTConfig:
    """Return what a folder holds, from the configs alone; the fingerprint is unknown.

    Raises:
        FormatError: a config is damaged, or a layer is missing or does not fit the others.
        CLTError: it is no transcoder, or one that cannot be represented.
    """
    return _config(_layers(Path(folder)), Path(folder))


def load(folder: Path | str) -> CLT:
    """Read a folder of transcoders, one a layer, as a per-layer transcoder (window 1).

    Raises:
        FormatError: a file is missing or damaged, or a tensor has the wrong shape.
        CLTError: it is no transcoder, or one that cannot be represented.
        ResourceError: memory will not hold the weights.
    """
    folder = Path(folder)
    layers = _layers(folder)
    config = _config(layers, folder)
    n_features, d_model = config.n_features, config.d_model
    clt, decoders = allocate(config, folder), []
    for layer in layers:
        at = layer.number
        with TensorFile.open(layer.weights) as file:
            known = {"W_enc", "W_dec", "b_enc", "b_dec"}
            known |= ({"threshold"} if layer.jump else set()) | ({"W_skip"} if layer.skip else set())
            if "scaling_factor" in file.names and bool((file.read("scaling_factor", (n_features,)) == 1).all()):
                known.add("scaling_factor")  # Some versions stored factors of one.
            file.only(known)
            clt.W_enc[at] = file.read("W_enc", (d_model, n_features)).T
            clt.b_enc[at] = file.read("b_enc", (n_features,))
            clt.b_dec[at] = file.read("b_dec", (d_model,))
            if layer.subtracts_b_dec:
                # W(x − b_dec) + b_enc, without a special case later.
                clt.b_enc[at] -= clt.W_enc[at] @ clt.b_dec[at]
            if layer.jump:
                # Here a feature is relu(h)·(h > θ), which for a threshold below zero is a ReLU.
                clt.threshold[at] = file.read("threshold", (n_features,)).clamp_min(0)
            if clt.W_skip is not None and layer.skip:
                clt.W_skip[at] = file.read("W_skip", (d_model, d_model))
            decoders.append(file.read("W_dec", (n_features, d_model))[:, None])
    return replace(clt, W_dec=tuple(decoders))


def save(clt: CLT, folder: Path | str) -> None:
    """Write one folder a layer, ``layer_{i}``, each of which SAELens reads.

    Raises:
        CLTError: the transcoder writes to several layers, has a threshold below zero, or hooks outside a block.
        ResourceError: the disk is full.
    """
    folder, config = Path(folder), clt.config
    if config.window > 1 and config.n_layers > 1:
        raise CLTError("SAELens' format has no cross-layer transcoders: export one whose window is 1.")
    if bool((clt.threshold < 0).any()):
        raise CLTError("SAELens' format has no thresholds below zero: its features are never negative.")
    for hook in (config.read_hook, config.write_hook):
        if split(hook.format(layer=0), folder) is None:
            raise CLTError(f"SAELens' format cannot express the hook {hook!r}: it knows hooks of a block.")
    for layer in range(config.n_layers):
        tensors = {
            "W_enc": clt.W_enc[layer].T,
            "W_dec": clt.W_dec[layer][:, 0],
            "b_enc": clt.b_enc[layer],
            "b_dec": clt.b_dec[layer],
            "threshold": clt.threshold[layer],
        }
        if clt.W_skip is not None:
            tensors["W_skip"] = clt.W_skip[layer]
        description = {
            "architecture": "jumprelu_transcoder" if clt.W_skip is None else "jumprelu_skip_transcoder",
            "d_in": config.d_model,
            "d_sae": config.n_features,
            "d_out": config.d_model,
            "dtype": str(clt.W_enc.dtype).removeprefix("torch."),
            "device": "cpu",
            "apply_b_dec_to_input": False,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "sae_lens_version": _VERSION,
                "model_name": config.model,
                "hook_name": config.read_hook.format(layer=layer),
                "hook_name_out": config.write_hook.format(layer=layer),
                "prepend_bos": True,
            },
        }
        write_safetensors(folder / f"layer_{layer}" / WEIGHTS, tensors)
        write_json(folder / f"layer_{layer}" / CONFIG, description)


def _layers(folder: Path) -> list[_Layer]:
    """Return the layers of a folder, from 0 on and none left out."""
    by_number: dict[int, _Layer] = {}
    for path in layer_folders(folder):
        layer = _layer(path / CONFIG)
        if layer.number in by_number:
            other = by_number[layer.number].folder
            raise FormatError(
                f"{other} and {layer.folder} are both of layer {layer.number}: give a folder with one a layer."
            )
        by_number[layer.number] = layer
    missing = set(range(max(by_number, default=0) + 1)) - set(by_number)
    if missing:
        raise FormatError(
            f"{folder} has no transcoder of layer {min(missing)}: give a folder that holds one for every layer."
        )
    return [by_number[number] for number in sorted(by_number)]


def _config(layers: list[_Layer], folder: Path) -> CLTConfig:
    n_features, d_model = same_shape(
        [layer.folder for layer in layers], [(layer.n_features, layer.d_in) for layer in layers]
    )
    return CLTConfig(
        model=layers[0].model,
        n_layers=len(layers),
        d_model=d_model,
        n_features=n_features,
        window=1,
        skip=any(layer.skip for layer in layers),
        read_hook=common([layer.read_hook for layer in layers], folder),
        write_hook=common([layer.write_hook for layer in layers], folder),
    )


def _layer(path: Path) -> _Layer:
    cfg = read_json(path)
    if not isinstance(cfg, dict):
        raise FormatError(f"{path} is no mapping: give the cfg.json of a SAELens transcoder.")
    architecture = cfg.get("architecture")
    if architecture not in _ARCHITECTURES:
        raise CLTError(
            f"{path} describes the architecture {architecture!r}: only {', '.join(_ARCHITECTURES)} can be used."
        )
    for key in ("d_in", "d_sae", "d_out"):
        if not isinstance(cfg.get(key), int) or cfg[key] < 1:
            raise FormatError(f"{path} has no whole number {key!r}: give the cfg.json of a SAELens transcoder.")
    if cfg["d_in"] != cfg["d_out"]:
        raise CLTError(f"{path} maps {cfg['d_in']} to {cfg['d_out']} dimensions: only d_in = d_out can be used.")
    metadata = cfg.get("metadata") or {}
    fields = cfg | (metadata if isinstance(metadata, dict) else {})
    _refuse_what_cannot_be_held(fields, path)
    (number, read_hook), (number_out, write_hook) = (_hook(fields, key, path) for key in ("hook_name", "hook_name_out"))
    if number != number_out:
        raise CLTError(
            f"{path} reads at layer {number} and writes at layer {number_out}: "
            "only transcoders that do both at one layer can be used."
        )
    return _Layer(
        folder=path.parent,
        number=number,
        read_hook=read_hook,
        write_hook=write_hook,
        d_in=cfg["d_in"],
        n_features=cfg["d_sae"],
        model=str(fields.get("model_name") or "unknown"),
        jump="jumprelu" in architecture,
        skip="skip" in architecture,
        subtracts_b_dec=fields.get("apply_b_dec_to_input") is True,
    )


def _refuse_what_cannot_be_held(fields: dict[str, Any], path: Path) -> None:
    """Refuse options under which the features are no JumpReLU of an affine map of the input."""
    allowed: dict[str, tuple[Any, ...]] = {
        "normalize_activations": (None, False, "none"),
        "reshape_activations": (None, "none"),
        "hook_head_index": (None,),
        "hook_head_index_out": (None,),
        "activation_fn": (None, "relu"),
        "activation_fn_str": (None, "relu"),
        "finetuning_scaling_factor": (None, False),
    }
    for key, values in allowed.items():
        if fields.get(key) not in values:
            raise CLTError(
                f"{path} sets {key} to {fields[key]!r}, which depends on more than the transcoder's weights and "
                "cannot be represented: fold it into the weights or choose another transcoder."
            )


def _hook(fields: dict[str, Any], key: str, path: Path) -> tuple[int, str]:
    # Where SAELens has kept Hugging Face's name of the module, that is the exact one.
    exact = split_hugging_face(str(fields.get(f"hf_{key}")))
    if exact is not None and exact[0] is not None:
        return exact[0], exact[1]
    hook = fields.get(key)
    found = split(hook, path) if isinstance(hook, str) else None
    if found is None:
        raise FormatError(f"{path} names no hook of a block as {key!r} (found {hook!r}): add it to the metadata.")
    return found
