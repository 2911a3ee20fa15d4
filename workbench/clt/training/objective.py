"""What a step minimises beside the reconstruction error, and which features it lets be active.

``topk``: the k largest of a token (Gao et al., "Scaling and Evaluating Sparse Autoencoders", 2024).
``batchtopk``: the k · tokens largest of a batch (Bussmann et al., "BatchTopK Sparse Autoencoders", 2024).
``jumprelu``: what exceeds a learned threshold of its feature, held sparse by a penalty; as in Ameisen et al., "Circuit
Tracing" (2025), appendix on training: log-thresholds learn by a straight-through estimator with a rectangle kernel
(Rajamanoharan et al., "Jumping Ahead", 2024), the penalty is tanh(c · decoder norm · activation), and a loss on the
pre-activations of dead features draws them up to their thresholds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.clt.training.distributed import Ranks
from workbench.clt.training.kernels import Active, above, batch_top_k, between, feature_sums, top_k
from workbench.clt.training.parameters import Parameters

Activation = Literal["topk", "batchtopk", "jumprelu"]


@dataclass(frozen=True)
class Objective:
    """The terms of one step.

    Attributes:
        bandwidth: full width of the kernel around a threshold within which pre-activations move it.
        saturation: c of the penalty.
        sparsity: coefficient of the penalty, which is a mean over layers and tokens of a sum over features.
        pre_activation: coefficient of Σ relu(θ − pre-activation) · decoder norm over dead features, averaged alike.
        aux_k: dead features a token that reconstruct what is missing (AuxK, Gao et al., 2024, section 2.4); 0: none.
        aux_coefficient: of their loss, a mean over layers of the share of the error that they leave.
        dead: the dead features.
    """

    activation: Activation = "topk"
    bandwidth: float = 1.0
    saturation: float = 4.0
    sparsity: float = 0.0
    pre_activation: float = 0.0
    aux_k: int = 0
    aux_coefficient: float = 1 / 32
    dead: Bool[Tensor, "layer feature"] | None = None


RECONSTRUCTION = Objective()


class Silent(NamedTuple):
    """Dead features of a layer, for the loss on their pre-activations.

    Attributes:
        rows: which features.
        below: where they stay below their thresholds.
    """

    rows: Int[Tensor, " dead"]
    below: Bool[Tensor, "token dead"]


class Selection(NamedTuple):
    """What a layer's pre-activations take part in.

    Attributes:
        active: the features that are decoded.
        near: JumpReLU only: features that miss their threshold by less than half the bandwidth; their values are
            pre-activations. They write nothing, their thresholds learn from them.
        aux: AuxK only: the most active of the dead features.
    """

    active: Active
    near: Active | None = None
    aux: Active | None = None
    silent: Silent | None = None


def select(
    parameters: Parameters,
    layer: int,
    pre: Float[Tensor, "token feature"],
    objective: Objective,
    *,
    k: int,
    threshold: float | None,
    ranks: Ranks,
) -> Selection:
    """Choose the active features of a layer; with ``threshold``, top-k and BatchTopK give way to that JumpReLU."""
    quiet = None if objective.dead is None else objective.dead[layer]
    aux = None if quiet is None or not objective.aux_k else _aux(pre, quiet, objective.aux_k, ranks)
    if objective.activation == "jumprelu":
        learned = parameters.log_threshold[layer].exp()
        silent = None
        if quiet is not None and objective.pre_activation and bool(quiet.any()):
            dead = torch.nonzero(quiet).flatten()
            silent = Silent(dead, pre[:, dead] < learned[dead])
        near = between(pre, learned - objective.bandwidth / 2, learned)
        return Selection(above(pre, learned), near, aux, silent)
    if threshold is not None:
        return Selection(above(pre, threshold), aux=aux)
    if objective.activation == "topk":
        return Selection(top_k(pre, min(k, pre.shape[1])), aux=aux)
    if ranks.world == 1:
        return Selection(batch_top_k(pre, k), aux=aux)
    n = k * pre.shape[0] * (ranks.world if ranks.by_data else 1)
    return Selection(above(pre, max(0.0, float(ranks.largest(pre, n + 1)[-1]))), aux=aux)


def _aux(
    pre: Float[Tensor, "token feature"], quiet: Bool[Tensor, " feature"], aux_k: int, ranks: Ranks
) -> Active | None:
    if ranks.by_features:
        # As many candidates of every process and layer: the largest of all are kept once all are known.
        return top_k(pre.masked_fill(~quiet, -math.inf), min(aux_k, pre.shape[1]))
    dead = torch.nonzero(quiet).flatten()
    if not len(dead):
        return None
    found = top_k(pre[:, dead], min(aux_k, len(dead)))
    return found._replace(feature=dead[found.feature.long()].to(torch.int32))


def penalty(
    parameters: Parameters, layer: int, active: Active, objective: Objective
) -> tuple[Float[Tensor, " active"], Float[Tensor, " feature"]]:
    """Return the gradient of Σ tanh(c · ‖W_dec‖ · a) for every activation and for every feature's decoder norm.

    The norm is that of all of a feature's decoder rows together.
    """
    norm = parameters.decoder_norm(layer)
    own = norm[active.feature.long()]
    slope = objective.saturation * (1 - torch.tanh(objective.saturation * own * active.values).square())
    return slope * own, feature_sums(active, slope * active.values, len(norm))


def threshold_gradient(
    parameters: Parameters,
    layer: int,
    selection: Selection,
    active_grad: Float[Tensor, " active"],
    near_grad: Float[Tensor, " near"],
    objective: Objective,
) -> Float[Tensor, " feature"]:
    """Return the straight-through gradient for a layer's log-thresholds.

    ∂a/∂θ = −θ/ε where the pre-activation lies within ε/2 of θ, zero elsewhere; by log θ once more θ.

    Args:
        active_grad: of the loss for the activations that are above.
        near_grad: of the loss for those that are just below, where the activation is zero.
    """
    assert selection.near is not None
    learned = parameters.log_threshold[layer].exp()
    active = selection.active
    inside = active.values - learned[active.feature.long()] < objective.bandwidth / 2
    total = feature_sums(active, active_grad * inside, len(learned))
    total += feature_sums(selection.near, near_grad, len(learned))
    return total.mul_(learned.square()).div_(-objective.bandwidth)
