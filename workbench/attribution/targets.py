"""What a graph explains: the outputs that every path ends in.

By default the logits of the most probable next tokens; on request given tokens, differences of tokens, directions
in the residual stream, or the pre-activation of a feature, each at any position of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.local_model import LocalModel
from workbench.errors import PromptError
from workbench.models import capture, token_id, token_strings

MASS = 0.95
MAX_LOGITS = 10

Token: TypeAlias = str | int
Site: TypeAlias = Literal["final", "stream", "feature"]


@dataclass(frozen=True, kw_only=True)
class TopTokens:
    """The logits of the most probable tokens up to a share of the probability: what is explained by default.

    Node ids: ``l/{token id}/{position}``.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Attribution graphs".
    """

    position: int = -1
    mass: float = MASS
    at_most: int = MAX_LOGITS


@dataclass(frozen=True)
class LogitTarget:
    """One token's logit minus the mean logit. Node id: ``l/{token id}/{position}``.

    Attributes:
        token: a text that is one token, or a token id.
        position: whose next token is meant; negative ones count from the end.
    """

    token: Token
    position: int = -1


@dataclass(frozen=True)
class DifferenceTarget:
    """The logit of one token minus that of another, or the mean over one set of tokens minus that over another.

    Node id: ``d/{plus}/{minus}/{position}``, the token ids of a set joined by ``+``.
    """

    plus: Token | Sequence[Token]
    minus: Token | Sequence[Token]
    position: int = -1


@dataclass(frozen=True, eq=False)
class DirectionTarget:
    """The inner product of a vector with the residual stream. Node id: ``r/{name}/{layer or final}/{position}``.

    Attributes:
        vector: of d_model numbers, in the units of the point where it reads.
        name: letters, digits, ``_``, ``.`` and ``-``.
        layer: None reads the final norm's output, as an unembedding vector does (the norm's scale is frozen); a
            layer reads the residual stream after its block (``blocks.{layer}.hook_resid_post``), where a probe or a
            steering vector is taken.
    """

    vector: Float[Tensor, " d_model"] | Sequence[float]
    name: str
    position: int = -1
    layer: int | None = None


@dataclass(frozen=True)
class FeatureTarget:
    """The pre-activation of a feature, whether it is active or not. Node id: ``p/{layer}/{feature}/{position}``.

    The node is an output of its own. Where the feature is active, the node ``f/{layer}/{feature}/{position}`` has the
    same inputs and feeds whatever other outputs the graph has.
    """

    layer: int
    feature: int
    position: int = -1


Target: TypeAlias = Token | TopTokens | LogitTarget | DifferenceTarget | DirectionTarget | FeatureTarget


@dataclass(frozen=True)
class Output:
    """One output node.

    Attributes:
        text: what the output is, for people.
        site: where it reads: the final norm's output, the residual stream after a block, or the CLT's read hook.
        layer: of the node. An output reads what layers below this one have written.
        direction: in the space of the point where it reads.
        constant: what it holds that no source explains: b_enc or the unembedding bias.
        value: what the model computed, a logit's before a soft cap.
        probability: of a token, None for other outputs.
    """

    node_id: str
    text: str
    site: Site
    layer: int
    position: int
    direction: Float[Tensor, " d_model"]
    constant: float
    value: float
    probability: float | None = None

    @property
    def order(self) -> int:
        """The place from the bottom where it reads: features of a layer before the stream after it."""
        return 2 * self.layer - 1 if self.site == "stream" else 2 * self.layer


@dataclass(frozen=True)
class Outputs:
    """The output nodes of a graph, in the order given."""

    nodes: tuple[Output, ...]

    def __len__(self) -> int:
        return len(self.nodes)

    @property
    def position(self) -> Int[Tensor, " output"]:
        return torch.tensor([node.position for node in self.nodes])

    @property
    def weight(self) -> Float[Tensor, " output"]:
        """What each output counts for in influence: a token's probability, 1 for another output."""
        return torch.tensor([1.0 if node.probability is None else node.probability for node in self.nodes])


@torch.no_grad()
def outputs_of(local: LocalModel, targets: Sequence[Target] | None = None) -> Outputs:
    """Return the output nodes of some targets, by default of :class:`TopTokens`.

    Raises:
        PromptError: a target cannot be used: a text that is several tokens (the message names them), an id, layer,
            feature or position out of range, a vector of the wrong size, one output named twice, or none at all.
    """
    if targets is None:
        targets = [TopTokens()]
    if isinstance(targets, str | int | TopTokens | LogitTarget | DifferenceTarget | DirectionTarget | FeatureTarget):
        targets = [targets]
    found = [output for target in targets for output in _outputs(local, target)]
    ids = [output.node_id for output in found]
    if not ids or len(set(ids)) < len(ids):
        named = ", ".join(_shown(target) for target in targets)
        raise PromptError(f"The targets [{named}] are empty or name an output twice: give distinct targets.")
    return Outputs(tuple(found))


def _outputs(local: LocalModel, target: Target) -> list[Output]:
    match target:
        case TopTokens():
            position = _position(local, target.position)
            probabilities = local.probabilities(position)
            top = probabilities.topk(min(target.at_most, len(probabilities)))
            needed = int((top.values.cumsum(0) < target.mass).sum()) + 1
            return _logits(local, top.indices[:needed], position, probabilities)
        case LogitTarget():
            position = _position(local, target.position)
            ids = torch.tensor([_resolve(local, target.token)], device=local.final.device)
            return _logits(local, ids, position, local.probabilities(position))
        case DifferenceTarget():
            return [_difference(local, target)]
        case DirectionTarget():
            return [_direction(local, target)]
        case FeatureTarget():
            return [_feature(local, target)]
        case _:
            return _outputs(local, LogitTarget(target))


