"""Global weights: how features act on each other whatever the prompt, and how much of that ever happens.

The **virtual weight** of a source s on a target t is the inner product of what s writes to the residual stream below
t's layer and of what t reads there, the norm's weight included and its denominator left out::

    V[t, s] = Σ_{m = l_s}^{min(l_s + W, l_t) − 1} ⟨ C(w_norm ⊙ w_enc,t) , W_dec,s^{l_s→m} ⟩

(C subtracts the mean for a LayerNorm.) It follows the residual stream alone, not the paths through attention, which
depend on the prompt. Large virtual weights are mostly **interference**: with many more features than dimensions, pairs
that are never active together overlap by accident. Two statistics over a corpus discount them; with a the
activations and σ_t the denominator of t's norm at a token::

    ERA[t, s]   = V[t, s] · E[1(a_t > 0) · a_s / σ_t]        expected residual attribution
    TWERA[t, s] = V[t, s] · E[a_t · a_s / σ_t] / E[a_t]      the same, weighted by the target's activation

So each token's term a_s · V / σ_t is the part of the edge s → t of its attribution graph that runs along the residual
stream; features at the same token alone are paired. Neither is a proof: two features that are active together for a
common reason get an ERA as well, and one whose sign the real model undoes elsewhere keeps it.

Source: Ameisen et al., "Circuit Tracing" (2025), on global weights and their interference. There the
denominators of the norm are left out; here they are kept, so that tokens add up in the units of the pre-activation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.attribution.norms import FrozenNorm
from workbench.clt import CLT
from workbench.clt.training.trainer import StopFlag
from workbench.errors import CLTError, ConfigError
from workbench.memory import require_memory
from workbench.models import LoadedModel, run_decoder

Direction = Literal["in", "out"]
Statistic = Literal["twera", "era", "weight"]


@torch.no_grad()
def virtual_weights(
    model: LoadedModel, clt: CLT, features: Sequence[tuple[int, int]], *, direction: Direction = "in"
) -> Float[Tensor, "chosen layer feature"]:
    """Return the virtual weights between some features and all features.

    Args:
        features: (layer, index) of the chosen features.
        direction: ``"in"``: the chosen features are the targets, all features their sources; ``"out"``: the other
            way round.

    Returns:
        Zero wherever the source is not in a layer below the target.

    Raises:
        ConfigError: a feature is out of range, or the direction is unknown.
        CLTError: the CLT reads at a hook that has no linear path from the residual stream.
        ResourceError: memory will not suffice.
    """
    layers, indices = _checked(clt, features, direction)
    _require_memory(clt, len(features), 1)
    norms = read_norms(model, clt)
    weights = clt.W_enc.new_zeros(len(layers), clt.n_layers, clt.n_features)
    for chosen_layer in set(layers.tolist()):
        rows = (layers == chosen_layer).nonzero(as_tuple=True)[0]
        index = indices[rows]
        if direction == "in":
            reading = norms.pull_back(clt, chosen_layer, index)
            for source in range(chosen_layer):
                # Summed over the layers written to before the inner product, so that each decoder is read once.
                written = clt.W_dec[source][:, : chosen_layer - source].sum(dim=1)
                weights[rows, source] = reading @ written.T
        else:
            decoder = clt.W_dec[chosen_layer][index]
            for target in range(chosen_layer + 1, clt.n_layers):
                written = decoder[:, : target - chosen_layer].sum(dim=1)
                weights[rows, target] = written @ norms.pull_back(clt, target, slice(None)).T
    return weights


@torch.no_grad()
def global_weights(
    model: LoadedModel,
    clt: CLT,
    features: Sequence[tuple[int, int]],
    batches: Iterable[Int[Tensor, "row position"]],
    *,
    direction: Direction = "in",
    n_batches: int | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> GlobalWeights:
    """Return virtual weights, ERA and TWERA between some features and all features, over a corpus.

    ::

        rows = token_batches(bundled(), bench.tokenizer, batch_size=8, start_token_id=0, n_rows=400, split="held_out")
        weights = global_weights(bench.loaded, bench.clt, [(12, 311)], rows)
        weights.table(k=10)

    Memory is that of one batch and of four numbers for each pair; all features as ``features`` give the whole
    matrix. An interrupt ends after the batch at work, and what was counted so far is returned.

    Args:
        features: (layer, index) of the chosen features.
        batches: rows of token ids, the start token first, as :func:`workbench.corpus.token_batches` gives them. Their
            first positions do not count: there are no features at the start token.
        direction: ``"in"``: what acts on the chosen features; ``"out"``: what they act on.
        n_batches: how many there will be, for the progress bar.
        stop: asked after every batch whether to end; by default an interrupt or SIGTERM ends.

    Raises:
        ConfigError: a feature is out of range, the direction is unknown, or there is no batch.
        CLTError: the CLT reads at a hook that has no linear path from the residual stream.
        ResourceError: memory will not suffice.
    """
    layers, indices = _checked(clt, features, direction)
    _require_memory(clt, len(features), 4)
    sums = _Sums.zero(clt, layers, indices)
    norms = read_norms(model, clt)
    with (
        StopFlag.installed() as flag,
        tqdm(total=n_batches, unit=" batches", desc="Global weights", disable=not progress) as bar,
    ):
        for batch in batches:
            sums.add(*norms.activations(model, clt, batch.to(model.device)), direction)
            bar.update()
            if flag() or (stop is not None and stop()):
                break
    if not sums.n_tokens:
        raise ConfigError("There was no token to count: give at least one batch of rows of two or more tokens.")
    return GlobalWeights(
        features=tuple((int(layer), int(index)) for layer, index in zip(layers, indices, strict=True)),
        direction=direction,
        n_tokens=sums.n_tokens,
        weight=virtual_weights(model, clt, features, direction=direction),
        active=sums.active,
        activation=sums.activation,
        attributed=sums.attributed,
        weighted=sums.weighted,
        together=sums.together,
    )


@dataclass(frozen=True, eq=False, repr=False)
class GlobalWeights:
    """Statistics between chosen features and all features; zero where the source is not below the target.

    Attributes:
        features: (layer, index) of the chosen features.
        direction: ``"in"`` when they are the targets, ``"out"`` when they are the sources.
        n_tokens: how many tokens were counted.
        weight: the virtual weights.
        active: at how many tokens each feature was active.
        activation: the sum of each feature's activations.
        attributed: Σ 1(a_t > 0) · a_s / σ_t over the tokens.
        weighted: Σ a_t · a_s / σ_t.
        together: at how many tokens both were active.
    """

    features: tuple[tuple[int, int], ...]
    direction: Direction
    n_tokens: int
    weight: Float[Tensor, "chosen layer feature"]
    active: Float[Tensor, "layer feature"]
    activation: Float[Tensor, "layer feature"]
    attributed: Float[Tensor, "chosen layer feature"]
    weighted: Float[Tensor, "chosen layer feature"]
    together: Float[Tensor, "chosen layer feature"]

    @cached_property
    def era(self) -> Float[Tensor, "chosen layer feature"]:
        """The expected residual attribution, over all tokens."""
        return self.weight * self.attributed / self.n_tokens

    @cached_property
    def twera(self) -> Float[Tensor, "chosen layer feature"]:
        """The target-weighted expected residual attribution; zero for a target that was never active."""
        return self.weight * self.weighted / _not_zero(self._of_target(self.activation))

    @cached_property
    def coactivation(self) -> Float[Tensor, "chosen layer feature"]:
        """At which share of the tokens where the target is active the source is active too."""
        return self.together / self._of_target(self.active).clamp_min(1)

    def _of_target(self, values: Float[Tensor, "layer feature"]) -> Float[Tensor, "#chosen #layer #feature"]:
        if self.direction == "out":
            return values
        layers, indices = torch.tensor(self.features).reshape(-1, 2).T.to(values.device)
        return values[layers, indices][:, None, None]

    def table(self, *, k: int = 20, by: Statistic = "twera") -> pd.DataFrame:
        """Return the strongest pairs of each chosen feature, by absolute value.

        Args:
            k: how many pairs a chosen feature.
            by: ``"twera"``, ``"era"`` or ``"weight"``; by weight alone most are interference.

        Returns:
            ``source_layer, source_feature, target_layer, target_feature, weight, era, twera, coactivation``, in
            the order of the chosen features, the strongest first; pairs of the value 0 are left out.

        Raises:
            ConfigError: ``by`` is unknown or ``k`` is less than 1.
        """
        if by not in get_args(Statistic) or k < 1:
            raise ConfigError(f"by is {by!r} and k is {k}: give 'twera', 'era' or 'weight', and at least 1.")
        values = getattr(self, by).flatten(1)
        top = values.abs().topk(min(k, values.shape[1]), dim=1)
        chosen, rank = (top.values > 0).nonzero(as_tuple=True)
        at = top.indices[chosen, rank]
        own = torch.tensor(self.features).reshape(-1, 2)[chosen.cpu()]
        partner = torch.stack([at // self.weight.shape[2], at % self.weight.shape[2]], dim=1).cpu()
        source, target = (partner, own) if self.direction == "in" else (own, partner)
        columns = {"source_layer": source[:, 0], "source_feature": source[:, 1]}
        columns |= {"target_layer": target[:, 0], "target_feature": target[:, 1]}
        table = pd.DataFrame({name: column.numpy().astype(np.int32) for name, column in columns.items()})
        for name in ("weight", "era", "twera", "coactivation"):
            table[name] = getattr(self, name).flatten(1)[chosen, at].float().numpy(force=True)
        return table

    def __repr__(self) -> str:
        return f"GlobalWeights({len(self.features)} features, {self.direction!r}, {self.n_tokens:,} tokens)"


@dataclass
class _Sums:
    """What is counted, token by token."""

    layers: Int[Tensor, " chosen"]
    indices: Int[Tensor, " chosen"]
    active: Float[Tensor, "layer feature"]
    activation: Float[Tensor, "layer feature"]
    attributed: Float[Tensor, "chosen layer feature"]
    weighted: Float[Tensor, "chosen layer feature"]
    together: Float[Tensor, "chosen layer feature"]
    n_tokens: int = 0

    @classmethod
    def zero(cls, clt: CLT, layers: Int[Tensor, " chosen"], indices: Int[Tensor, " chosen"]) -> _Sums:
        one = clt.W_enc.new_zeros(clt.n_layers, clt.n_features)
        pair = clt.W_enc.new_zeros(len(layers), clt.n_layers, clt.n_features)
        return cls(layers, indices, one, one.clone(), pair, pair.clone(), pair.clone())

    def add(
        self,
        activations: Sequence[Float[Tensor, "token feature"]],
        scales: Sequence[Float[Tensor, "token 1"]],
        direction: Direction,
    ) -> None:
        if not activations[0].shape[0]:
            return
        columns = list(zip(self.layers.tolist(), self.indices.tolist(), strict=True))
        chosen = torch.stack([activations[layer][:, index] for layer, index in columns], dim=1)
        own_scale = torch.cat([scales[layer] for layer, _ in columns], dim=1)
        fires = (chosen > 0).to(chosen.dtype)
        self.n_tokens += len(chosen)
        for layer, values in enumerate(activations):
            others_fire = (values > 0).to(values.dtype)
            self.active[layer] += others_fire.sum(dim=0)
            self.activation[layer] += values.sum(dim=0)
            below = self.layers > layer if direction == "in" else self.layers < layer
            rows = below.nonzero(as_tuple=True)[0]
            if not len(rows):
                continue
            self.together[rows, layer] += fires[:, rows].T @ others_fire
            if direction == "in":
                self.attributed[rows, layer] += (fires / own_scale)[:, rows].T @ values
                self.weighted[rows, layer] += (chosen / own_scale)[:, rows].T @ values
            else:
                self.attributed[rows, layer] += chosen[:, rows].T @ (others_fire / scales[layer])
                self.weighted[rows, layer] += chosen[:, rows].T @ (values / scales[layer])


@dataclass(frozen=True)
class ReadNorms:
    """The norms between the residual stream and where the CLT reads, with denominators of one; none for some hooks."""

    norms: tuple[FrozenNorm, ...] | None
    scale_hook: str
    weighted: bool

    def pull_back(
        self, clt: CLT, layer: int, index: Int[Tensor, " feature"] | slice
    ) -> Float[Tensor, "feature d_model"]:
        """Return what features read of the residual stream, before the denominator."""
        rows = clt.W_enc[layer, index]
        if self.norms is None:
            return rows
        return self.norms[layer].pull_back(rows[:, None], weighted=self.weighted)[:, 0]

    def activations(
        self, model: LoadedModel, clt: CLT, tokens: Int[Tensor, "row position"]
    ) -> tuple[list[Float[Tensor, "token feature"]], list[Float[Tensor, "token 1"]]]:
        """Return the activations and the norms' denominators of every layer at positions ≥ 1."""
        kept: dict[str, Tensor] = {}

        def keep(name: str, layer: int | None) -> tuple[str, Callable[..., None]]:
            def hook(activation: Tensor, hook: Any) -> None:
                inner = activation[:, 1:].flatten(0, 1).to(clt.W_enc.dtype)
                # Encoded at once: features are sparse, but what they read is the same size for every layer.
                kept[name] = inner if layer is None else clt.encode(layer, inner)

            return name, hook

        reads = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
        scales = [self.scale_hook.format(layer=layer) for layer in range(clt.n_layers)] if self.norms else []
        hooks = [keep(name, layer) for layer, name in enumerate(reads)] + [keep(name, None) for name in scales]
        run_decoder(model, tokens, hooks)
        ones = [torch.ones_like(kept[name][:, :1]) for name in reads]
        return [kept[name] for name in reads], [kept[name] for name in scales] or ones


