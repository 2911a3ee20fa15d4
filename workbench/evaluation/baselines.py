"""What a transcoder must beat: controls that are transcoders themselves, so that all share one code path."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import ConfigError

BASELINES = {
    "skip_alone": "its skip alone",
    "linear_skip": "linear skip",
    "mean_ablation": "mean ablation",
    "zero_ablation": "zero ablation",
    "shuffled": "shuffled control",
}


def check_baselines(names: Collection[str]) -> None:
    """Check that there are such baselines.

    Raises:
        ConfigError: there is none of one of the names.
    """
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise ConfigError(f"There is no baseline {unknown[0]!r}: choose from {', '.join(BASELINES)}.")


def shuffled(clt: CLT, *, seed: int = 0) -> CLT:
    """Return the control that has the same features and the same decoder rows, wrongly paired.

    Within each layer every feature gets the decoder rows of another, random one. Encoder rows are
    permuted instead of decoder rows, which is the same transcoder up to the numbering of its
    features, because with a wide window the decoders are far larger.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.stack([torch.randperm(clt.n_features, generator=generator) for _ in range(clt.n_layers)])
    order = order.to(clt.W_enc.device)
    rows = torch.arange(clt.n_layers, device=order.device)[:, None]
    return replace(
        clt, W_enc=clt.W_enc[rows, order], b_enc=clt.b_enc[rows, order], threshold=clt.threshold[rows, order]
    )


def featureless(
    clt: CLT, constant: Float[Tensor, "layer d_model"], *, W_skip: Float[Tensor, "layer d_model d_model"] | None = None
) -> CLT:
    """Return a transcoder that has no active feature: it writes a constant, and a skip where one is given.

    With the held-out mean output as constant it is mean ablation, with zero it is zero ablation.
    """
    config = clt.config.model_copy(update={"n_features": 1, "window": 1, "skip": W_skip is not None})
    encoder = clt.W_enc.new_zeros(clt.n_layers, 1, config.d_model)
    return CLT(
        config=config,
        W_enc=encoder,
        b_enc=encoder[..., 0],
        # Zero passes no positive threshold, and a finite one keeps every later product finite.
        threshold=torch.ones_like(encoder[..., 0]),
        W_dec=tuple(encoder.new_zeros(1, 1, config.d_model) for _ in range(clt.n_layers)),
        b_dec=constant.to(clt.b_dec),
        W_skip=None if W_skip is None else W_skip.to(clt.b_dec),
    )
