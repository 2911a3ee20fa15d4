"""End-to-end training: the gradient of the replacement model's KL divergence, added to that of the reconstruction.

A transcoder that reconstructs every MLP well on the model's own activations may still predict badly when all MLPs are
replaced at once, because each layer then reads what the replaced layers below made. This term trains it on just that.
The reconstruction term stays beside it, so that features go on explaining the MLPs and not only the prediction.

Source of the idea: Braun et al., "Identifying Functionally Important Features with End-to-End Sparse Dictionary
Learning" (2024), there for sparse autoencoders; the replacement model is that of Ameisen et al., "Circuit Tracing"
(2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt.training.kernels import (
    Active,
    SparseDecode,
    above,
    add_decoded,
    feature_sums,
    transpose,
    weight_gradient,
)
from workbench.clt.training.parameters import Normalisation, Parameters
from workbench.models import READ_HOOK, LoadedModel, run_decoder, unembed

# Logits held at once, in values: 64 MB in float32, a few times over with what backward needs.
_LOGITS = 2**24


class SparseEncode(torch.autograd.Function):
    """The values of features that are known to be active; inactive ones have no gradient.

    ``SparseEncode.apply(x, W_enc, b_enc, active)`` returns ``active.values`` and joins them to autograd.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, W_enc: Tensor, b_enc: Tensor, active: Active
    ) -> Tensor:
        ctx.save_for_backward(x, W_enc)
        ctx.active = active  # type: ignore[attr-defined]
        return active.values.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, W_enc = ctx.saved_tensors  # type: ignore[attr-defined]
        active: Active = ctx.active  # type: ignore[attr-defined]
        grad = grad.contiguous()
        x_grad = torch.zeros_like(x)
        add_decoded(x_grad, active._replace(values=grad), W_enc)
        pattern = transpose(active, len(W_enc))
        return x_grad, weight_gradient(pattern, grad, x), feature_sums(active, grad, len(W_enc)), None


@dataclass(frozen=True)
class EndToEnd:
    """The KL term of some rows of text.

    Attributes:
        rows: token rows that begin with the start token.
    """

    model: LoadedModel
    rows: Int[Tensor, "row position"]

    def add_gradient(
        self,
        parameters: Parameters,
        normalisation: Normalisation,
        threshold: Float[Tensor, " layer"],
        rows: Int[Tensor, " chosen"],
        *,
        weight: float,
        positions: Int[Tensor, " some"] | None = None,
    ) -> float:
        """Add ``weight`` × the gradient of the mean KL(model ‖ replacement) to every parameter's ``grad``.

        The mean is over positions ≥ 1 of the chosen rows, or some of them. Thresholds get no gradient.

        Args:
            threshold: of the JumpReLU, by layer; not used where features have learned their own.
            rows: which of ``self.rows``.
            positions: which predictions count, as indices into positions 1, 2, … of one row after the other; None for
                all. A large vocabulary costs more than all layers together, so a sample of them is cheaper by far.

        Returns:
            The mean KL divergence in nats.
        """
        tokens = self.rows[rows]
        n_predictions = tokens.numel() - len(tokens)
        at = torch.arange(n_predictions) if positions is None else positions
        at = at.to(self.model.device)
        own = run_decoder(self.model, tokens, [])[:, 1:].flatten(0, 1)[at]
        tensors = parameters.tensors()
        for tensor in tensors:
            tensor.requires_grad_()
        try:
            hooks = _hooks(self.model, parameters, normalisation, threshold)
            with torch.enable_grad():
                final = run_decoder(self.model, tokens, hooks, gradient=True)[:, 1:].flatten(0, 1)[at]
            kl, final_gradient = self._divergence(own, final.detach())
            gradients = torch.autograd.grad(final, tensors, weight * final_gradient, allow_unused=True)
        finally:
            for tensor in tensors:
                tensor.requires_grad_(False)
        for tensor, gradient in zip(tensors, gradients, strict=True):
            if gradient is not None:
                tensor.grad = gradient if tensor.grad is None else tensor.grad.add_(gradient)
        return kl

    def _divergence(
        self, own: Float[Tensor, "token d_model"], final: Float[Tensor, "token d_model"]
    ) -> tuple[float, Float[Tensor, "token d_model"]]:
        """Return the mean KL divergence and its gradient at ``final``; logits exist for one block at a time."""
        size = max(1, _LOGITS // self.model.d_vocab)
        total, gradient = 0.0, torch.empty_like(final)
        for start in range(0, len(own), size):
            piece = slice(start, start + size)
            p = unembed(self.model, own[piece]).log_softmax(-1)
            with torch.enable_grad():
                x = final[piece].clone().requires_grad_()
                q = unembed(self.model, x).log_softmax(-1)
                kl = torch.nn.functional.kl_div(q, p, reduction="sum", log_target=True) / len(own)
                (gradient[piece],) = torch.autograd.grad(kl, x)
            total += float(kl.detach())
        return total, gradient


def _hooks(
    model: LoadedModel, parameters: Parameters, normalisation: Normalisation, threshold: Float[Tensor, " layer"]
) -> list[tuple[str, Callable[..., Any]]]:
    """Return the hooks of one pass of the replacement model that keeps gradients; position 0 stays the model's own."""
    config = parameters.config
    n_layers = config.n_layers
    (x_mean, y_mean), (x_scale, y_scale) = normalisation.mean.chunk(2), normalisation.scale.chunk(2)
    inputs: list[Tensor] = [torch.empty(0)] * n_layers
    found: list[tuple[Tensor, Active]] = []

    def read(layer: int) -> Callable[..., None]:
        def hook(x: Tensor, hook: Any) -> None:
            W_enc, b_enc = parameters.W_enc[layer], parameters.b_enc[layer]
            normal = ((x[:, 1:] - x_mean[layer]) / x_scale[layer]).flatten(0, 1).to(W_enc.dtype)
            inputs[layer] = normal
            with torch.no_grad():
                own = parameters.log_threshold[layer].exp() if parameters.log_threshold else float(threshold[layer])
                active = above(torch.addmm(b_enc, normal, W_enc.T), own)
            values: Tensor = SparseEncode.apply(normal, W_enc, b_enc, active)  # type: ignore[no-untyped-call]
            found.append((values, active))

        return hook

    def keep_start(x: Tensor, hook: Any) -> Tensor:
        return x[:, :1]

    def write(layer: int) -> Callable[..., Tensor]:
        def hook(y: Tensor, hook: Any) -> Tensor:
            written = parameters.b_dec[layer].expand_as(inputs[layer])
            for source in config.sources(layer):
                values, active = found[source]
                decoder = parameters.decoder(source, layer - source)
                written = written + SparseDecode.apply(values, active, decoder)  # type: ignore[no-untyped-call]
            if parameters.W_skip:
                written = written + inputs[layer] @ parameters.W_skip[layer].T
            written = (written * y_scale[layer] + y_mean[layer]).reshape(len(y), -1, y.shape[-1])
            return torch.cat([y[:, :1], written.to(y)], dim=1)

        return hook

    hooks: list[tuple[str, Callable[..., Any]]] = []
    for layer in range(n_layers):
        hooks.append((config.read_hook.format(layer=layer), read(layer)))
        mlp_input = READ_HOOK.format(layer=layer)
        if mlp_input in model.bridge.hook_dict:
            # The MLP's own output is wanted at position 0 alone.
            hooks.append((mlp_input, keep_start))
        hooks.append((config.write_hook.format(layer=layer), write(layer)))
    return hooks
