"""An independent reference: the frozen model under autograd, on TransformerLens itself.

Patterns and norm scales are detached by hooks, each MLP output is rebuilt as Σ λ_s · (what source s writes),
and A[t, s] is the gradient of a target's pre-activation to λ_s. It shares no code with the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from workbench.clt import CLT
from workbench.models import LoadedModel

Row = dict[str, float]
Output = Callable[[dict[str, Tensor]], Tensor]


def frozen_gradients(
    model: LoadedModel,
    clt: CLT,
    tokens: Tensor,
    features: list[tuple[int, int, int]],
    logits: list[int],
    *,
    targets: list[str] | None = None,
    outputs: Mapping[str, Output] | None = None,
) -> tuple[dict[str, Row], dict[str, float]]:
    """Return {target: {source: weight}} and {target: value} for features, errors, tokens, b_dec and position-0 MLPs.

    Args:
        features: the active features as (layer, feature, position).
        targets: the targets wanted, all by default (each costs a backward pass).
        outputs: further targets, each a function of the frozen model's activations by hook name (of the CLT's reads
            by ``read {layer}``), a batch of one row.
    """
    n_layers, n_positions = model.n_layers, len(tokens)
    clean: dict[str, Tensor] = {}
    reads = [clt.config.read_hook.format(layer=layer) for layer in range(n_layers)]
    writes = [clt.config.write_hook.format(layer=layer) for layer in range(n_layers)]

    def keep(name: str) -> Callable[..., None]:
        def hook(value: Tensor, hook: Any) -> None:
            clean[name] = value.detach().clone()

        return hook

    with torch.no_grad(), model.bridge.hooks(fwd_hooks=[(name, keep(name)) for name in reads + writes]):
        model.bridge(tokens[None])

    names: list[str] = []
    vectors: list[tuple[int, int, Tensor]] = []  # layer, position, what it adds there
    owners: list[int] = []

    def source(name: str, parts: list[tuple[int, int, Tensor]]) -> None:
        names.append(name)
        for part in parts:
            owners.append(len(names) - 1)
            vectors.append(part)

    predicted = {layer: torch.zeros_like(clean[writes[layer]][0]) for layer in range(n_layers)}
    for layer, feature, position in features:
        x = clean[reads[layer]][0, position]
        activation = clt.W_enc[layer, feature] @ x + clt.b_enc[layer, feature]
        parts = [(layer + j, position, activation * row) for j, row in enumerate(clt.W_dec[layer][feature])]
        source(f"f/{layer}/{feature}/{position}", parts)
        for target, at, vector in parts:
            predicted[target][at] += vector
    for layer in range(n_layers):
        source(f"b/{layer}/mlp/0", [(layer, 0, clean[writes[layer]][0, 0])])
        for position in range(1, n_positions):
            skip = 0 if clt.W_skip is None else clt.W_skip[layer] @ clean[reads[layer]][0, position]
            error = clean[writes[layer]][0, position] - predicted[layer][position] - clt.b_dec[layer] - skip
            source(f"e/{layer}/{position}", [(layer, position, error)])
            source(f"b/{layer}/b_dec/{position}", [(layer, position, clt.b_dec[layer])])
    n_mlp = len(names)
    names += [f"t/{position}" for position in range(n_positions)]
    scale = torch.ones(len(names), dtype=model.dtype, requires_grad=True)

    live: dict[str, Tensor] = {}
    hooks: list[tuple[str, Callable[..., Any]]] = []

    def detach(value: Tensor, hook: Any) -> Tensor:
        return value.detach()

    def embed(value: Tensor, hook: Any) -> Tensor:
        return value * scale[n_mlp:, None]

    def remember(value: Tensor, hook: Any) -> None:
        live[hook.name] = value

    hooks.append(("embed.hook_out", embed))
    for name in model.bridge.hook_dict:
        if name.endswith(("hook_pattern", "ln1.hook_scale", "ln2.hook_scale", "ln1_post.hook_scale")):
            hooks.append((name, detach))
    hooks.append(("ln_final.hook_scale", detach))
    hooks.append(("ln_final.hook_out", remember))

    def replace(layer: int) -> Callable[..., Tensor]:
        def hook(value: Tensor, hook: Any) -> Tensor:
            here = [at for at, (at_layer, _, _) in enumerate(vectors) if at_layer == layer]
            written = scale[[owners[at] for at in here], None] * torch.stack([vectors[at][2] for at in here])
            positions = torch.tensor([vectors[at][1] for at in here])
            rows = torch.zeros_like(value[0]).index_add(0, positions, written)
            if clt.W_skip is not None:
                skipped = live[f"read {layer}"][0] @ clt.W_skip[layer].T
                rows = rows + torch.cat([torch.zeros_like(skipped[:1]), skipped[1:]])
            return rows[None]

        return hook

    def remember_read(layer: int) -> Callable[..., None]:
        def hook(value: Tensor, hook: Any) -> None:
            live[f"read {layer}"] = value

        return hook

    for layer in range(n_layers):
        hooks.append((reads[layer], remember_read(layer)))
        hooks.append((writes[layer], replace(layer)))
        hooks.append((f"blocks.{layer}.hook_out", remember))
    with model.bridge.hooks(fwd_hooks=hooks):
        model.bridge(tokens[None])

    values: dict[str, Tensor] = {}
    for layer, feature, position in features:
        x = live[f"read {layer}"][0, position]
        values[f"f/{layer}/{feature}/{position}"] = clt.W_enc[layer, feature] @ x + clt.b_enc[layer, feature]
    final = live["ln_final.hook_out"][0, -1]
    all_logits = final @ model.bridge.W_U.detach() + model.bridge.b_U.detach()
    for token in logits:
        values[f"l/{token}/{n_positions - 1}"] = all_logits[token] - all_logits.mean()
    for name, output in (outputs or {}).items():
        values[name] = output(live)
    weights = {}
    if targets is not None:
        values = {target: values[target] for target in targets}
    for target, value in values.items():
        (gradient,) = torch.autograd.grad(value, scale, retain_graph=True, allow_unused=True)
        weights[target] = dict(zip(names, gradient.tolist(), strict=True))
    return weights, {target: value.item() for target, value in values.items()}
