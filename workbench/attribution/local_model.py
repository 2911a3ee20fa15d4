"""The local replacement model of one prompt: everything that the sweep needs, captured once.

Source of the method: Ameisen et al., "Circuit Tracing" (2025), section "Attribution graphs": attention
patterns and normalisation denominators are constants, one error node a layer and position makes the
replacement reproduce the model exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.attention import FrozenAttention
from workbench.attribution.norms import FrozenNorm
from workbench.clt import CLT
from workbench.clt.formats.load import check_runs_on
from workbench.errors import CLTError
from workbench.models import LoadedModel, capture


@dataclass(frozen=True)
class ActiveFeatures:
    """The active features of a prompt, sorted by layer, position and index."""

    layer: Int[Tensor, " active"]
    position: Int[Tensor, " active"]
    feature: Int[Tensor, " active"]
    activation: Float[Tensor, " active"]
    pre_activation: Float[Tensor, " active"]

    def __len__(self) -> int:
        return len(self.layer)

    def select(self, index: Tensor) -> ActiveFeatures:
        """Return the features at the given indices (or under a mask)."""
        return ActiveFeatures(
            self.layer[index],
            self.position[index],
            self.feature[index],
            self.activation[index],
            self.pre_activation[index],
        )


@dataclass(frozen=True)
class LocalModel:
    """A model and a CLT, frozen on one prompt.

    Attributes:
        reads: what the CLT reads at each layer.
        writes: what each MLP added to the residual stream.
        read_norms: the norm between the residual stream and the point where the CLT reads; None when it
            reads the residual stream itself.
        reads_weighted: whether the CLT reads after that norm's weight and bias.
        parallel: whether attention and MLP read the same residual stream.
    """

    model: LoadedModel
    clt: CLT
    tokens: Int[Tensor, " position"]
    embeddings: Float[Tensor, "position d_model"]
    positional: Float[Tensor, "position d_model"] | None
    reads: Float[Tensor, "layer position d_model"]
    writes: Float[Tensor, "layer position d_model"]
    attentions: tuple[FrozenAttention, ...]
    read_norms: tuple[FrozenNorm | None, ...]
    reads_weighted: bool
    parallel: bool
    final_norm: FrozenNorm
    final: Float[Tensor, "position d_model"]
    features: ActiveFeatures

    @property
    def n_layers(self) -> int:
        return self.model.n_layers

    @property
    def n_positions(self) -> int:
        return len(self.tokens)

    def logits(self, position: int) -> Float[Tensor, " vocab"]:
        """Return the logits at a position, before a soft cap."""
        return self.final[position] @ self.model.W_U + self.model.bridge.b_U

    def probabilities(self, position: int) -> Float[Tensor, " vocab"]:
        """Return the model's next-token probabilities at a position (after its soft cap, if it has one)."""
        logits = self.logits(position).float()
        cap = getattr(self.model.bridge.cfg, "output_logits_soft_cap", None)
        if cap is not None and cap > 0:
            logits = cap * torch.tanh(logits / cap)
        return logits.softmax(dim=-1)


def _norm_before_mlp(block: Any) -> str:
    # Blocks with one norm for both branches (GPT-J) have no ln2.
    return "ln2" if "ln2" in block.submodules else "ln1"


