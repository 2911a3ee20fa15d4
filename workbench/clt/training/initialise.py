"""Where training starts: features from the model's own neurons, the rest at random."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.training.kernels import add_decoded, top_k
from workbench.clt.training.parameters import Form, Parameters
from workbench.models.capture import capture
from workbench.models.loaded import LoadedModel

# A random decoder row this long lets its encoder row learn without disturbing the neurons' reconstruction.
_RANDOM_DECODER_NORM = 0.1


@dataclass(frozen=True)
class NeuronBasis:
    """One layer's MLP neurons as candidates for features.

    Attributes:
        reads: the rows that the neurons read with (the gate's, where there is one).
        writes: what the neurons add where the transcoder writes, up to a positive factor a token.
        importance: mean |activation| · ‖write‖.
    """

    reads: Float[Tensor, "neuron d_model"]
    writes: Float[Tensor, "neuron d_model"]
    importance: Float[Tensor, " neuron"]


def neuron_bases(
    model: LoadedModel, config: CLTConfig, batches: Iterable[Int[Tensor, "row position"]]
) -> list[NeuronBasis]:
    """Run the model over some rows and describe every layer's neurons; position 0 is left out.

    A norm between the MLP and the residual stream rescales every dimension by its own weight: the
    least-squares factor from the MLP's output to what the transcoder writes stands in for it,
    whatever the architecture.
    """
    layers = range(config.n_layers)
    sites = {
        site: [name.format(layer=layer) for layer in layers]
        for site, name in (
            ("neuron", "blocks.{layer}.mlp.out.hook_in"),
            ("bare", "blocks.{layer}.mlp.hook_out"),
            ("write", config.write_hook),
        )
    }
    absolute: list[Any] = [0.0] * config.n_layers
    product: list[Any] = [0.0] * config.n_layers
    square: list[Any] = [0.0] * config.n_layers
    n_tokens = 0
    for tokens in batches:
        kept = capture(model, tokens, sorted({name for names in sites.values() for name in names}))
        n_tokens += tokens[:, 1:].numel()
        for layer in layers:
            neuron, bare, write = (kept[sites[site][layer]][:, 1:].flatten(0, 1).float().cpu() for site in sites)
            absolute[layer] += neuron.abs().sum(0)
            product[layer] += (bare * write).sum(0)
            square[layer] += bare.pow(2).sum(0)
    bases = []
    for layer in layers:
        mlp: Any = model.bridge.blocks[layer].mlp
        gate = getattr(mlp, "W_gate", None)
        reads = (mlp.W_in if gate is None else gate).detach().float().cpu().T
        writes = mlp.W_out.detach().float().cpu() * (product[layer] / square[layer].clamp_min(1e-30))
        bases.append(NeuronBasis(reads, writes, absolute[layer] / max(n_tokens, 1) * writes.norm(dim=1)))
    return bases


def initialise(
    config: CLTConfig,
    *,
    seed: int,
    k: int,
    bases: list[NeuronBasis] | None = None,
    activations: Float[Tensor, "site token d_model"] | None = None,
    form: Form = Form(),
) -> Parameters:
    """Return the parameters that training starts from.

    With ``bases``, up to half of a layer's features are neurons: encoder rows = normalised read rows
    of the most important ones, same-layer decoder = write row × its least-squares coefficient over
    ``activations`` (normalised). The other features are random unit rows. Decoders to later layers are zero.
    Learned thresholds are 1 until the trainer fits them to its first batch.
    With ``activations``, each layer's decoder is then scaled and its bias set for the least error of the
    ``k`` active features together: neurons overlap, and their sum can overshoot by an order of magnitude.
    """
    generator = torch.Generator().manual_seed(seed)
    parameters = Parameters.zeros(config, form)
    for layer in range(config.n_layers):
        for scale in parameters.decoder_scale[layer][:1] if form.tied else ():
            scale.fill_(1.0)
        for rows, norm in ((parameters.W_enc[layer], 1.0), (parameters.W_dec[layer][0], _RANDOM_DECODER_NORM)):
            drawn = torch.randn(rows.shape, generator=generator)
            rows.copy_(norm * drawn / drawn.norm(dim=1, keepdim=True))
        if bases is not None and activations is not None:
            basis = bases[layer]
            n_neurons = min(config.n_features // 2, basis.importance.numel())
            chosen = basis.importance.topk(n_neurons).indices
            encoder = torch.nn.functional.normalize(basis.reads[chosen], dim=1)
            decoder = torch.nn.functional.normalize(basis.writes[chosen], dim=1)
            active = (activations[layer] @ encoder.T).clamp_min(0)
            along = activations[config.n_layers + layer] @ decoder.T
            coefficient = (active * along).sum(0) / active.pow(2).sum(0).clamp_min(1e-12)
            parameters.W_enc[layer][:n_neurons] = encoder
            parameters.W_dec[layer][0][:n_neurons] = decoder * coefficient[:, None]
        if activations is not None:
            _fit_jointly(parameters, layer, activations[layer], activations[config.n_layers + layer], k)
    return parameters


def _fit_jointly(
    parameters: Parameters,
    layer: int,
    reads: Float[Tensor, "token d_model"],
    writes: Float[Tensor, "token d_model"],
    k: int,
) -> None:
    """Scale a layer's decoder and set its bias by least squares over all active features at once."""
    decoder = parameters.W_dec[layer][0]
    predicted = torch.zeros_like(writes)
    add_decoded(predicted, top_k(reads @ parameters.W_enc[layer].T, k), decoder)
    mean = predicted.mean(0)
    predicted -= mean
    scale = (predicted * writes).sum() / predicted.pow(2).sum().clamp_min(1e-12)
    decoder *= scale.clamp_min(0)
    parameters.b_dec[layer].copy_(writes.mean(0) - scale.clamp_min(0) * mean)
