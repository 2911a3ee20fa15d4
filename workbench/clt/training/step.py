"""One optimiser step's loss and gradients, written out by hand over the sparse kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.kernels import (
    Active,
    activation_gradient,
    add_decoded,
    feature_sums,
    transpose,
    weight_gradient,
)
from workbench.clt.training.objective import (
    RECONSTRUCTION,
    Objective,
    Selection,
    Silent,
    penalty,
    select,
    threshold_gradient,
)
from workbench.clt.training.parameters import Parameters


@dataclass(frozen=True)
class StepResult:
    """What a step saw; ``fvu`` and ``l0`` are of the whole batch and of all features, the rest is this process's part.

    Attributes:
        fvu: fraction of variance unexplained, by layer.
        l0: active features a token, by layer.
        errors: ŷ − y in normalised units.
        selected: by layer, what was active, and what else the objective looks at.
        aux_errors: what dead features' reconstruction of −errors misses, by layer over the mean square of the errors;
            None without AuxK or dead features.
    """

    fvu: Float[Tensor, " layer"]
    l0: Float[Tensor, " layer"]
    errors: Float[Tensor, "layer token d_model"]
    selected: list[Selection]
    aux_errors: Float[Tensor, "layer token d_model"] | None = None

    @property
    def active(self) -> list[Active]:
        """The active features by layer."""
        return [selection.active for selection in self.selected]

    @property
    def loss(self) -> float:
        """Mean over layers of the fraction of variance unexplained."""
        return float(self.fvu.mean())


def forward(
    parameters: Parameters,
    reads: Float[Tensor, "layer token d_model"],
    writes: Float[Tensor, "layer token d_model"],
    *,
    k: int,
    threshold: Float[Tensor, " layer"] | None = None,
    objective: Objective = RECONSTRUCTION,
    ranks: Ranks = ALONE,
    overwrite: bool = False,
) -> StepResult:
    """Encode, keep the top k (or with ``threshold`` what exceeds it), decode, compare.

    ``reads`` and ``writes`` are normalised.

    Args:
        overwrite: ``writes`` may become the errors in place, which saves memory that is as large.
        objective: how active features are chosen, and what else is minimised; ``backward`` takes the same.
        ranks: who else holds a part of the batch or of the features.
    """
    config = parameters.config
    with_aux = bool(objective.aux_k) and ranks.any(objective.dead is not None and bool(objective.dead.any()))
    if not with_aux:
        objective = replace(objective, aux_k=0)
    selected = []
    for layer in range(config.n_layers):
        pre = torch.addmm(parameters.b_enc[layer], reads[layer], parameters.W_enc[layer].T)
        fixed = None if threshold is None else float(threshold[layer])
        selected.append(select(parameters, layer, pre, objective, k=k, threshold=fixed, ranks=ranks))
    if threshold is None and objective.activation == "topk":
        kept = ranks.top_k([selection.active for selection in selected], k)
        selected = [selection._replace(active=active) for selection, active in zip(selected, kept, strict=True)]
    if with_aux and ranks.by_features:
        candidates = ranks.top_k([selection.aux for selection in selected if selection.aux], objective.aux_k)
        selected = [selection._replace(aux=aux) for selection, aux in zip(selected, candidates, strict=True)]
    # What no feature writes is added by one process alone where the reconstruction is summed over several.
    first = ranks.is_first or not ranks.by_features
    errors = writes if overwrite else torch.empty_like(writes)
    if first:
        torch.neg(writes, out=errors)
    else:
        errors.zero_()
    for layer, bias in enumerate(parameters.b_dec if first else ()):
        errors[layer] += bias
        if parameters.W_skip:
            errors[layer].addmm_(reads[layer], parameters.W_skip[layer].T)
    _add_reconstruction(errors, parameters, [selection.active for selection in selected], ranks)
    fvu = torch.linalg.vector_norm(errors, dim=(1, 2)).pow_(2).div_(errors[0].numel())
    fvu = ranks.mean_tokens(fvu)
    aux_errors = None
    if with_aux:
        aux_errors = errors.clone() if first else torch.zeros_like(errors)
        _add_reconstruction(aux_errors, parameters, [selection.aux for selection in selected], ranks)
        # The decoder biases leave the errors no mean to speak of: their mean square is their variance.
        aux_errors /= fvu.clamp_min(torch.finfo(fvu.dtype).tiny)[:, None, None]
    l0 = torch.stack([(found.active.values > 0).sum() / found.active.n_tokens for found in selected])
    return StepResult(fvu=fvu, l0=ranks.whole(l0), errors=errors, selected=selected, aux_errors=aux_errors)


def _add_reconstruction(
    out: Float[Tensor, "layer token d_model"], parameters: Parameters, active: Sequence[Active | None], ranks: Ranks
) -> None:
    """Add in place what the features of all processes write."""
    sums = []
    for layer, features in enumerate(active):
        for j, target in enumerate(parameters.config.targets(layer) if features is not None else ()):
            assert features is not None
            decoder, scale = parameters.table(layer, j)
            written = features if scale is None else _scaled(features, scale)
            add_decoded(out[target], written, decoder)
        # Later layers write to later ones only: this one is complete, and is sent while they are decoded.
        sums += ranks.begin_feature_sum(out[layer])
    for work in sums:
        work.wait()


def _scaled(active: Active, scale: Float[Tensor, " feature"]) -> Active:
    return active._replace(values=active.values * scale[active.feature.long()])


def backward(
    parameters: Parameters,
    reads: Float[Tensor, "layer token d_model"],
    result: StepResult,
    objective: Objective = RECONSTRUCTION,
) -> None:
    """Set the gradient of the loss on every parameter.

    The loss is the mean FVU of ``result``, the penalty and the pre-activation loss of the objective (means over layers
    and tokens), and ``aux_coefficient`` times the normalised auxiliary loss (Gao et al., 2024, appendix A.2): the mean
    over layers of the mean square of what dead features leave of the errors over that of the errors, which themselves
    count as constant. Only features that are active on a token receive a gradient from it, so encoder and decoder
    gradients share one transposed pattern a layer.
    """
    n_layers, n_tokens, d_model = result.errors.shape
    for tensor in parameters.tensors():
        tensor.grad = None
    share = 1.0 / (n_layers * n_tokens)
    errors, unit = result.errors, 2.0 * share / d_model
    for layer, selection in enumerate(result.selected):
        parameters.b_dec[layer].grad = errors[layer].sum(0).mul_(unit)
        if parameters.W_skip:
            parameters.W_skip[layer].grad = (errors[layer].T @ reads[layer]).mul_(unit)
        norm_grad = None
        active = selection.active
        for_values = torch.zeros_like(active.values)
        if objective.sparsity:
            for_values, norm_grad = (
                share * objective.sparsity * part for part in penalty(parameters, layer, active, objective)
            )
        for_values = _features_backward(parameters, layer, active, for_values, errors, unit, reads[layer])
        if norm_grad is not None:
            _norm_backward(parameters, layer, norm_grad)
        if result.aux_errors is not None and selection.aux is not None:
            aux, aux_unit = selection.aux, unit * objective.aux_coefficient
            nothing = torch.zeros_like(aux.values)
            _features_backward(parameters, layer, aux, nothing, result.aux_errors, aux_unit, reads[layer])
        if selection.near is not None:
            near = selection.near._replace(values=torch.zeros_like(selection.near.values))
            for_near = share * objective.sparsity * penalty(parameters, layer, near, objective)[0]
            for j, target in enumerate(parameters.config.targets(layer)):
                decoder, scale = parameters.table(layer, j)
                dot = activation_gradient(near, errors[target], decoder).mul_(unit)
                for_near += dot if scale is None else dot * scale[near.feature.long()]
            _accumulate(
                parameters.log_threshold[layer],
                threshold_gradient(parameters, layer, selection, for_values, for_near, objective),
            )
        if selection.silent is not None:
            _silent_backward(parameters, layer, selection.silent, share * objective.pre_activation, reads[layer])


def _features_backward(
    parameters: Parameters,
    layer: int,
    active: Active,
    direct: Float[Tensor, " active"],
    errors: Float[Tensor, "layer token d_model"],
    unit: float,
    x: Float[Tensor, "token d_model"],
) -> Float[Tensor, " active"]:
    """Add the gradient of some active features to their decoders and encoder rows.

    Args:
        direct: gradient for their activations beside what comes from the reconstruction.
        errors: times ``unit`` the gradient for what is written; as large as the batch, so the product is never formed.

    Returns:
        The whole gradient for their activations.
    """
    n_features = parameters.config.n_features
    pattern = transpose(active, n_features)
    values_grad = direct
    for j, target in enumerate(parameters.config.targets(layer)):
        decoder, scale = parameters.table(layer, j)
        dot = activation_gradient(active, errors[target], decoder).mul_(unit)
        values = active.values
        if scale is not None:
            _accumulate(scale, feature_sums(active, values * dot, n_features))
            own = scale[active.feature.long()]
            values, dot = values * own, dot * own
        _accumulate(decoder, weight_gradient(pattern, values * unit, errors[target]))
        values_grad = values_grad + dot
    values_grad = values_grad.masked_fill(active.values == 0, 0.0)
    _accumulate(parameters.W_enc[layer], weight_gradient(pattern, values_grad, x))
    _accumulate(parameters.b_enc[layer], feature_sums(active, values_grad, n_features))
    return values_grad


def _norm_backward(parameters: Parameters, layer: int, norm_grad: Float[Tensor, " feature"]) -> None:
    """Add to a layer's decoders what a gradient for their norms, ``decoder_norm``, means for them."""
    norm = parameters.decoder_norm(layer)
    ratio = norm_grad / norm.square().clamp_min(torch.finfo(norm.dtype).tiny) * norm
    if not parameters.decoder_scale:
        for decoder in parameters.W_dec[layer]:
            _accumulate(decoder, ratio[:, None] * decoder)
        return
    decoder, scales = parameters.W_dec[layer][0], torch.stack(parameters.decoder_scale[layer])
    _accumulate(decoder, (ratio * scales.square().sum(0))[:, None] * decoder)
    for scale in parameters.decoder_scale[layer]:
        _accumulate(scale, ratio * decoder.square().sum(1) * scale)


def _silent_backward(
    parameters: Parameters, layer: int, silent: Silent, coefficient: float, x: Float[Tensor, "token d_model"]
) -> None:
    """Add the gradient of ``coefficient`` · Σ relu(θ − pre-activation) · decoder norm over a layer's dead features.

    The norm weighs the features and gets no gradient: the loss would else be met by forgetting what they write.
    """
    rows = silent.rows
    weight = coefficient * parameters.decoder_norm(layer)[rows]
    pre_grad = -weight * silent.below
    counts = -pre_grad.sum(0)
    _accumulate(parameters.W_enc[layer], pre_grad.T @ x, rows)
    _accumulate(parameters.b_enc[layer], -counts, rows)
    _accumulate(parameters.log_threshold[layer], counts * parameters.log_threshold[layer][rows].exp(), rows)


def _accumulate(parameter: Tensor, gradient: Tensor, rows: Tensor | None = None) -> None:
    if rows is not None:
        assert parameter.grad is not None
        parameter.grad.index_add_(0, rows, gradient)
    elif parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient
