"""Logit effects: what a feature's decoder says to the unembedding, directly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.norms import FrozenNorm
from workbench.clt import CLT
from workbench.models import LoadedModel, token_strings

# Logits that are formed together: 64 MB in float32.
_VALUES_TOGETHER = 1 << 24


def total_decoder(
    clt: CLT, layer: Int[Tensor, " feature"], feature: Int[Tensor, " feature"]
) -> Float[Tensor, "feature d_model"]:
    """Return what each feature adds to the residual stream, summed over the layers that it writes to."""
    rows = torch.empty(len(layer), clt.config.d_model, dtype=clt.W_enc.dtype, device=clt.W_enc.device)
    for source in set(layer.tolist()):
        here = layer == source
        rows[here] = clt.W_dec[source][feature[here]].sum(dim=1)
    return rows


@dataclass(frozen=True)
class LogitEffects:
    """What features say to the unembedding, per unit of activation, against the mean logit.

    Attributes:
        top: the tokens whose logits each feature raises most, the most first.
        bottom: those that it lowers most, the most first.
    """

    top: Int[Tensor, "feature k"]
    top_value: Float[Tensor, "feature k"]
    bottom: Int[Tensor, "feature k"]
    bottom_value: Float[Tensor, "feature k"]


@torch.no_grad()
def logit_effects(
    model: LoadedModel, clt: CLT, layer: Int[Tensor, " feature"], feature: Int[Tensor, " feature"], *, k: int = 10
) -> LogitEffects:
    """Return the tokens that each feature promotes and demotes most, directly through the final norm.

    The direct effect of the summed decoder, through the final norm's weight and measured against the mean
    logit ("Circuit Tracing", section "Understanding and labeling features"); later layers and the norm's denominator
    are left out.
    """
    norm = FrozenNorm.of(model.bridge.ln_final, torch.ones(1, 1, dtype=model.dtype, device=model.device))
    directions = total_decoder(clt, layer, feature).to(model.dtype)
    if norm.centred:
        directions = directions - directions.mean(dim=-1, keepdim=True)
    directions = directions * norm.weight
    k = min(k, model.d_vocab)
    parts: list[tuple[Tensor, ...]] = []
    for rows in torch.split(directions, max(1, _VALUES_TOGETHER // model.d_vocab)):
        effects = rows @ model.W_U - (rows @ model.W_U_mean)[:, None]
        top, bottom = effects.topk(k, dim=-1), effects.topk(k, dim=-1, largest=False)
        parts.append((top.indices, top.values, bottom.indices, bottom.values))
    return LogitEffects(*(torch.cat(column) for column in zip(*parts, strict=True)))


def promoted_tokens(
    model: LoadedModel,
    clt: CLT,
    layer: Int[Tensor, " feature"],
    feature: Int[Tensor, " feature"],
    *,
    k: int = 3,
) -> list[list[str]]:
    """Return for each feature the k tokens whose logits it raises most; see :func:`logit_effects`."""
    if not len(layer):
        return []
    return [token_strings(model, ids) for ids in logit_effects(model, clt, layer, feature, k=k).top]
