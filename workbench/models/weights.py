"""Weights on disk: are they whole, how large are they, which model are they."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from workbench.errors import FormatError, ModelError, ResourceError
from workbench.files import is_finite, read_json, write_json
from workbench.models.cache import cache_folder
from workbench.models.fingerprint import fingerprint_of
from workbench.models.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def count_parameters(folder: Path, name: str) -> int:
    """Return the number of stored values from the files' headers, which also shows a truncated file at once.

    Raises:
        FormatError: the config is missing, there are no safetensors, or one of them is truncated.
    """
    from safetensors import SafetensorError, safe_open

    if not (folder / "config.json").is_file():
        raise FormatError(f"The folder {folder} has no config.json: give a folder in Hugging Face format.")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise FormatError(f"The folder {folder} of {name!r} has no .safetensors weights: give one that has.")
    total = 0
    for path in files:
        try:
            with safe_open(path, framework="pt") as weights:
                for key in weights.keys():
                    total += int(torch.Size(weights.get_slice(key).get_shape()).numel())
        except (OSError, SafetensorError) as error:
            raise FormatError(
                f"Cannot read {path} as safetensors ({error}): it is truncated or damaged, get it again."
            ) from error
    return total


def read_weights(folder: Path, name: str, dtype: torch.dtype) -> PreTrainedModel:
    """Return the plain Hugging Face model of a folder, in evaluation mode, with eager attention.

    Raises:
        ModelError: transformers cannot build the model.
        FormatError: a parameter is missing or of another shape.
    """
    import transformers
    from safetensors import SafetensorError

    auto: Any = transformers.AutoModelForCausalLM
    try:
        with quiet():
            model, report = auto.from_pretrained(
                str(folder),
                dtype=dtype,
                attn_implementation="eager",
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"Cannot load {name!r} from {folder}: {reason}; check its config.json and weights.") from error
    # transformers would fill what is missing with random numbers.
    lacking = sorted(report["missing_keys"]) or sorted(str(key) for key in report["mismatched_keys"])
    if lacking:
        raise FormatError(
            f"The weights in {folder} lack {lacking[0]!r} or have it in another shape ({len(lacking)} such "
            "parameters): get complete weights."
        )
    loaded: PreTrainedModel = model.eval()
    return loaded


def check_and_fingerprint(hf_model: PreTrainedModel, folder: Path) -> str:
    """Return the fingerprint of float32 weights after checking that every number is finite.

    Raises:
        FormatError: a tensor holds a NaN or an infinity.
    """
    for name, parameter in hf_model.named_parameters():
        if not is_finite(parameter.detach()):
            raise FormatError(f"The tensor {name!r} in {folder} holds a NaN or an infinity: get the weights again.")
    return fingerprint_of(hf_model)


def checked_fingerprint(folder: Path, name: str) -> str:
    """Return the fingerprint of a folder's float32 weights after checking that they are whole and finite.

    Raises:
        FormatError: a file is truncated, a parameter is missing, or a number is not finite.
    """
    count_parameters(folder, name)
    return check_and_fingerprint(read_weights(folder, name, torch.float32), folder)


def _stamp(folder: Path) -> list[list[str | int]]:
    """Return what changes when a folder's config or weights change."""
    paths = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    return [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in paths]


def _fingerprint_file(folder: Path) -> Path:
    key = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:32]
    return cache_folder() / "fingerprints" / f"{key}.json"


def remembered_fingerprint(folder: Path) -> str | None:
    """Return the fingerprint computed at an earlier load, if no file has changed since."""
    path = _fingerprint_file(folder)
    if not path.is_file():
        return None
    try:
        known = read_json(path)
    except FormatError:
        return None
    return str(known["fingerprint"]) if known.get("stamp") == _stamp(folder) else None


def remember_fingerprint(folder: Path, fingerprint: str) -> None:
    """Keep a fingerprint beside the state of the files that it belongs to."""
    # A cache that cannot be written costs the next load a second, not this one its success.
    with contextlib.suppress(ResourceError):
        write_json(
            _fingerprint_file(folder), {"folder": str(folder), "stamp": _stamp(folder), "fingerprint": fingerprint}
        )
