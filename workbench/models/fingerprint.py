"""The identity of a model: what a transcoder was trained on and may be used with."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The config's fields that change what the parameters compute. The others describe the run, follow from the
# parameters' shapes, or come and go with versions of transformers: a CLT must outlive those.
_DEFINING = (
    "model_type",
    "num_attention_heads",
    "n_head",
    "num_key_value_heads",
    "hidden_act",
    "hidden_activation",
    "activation_function",
    "rms_norm_eps",
    "layer_norm_eps",
    "layer_norm_epsilon",
    "rope_parameters",
    "rotary_pct",
    "sliding_window",
    "layer_types",
    "query_pre_attn_scalar",
    "attn_logit_softcapping",
    "final_logit_softcapping",
)


def fingerprint_of(hf_model: PreTrainedModel) -> str:
    """Return the sha256 over the defining config and the names, shapes and float32 bytes of the parameters.

    The model must not be wrapped yet (a bridge renames the submodules). Parameters are hashed as
    float32, so a float32 and an exactly converted float64 copy agree; a bfloat16 copy does not.
    """
    values = hf_model.config.to_dict()
    config = {key: values[key] for key in _DEFINING if values.get(key) is not None}
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode())
    for name, parameter in sorted(hf_model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(parameter.detach().to("cpu", torch.float32).contiguous().numpy().data)
    return digest.hexdigest()
