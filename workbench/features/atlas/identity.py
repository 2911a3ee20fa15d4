"""Which CLT an atlas is of, and which features that has."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import ConfigError


def clt_hash(clt: CLT) -> str:
    """Return the sha256 over what makes the features: hooks, window, encoder, thresholds and decoders, as float32."""
    config = clt.config
    digest = hashlib.sha256(f"{config.read_hook}|{config.write_hook}|{config.window}|{config.start_token_id}".encode())
    for tensor in (clt.W_enc, clt.b_enc, clt.threshold, *clt.W_dec):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().data


def check_feature(clt: CLT, layer: int, feature: int) -> None:
    """Check that a CLT has a feature.

    Raises:
        ConfigError: it has not.
    """
    if not (0 <= layer < clt.n_layers and 0 <= feature < clt.n_features):
        raise ConfigError(
            f"There is no feature {feature} in layer {layer}: the CLT has {clt.n_layers} layers of {clt.n_features} "
            "features, counted from 0."
        )