def read_norms(model: LoadedModel, clt: CLT) -> ReadNorms:
    """Return the norms behind which a CLT reads.

    Raises:
        CLTError: it reads at a hook that has no linear path from the residual stream.
    """
    site = clt.config.read_hook.removeprefix("blocks.{layer}.")
    blocks = model.bridge.blocks
    # Blocks with one norm for both branches (GPT-J) have no ln2.
    name = "ln2" if "ln2" in blocks[0].submodules else "ln1"
    if site == "hook_resid_mid":
        return ReadNorms(None, "", False)
    if site not in ("mlp.hook_in", f"{name}.hook_normalized", f"{name}.hook_out"):
        raise CLTError(
            f"The CLT reads at {clt.config.read_hook!r}, which has no linear path from the residual stream: "
            "use mlp.hook_in, ln2.hook_normalized or hook_resid_mid."
        )
    one = torch.ones(1, 1, dtype=clt.W_enc.dtype, device=clt.W_enc.device)
    norms = tuple(FrozenNorm.of(getattr(blocks[layer], name), one) for layer in range(clt.n_layers))
    return ReadNorms(norms, f"blocks.{{layer}}.{name}.hook_scale", site != f"{name}.hook_normalized")


def _checked(
    clt: CLT, features: Sequence[tuple[int, int]], direction: Direction
) -> tuple[Int[Tensor, " chosen"], Int[Tensor, " chosen"]]:
    if direction not in get_args(Direction):
        raise ConfigError(f"The direction {direction!r} is unknown: give 'in' or 'out'.")
    if not len(features):
        raise ConfigError("No feature was chosen: give at least one pair of layer and index.")
    pairs = torch.tensor([(int(layer), int(index)) for layer, index in features])
    layers, indices = pairs.T.to(clt.W_enc.device)
    wrong = (layers < 0) | (layers >= clt.n_layers) | (indices < 0) | (indices >= clt.n_features)
    if bool(wrong.any()):
        layer, index = pairs[int(wrong.int().argmax())].tolist()
        raise ConfigError(
            f"There is no feature {index} in layer {layer}: the CLT has {clt.n_layers} layers of "
            f"{clt.n_features} features, counted from 0."
        )
    return layers, indices


def _require_memory(clt: CLT, n_chosen: int, n_matrices: int) -> None:
    require_memory(
        n_matrices * n_chosen * clt.n_layers * clt.n_features * clt.W_enc.element_size(),
        f"Global weights of {n_chosen:,} features with {clt.n_layers * clt.n_features:,}",
        "choose fewer features",
    )


def _not_zero(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return torch.where(values == 0, torch.ones_like(values), values)
