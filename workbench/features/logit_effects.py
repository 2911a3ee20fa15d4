"""Logit effects: what a feature's decoder says to the unembedding, directly."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.norms import FrozenNorm
from workbench.clt import CLT
from workbench.models import LoadedModel, token_strings

_CHUNK = 256


def total_decoder(
    clt: CLT, layer: Int[Tensor, " feature"], feature: Int[Tensor, " feature"]
) -> Float[Tensor, "feature d_model"]:
    """Return what each feature adds to the residual stream, summed over the layers that it writes to."""
    rows = torch.empty(len(layer), clt.config.d_model, dtype=clt.W_enc.dtype, device=clt.W_enc.device)
    for source in set(layer.tolist()):
        here = layer == source
        rows[here] = clt.W_dec[source][feature[here]].sum(dim=1)
    return rows


@torch.no_grad()
def promoted_tokens(
    model: LoadedModel,
    clt: CLT,
    layer: Int[Tensor, " feature"],
    feature: Int[Tensor, " feature"],
    *,
    k: int = 3,
) -> list[list[str]]:
    """Return for each feature the k tokens whose logits it raises most, directly through the final norm.

    The direct effect of the summed decoder, through the final norm's weight and measured against the mean
    logit ("Circuit Tracing", section "Understanding and labeling features"); later layers are left out.
    """
    norm = FrozenNorm.of(model.bridge.ln_final, torch.ones(1, 1, dtype=model.dtype, device=model.device))
    directions = total_decoder(clt, layer, feature).to(model.dtype)
    if norm.centred:
        directions = directions - directions.mean(dim=-1, keepdim=True)
    directions = directions * norm.weight
    tokens: list[list[str]] = []
    for rows in torch.split(directions, _CHUNK):
        effects = rows @ model.W_U - (rows @ model.W_U_mean)[:, None]
        for ids in effects.topk(k, dim=-1).indices:
            tokens.append(token_strings(model, ids))
    return tokens
