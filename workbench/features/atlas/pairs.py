"""The strongest features up- and downstream of every feature, by TWERA over a sample of text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.features.atlas.sample import TokenSample
from workbench.features.global_weights import virtual_weights
from workbench.models import LoadedModel

_VALUES_TOGETHER = 1 << 24


@dataclass(frozen=True)
class Connections:
    """Partners of every feature, the strongest first by absolute TWERA; a partner of value zero is none.

    Attributes:
        partner: layer · n_features + index of the partner.
    """

    partner: Int[np.ndarray, "layer feature k"]
    twera: Float[np.ndarray, "layer feature k"]


def strongest_pairs(
    model: LoadedModel,
    clt: CLT,
    sample: TokenSample,
    *,
    k: int = 10,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Connections, Connections] | None:
    """Return each feature's strongest sources and strongest targets; None when ``stop`` asked for an end.

    TWERA[t, s] = V[t, s] · Σ a_t · a_s / σ_t / Σ a_t over the sample's tokens, as in
    :mod:`workbench.features.global_weights`, of all pairs with the source in a lower layer. Memory is that of the
    sample, of one layer's activations and of one block of pairs at a time.

    Args:
        sample: with norm denominators, where the CLT reads behind a norm.

    Raises:
        CLTError: the CLT reads at a hook that has no linear path from the residual stream.
    """
    n_layers, n_features = clt.n_layers, clt.n_features
    shape = (n_layers, n_features, k)
    up = Connections(np.zeros(shape, np.int64), np.zeros(shape, np.float32))
    down_partner = torch.zeros(shape, dtype=torch.int64)
    down_value = torch.zeros(shape)
    together = max(1, _VALUES_TOGETHER // (n_features * n_layers))
    # A hundredth of the activations are not zero: as sparse matrices their products cost a quarter of dense ones.
    sources = [sample.sparse(layer).tocsr() for layer in range(n_layers - 1)]
    for target in range(1, n_layers):
        values = sample.sparse(target)
        total = torch.from_numpy(values.sum(axis=0)).clamp_min(torch.finfo(torch.float32).tiny)
        if sample.scales:
            values = values / sample.scales[target][:, None]
        of_targets = values.T.tocsr()
        for rows in torch.split(torch.arange(n_features), together):
            if stop():
                return None
            chosen = [(target, index) for index in rows.tolist()]
            weight = virtual_weights(model, clt, chosen)[:, :target].float().cpu()
            own = of_targets[rows[0] : rows[-1] + 1]
            for source in range(target):
                weight[:, source] *= torch.from_numpy((own @ sources[source]).toarray()) / total[rows, None]
            _keep_sources(weight, up, target, rows, k)
            _keep_targets(weight, down_partner, down_value, target, rows, k)
    return up, Connections(down_partner.numpy(), down_value.numpy())


def _keep_sources(
    twera: Float[Tensor, "chosen source feature"], up: Connections, target: int, rows: Int[Tensor, " chosen"], k: int
) -> None:
    values = twera.flatten(1)
    index = values.abs().topk(min(k, values.shape[1]), dim=1).indices
    found = index.shape[1]
    up.partner[target, rows.numpy(), :found] = index.numpy()
    up.twera[target, rows.numpy(), :found] = values.gather(1, index).numpy()


def _keep_targets(
    twera: Float[Tensor, "chosen source feature"],
    partner: Int[Tensor, "layer feature k"],
    value: Float[Tensor, "layer feature k"],
    target: int,
    rows: Int[Tensor, " chosen"],
    k: int,
) -> None:
    """Merge the targets into the lists of their sources."""
    n_features = twera.shape[2]
    here = twera.permute(1, 2, 0)
    n_sources = here.shape[0]
    values = torch.cat([value[:n_sources], here], dim=-1)
    partners = torch.cat([partner[:n_sources], (target * n_features + rows).expand(*here.shape[:2], -1)], dim=-1)
    index = values.abs().topk(k, dim=-1).indices
    value[:n_sources] = values.gather(-1, index)
    partner[:n_sources] = partners.gather(-1, index)