@torch.no_grad()
def freeze(model: LoadedModel, clt: CLT, tokens: Int[Tensor, " position"]) -> LocalModel:
    """Run the model once on a prompt and freeze it.

    Raises:
        CLTError: the model lacks the CLT's layers, width or hooks; or the CLT reads at a hook that has no linear path
            from the residual stream, or writes at one that is not what an MLP adds to it.
    """
    check_runs_on(clt.config, model, "given")
    bridge = model.bridge
    blocks = bridge.blocks
    layers = range(model.n_layers)
    read_hook, write_hook = clt.config.read_hook, clt.config.write_hook
    read_site = read_hook.removeprefix("blocks.{layer}.")
    norm_name = {"hook_resid_mid": None}.get(read_site, _norm_before_mlp(blocks[0]))
    if read_site not in ("mlp.hook_in", "hook_resid_mid", f"{norm_name}.hook_normalized", f"{norm_name}.hook_out"):
        raise CLTError(
            f"The CLT reads at {read_hook!r}, which attribution cannot trace back to the residual stream: "
            "use mlp.hook_in, ln2.hook_normalized or hook_resid_mid."
        )
    write_sites = ["hook_mlp_out", "ln2_post.hook_out" if "ln2_post" in blocks[0].submodules else "mlp.hook_out"]
    if write_hook.removeprefix("blocks.{layer}.") not in write_sites:
        raise CLTError(
            f"The CLT writes at {write_hook!r}, which is not what an MLP of {model.name!r} adds to the residual "
            f"stream: use {' or '.join(write_sites)}."
        )
    has_post = "ln1_post" in blocks[0].submodules
    has_positional = "pos_embed.hook_out" in bridge.hook_dict
    names = ["hook_embed", "ln_final.hook_scale", "ln_final.hook_out"]
    names += ["hook_pos_embed"] if has_positional else []
    for layer in layers:
        block = f"blocks.{layer}."
        names += [block + "attn.hook_pattern", block + "ln1.hook_scale"]
        names += [block + "ln1_post.hook_scale"] if has_post else []
        names += [block + f"{norm_name}.hook_scale"] if norm_name == "ln2" else []
        names += [read_hook.format(layer=layer), write_hook.format(layer=layer)]
    kept = {name: activation[0] for name, activation in capture(model, tokens[None], names).items()}

    reads = torch.stack([kept[read_hook.format(layer=layer)] for layer in layers])
    writes = torch.stack([kept[write_hook.format(layer=layer)] for layer in layers])
    attentions: list[FrozenAttention] = []
    read_norms: list[FrozenNorm | None] = []
    for layer in layers:
        block, name = blocks[layer], f"blocks.{layer}."
        norm = FrozenNorm.of(block.ln1, kept[name + "ln1.hook_scale"])
        post_norm = FrozenNorm.of(block.ln1_post, kept[name + "ln1_post.hook_scale"]) if has_post else None
        attentions.append(FrozenAttention.of(block, kept[name + "attn.hook_pattern"], norm, post_norm))
        if norm_name is None:
            read_norms.append(None)
        else:
            scale = kept[name + f"{norm_name}.hook_scale"]
            read_norms.append(FrozenNorm.of(getattr(block, norm_name), scale))
    return LocalModel(
        model=model,
        clt=clt,
        tokens=tokens,
        embeddings=kept["hook_embed"],
        positional=kept["hook_pos_embed"].expand_as(kept["hook_embed"]) if has_positional else None,
        reads=reads,
        writes=writes,
        attentions=tuple(attentions),
        read_norms=tuple(read_norms),
        reads_weighted=read_site in ("mlp.hook_in", f"{norm_name}.hook_out"),
        parallel=bool(getattr(bridge.cfg, "parallel_attn_mlp", False)),
        final_norm=FrozenNorm.of(bridge.ln_final, kept["ln_final.hook_scale"]),
        final=kept["ln_final.hook_out"],
        features=_active_features(clt, reads),
    )


def _active_features(clt: CLT, reads: Float[Tensor, "layer position d_model"]) -> ActiveFeatures:
    """Return the features that fire, none at the start token: activations there are orders of magnitude larger."""
    found = []
    for layer in range(clt.n_layers):
        pre = clt.pre_activations(layer, reads[layer])
        active = clt.encode(layer, reads[layer])
        active[0] = 0
        position, feature = active.nonzero(as_tuple=True)
        found.append(
            (torch.full_like(position, layer), position, feature, active[position, feature], pre[position, feature])
        )
    return ActiveFeatures(*(torch.cat(columns) for columns in zip(*found, strict=True)))