def _logits(
    local: LocalModel, ids: Int[Tensor, " token"], position: int, probabilities: Float[Tensor, " vocab"]
) -> list[Output]:
    model = local.model
    b_U = model.bridge.b_U
    constant = b_U[ids] - b_U.mean()
    direction = model.W_U[:, ids].T - model.W_U_mean
    value = direction @ local.final[position] + constant
    columns = (ids, token_strings(model, ids), direction, constant, value, probabilities[ids])
    return [
        Output(f"l/{int(at)}/{position}", text, "final", local.n_layers, position, row, float(c), float(v), float(p))
        for at, text, row, c, v, p in zip(*columns, strict=True)
    ]


def _difference(local: LocalModel, target: DifferenceTarget) -> Output:
    model, position = local.model, _position(local, target.position)
    sets = [_token_set(local, tokens, side) for side, tokens in (("plus", target.plus), ("minus", target.minus))]
    shared = set(sets[0]) & set(sets[1])
    if shared:
        raise PromptError(
            f"The token {token_strings(model, torch.tensor([min(shared)]))[0]!r} stands on both sides of {target!r}: "
            "give each token to one side."
        )
    device = local.final.device
    plus, minus = (torch.tensor(ids, device=device) for ids in sets)
    b_U = model.bridge.b_U
    direction = model.W_U[:, plus].mean(dim=-1) - model.W_U[:, minus].mean(dim=-1)
    constant = b_U[plus].mean() - b_U[minus].mean()
    texts = ["{}".format(", ".join(map(repr, token_strings(model, ids)))) for ids in (plus, minus)]
    texts = [f"mean({text})" if len(ids) > 1 else text for text, ids in zip(texts, sets, strict=True)]
    return Output(
        node_id="d/{}/{}/{}".format(*("+".join(map(str, ids)) for ids in sets), position),
        text=" − ".join(texts),
        site="final",
        layer=local.n_layers,
        position=position,
        direction=direction,
        constant=float(constant),
        value=float(direction @ local.final[position] + constant),
    )


def _direction(local: LocalModel, target: DirectionTarget) -> Output:
    position, d_model = _position(local, target.position), local.model.d_model
    if not re.fullmatch(r"[\w.\-]+", target.name):
        raise PromptError(
            f"The name {target.name!r} of a direction cannot stand in a node id: use letters, digits, '_', '.' and '-'."
        )
    vector = torch.as_tensor(target.vector, dtype=local.final.dtype, device=local.final.device)
    if vector.shape != (d_model,) or not bool(vector.isfinite().all()):
        raise PromptError(
            f"The direction {target.name!r} has shape {tuple(vector.shape)}: give {d_model} finite numbers, "
            f"as the residual stream of {local.model.name!r} has."
        )
    if target.layer is None:
        read = local.final[position]
    else:
        _check(target.layer, local.n_layers, "layer", target)
        name = f"blocks.{target.layer}.hook_resid_post"
        read = capture(local.model, local.tokens[None], [name])[name][0, position]
    return Output(
        node_id=f"r/{target.name}/{'final' if target.layer is None else target.layer}/{position}",
        text=target.name,
        site="final" if target.layer is None else "stream",
        layer=local.n_layers if target.layer is None else target.layer + 1,
        position=position,
        direction=vector,
        constant=0.0,
        value=float(vector @ read),
    )


def _feature(local: LocalModel, target: FeatureTarget) -> Output:
    clt, (layer, feature) = local.clt, (target.layer, target.feature)
    position = _position(local, target.position)
    _check(layer, clt.n_layers, "layer", target)
    _check(feature, clt.n_features, "feature", target)
    if position == 0:
        raise PromptError(f"{target!r} is at the start token, where the CLT has no features: give a later position.")
    return Output(
        node_id=f"p/{layer}/{feature}/{position}",
        text=f"feature {layer}/{feature}",
        site="feature",
        layer=layer,
        position=position,
        direction=clt.W_enc[layer, feature],
        constant=float(clt.b_enc[layer, feature]),
        value=float(clt.pre_activations(layer, local.reads[layer, position])[feature]),
    )


def _token_set(local: LocalModel, tokens: Token | Sequence[Token], side: str) -> list[int]:
    ids = [_resolve(local, token) for token in ([tokens] if isinstance(tokens, str | int) else tokens)]
    if not ids or len(set(ids)) < len(ids):
        raise PromptError(f"The side {side} of a difference is {tokens!r}: give one or more tokens, each once.")
    return ids


def _resolve(local: LocalModel, token: Token) -> int:
    if isinstance(token, str):
        return token_id(local.model, token)
    if not isinstance(token, int):
        raise PromptError(
            f"The target {token!r} is a {type(token).__name__}: give a token's text or id, or a LogitTarget, "
            "DifferenceTarget, DirectionTarget, FeatureTarget or TopTokens."
        )
    if not 0 <= token < local.model.d_vocab:
        raise PromptError(
            f"The target token id {token} is out of range: {local.model.name!r} has ids 0 to {local.model.d_vocab - 1}."
        )
    return token


def _position(local: LocalModel, position: int) -> int:
    n = local.n_positions
    if not -n <= position < n:
        raise PromptError(
            f"The target position {position} is outside the prompt, which has {n} tokens with its start token: "
            f"give 0 to {n - 1}, or a negative one from the end."
        )
    return position % n


def _check(value: int, n: int, what: str, target: Any) -> None:
    if not 0 <= value < n:
        raise PromptError(f"The {what} {value} of {_shown(target)} is out of range: there are 0 to {n - 1}.")


def _shown(target: Target) -> str:
    # Not the numbers of a direction.
    return f"DirectionTarget({target.name!r})" if isinstance(target, DirectionTarget) else repr(target)
