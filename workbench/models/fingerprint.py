"""The identity of a model: what a transcoder was trained on and may be used with."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# What describes the run, not the function that the model computes.
_VOLATILE = frozenset(
    {"_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype", "use_cache"}
)


def fingerprint_of(hf_model: PreTrainedModel) -> str:
    """Return the sha256 over the config and the names, shapes and float32 bytes of the parameters.

    The model must not be wrapped yet (a bridge renames the submodules). Parameters are hashed as
    float32, so a float32 and an exactly converted float64 copy agree; a bfloat16 copy does not.
    """
    config = {
        key: value
        for key, value in sorted(hf_model.config.to_dict().items())
        if key not in _VOLATILE and not key.startswith("_")
    }
    # Saving a model fills this in: a model is the same before and after.
    config["architectures"] = [type(hf_model).__name__]
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, parameter in sorted(hf_model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(parameter.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()
