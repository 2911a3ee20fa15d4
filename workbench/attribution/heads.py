"""Which attention heads carry an edge.

An edge's weight is a sum over the paths from where the source writes to where the target reads. On its way a path
passes each attention layer either along the residual stream or through one head. So the paths can be sorted, without
remainder, by the last head that they pass, or by the first; those that pass none stay in the residual stream of their
position:

    weight = residual + Σ_(layer, head) carried by paths whose last (first) head is this one.

With what is frozen a head is a linear map. Let x^l be what the source alone adds to the residual stream before layer l,
G^l the target's gradient at the output of layer l's attention, and x̄^l, Ḡ^l the same where no attention is passed. Then
head h of layer l carries ⟨Ḡ^l, h(x^l)⟩ as the last head, ⟨G^l, h(x̄^l)⟩ as the first, and ⟨G^l, h(x^l)⟩ of all paths go
through it. The last head says what brings the information to the target's position, the first what takes it from the
source's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.attribution.graph import Graph
from workbench.attribution.local_model import ActiveFeatures, LocalModel, freeze
from workbench.attribution.targets import (
    DifferenceTarget,
    FeatureTarget,
    LogitTarget,
    Output,
    Target,
    outputs_of,
)
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError, ModelError
from workbench.models import LoadedModel, checked_tokens

Order = Literal["last", "first"]
# Puts a vector at a position, zeros at the others.
Placing: TypeAlias = Callable[[int, Tensor], Tensor]


def heads(
    model: LoadedModel,
    clt: CLT,
    graph: Graph,
    source: str,
    target: str | Target,
    *,
    by: Order = "last",
) -> pd.DataFrame:
    """Split an edge by the attention heads that carry it.

    Args:
        model, clt: those that the graph was made with; the prompt is run again.
        source: a node id of the graph.
        target: the node id of a feature or an output, or a target of :mod:`workbench.attribution.targets` (a
            direction has to be given like this: the graph does not hold its vector).
        by: whether a path that passes several heads is counted for the last or the first of them.

    Returns:
        One row a head between source and target, and one for the residual stream (layer and head −1) when both are
        at the same position; the largest |weight| first. ``weight`` sums to the edge's weight; ``through`` is the
        weight of all paths through that head, whichever other heads they pass, so it does not sum.

    Raises:
        ConfigError: a node is unknown, or is of no kind that has edges on that side; or a capped and pruned graph
            does not tell what its error nodes stand for.
        ModelError: the graph is of another model.
        CLTError: the graph is of another CLT.
        PromptError: the graph was imported from a file that does not tell all token ids.
    """
    if by not in ("last", "first"):
        raise ConfigError(f"The heads can be counted by 'last' or 'first', not by {by!r}.")
    if graph.info.get("fingerprint", model.fingerprint) != model.fingerprint:
        made_with = graph.info.get("model")
        raise ModelError(f"The graph is of the model {made_with!r}, which is not the {model.name!r} given: open that.")
    graph.select([source, str(target)] if _is_node(target) else [source])
    if source[0] in "ldrp":
        raise ConfigError(f"The node {source!r} has no edges out of it: give a feature, error, token or bias.")
    tokens = checked_tokens(model, torch.tensor(graph.token_ids, device=model.device))
    local = freeze(model, clt, tokens)
    (output,) = outputs_of(local, [_target(target)]).nodes
    table = split(local, source, output, features=_features(local, graph, source), by=by)
    _check_weight(graph, source, target, float(table["weight"].sum()), float(table["weight"].abs().sum()))
    return table


def split(
    local: LocalModel, source: str, output: Output, *, features: ActiveFeatures | None = None, by: Order = "last"
) -> pd.DataFrame:
    """Split what a source does to an output of a frozen model; see :func:`heads`.

    Args:
        features: what error nodes do not stand for; by default all active features.
    """
    written = _written(local, local.features if features is None else features, source, output)
    pushed = _push(local, written)
    pulled = _pull(local, output)
    rows, residual = [], written.own
    for layer in range(local.n_layers):
        if layer in pulled.attention:
            total, direct = pulled.attention[layer]
            through = (total * pushed.all[layer]).sum(dim=(1, 2))
            last = (direct * pushed.all[layer]).sum(dim=(1, 2))
            first = (total * pushed.first[layer]).sum(dim=(1, 2))
            carried = last if by == "last" else first
            rows += [
                (layer, head, float(weight), float(any_path))
                for head, (weight, any_path) in enumerate(zip(carried, through, strict=True))
            ]
            residual += float((direct * written.after_attention[layer]).sum())
        if layer in pulled.block:
            residual += float((pulled.block[layer] * written.after_block[layer]).sum())
    residual += float((pulled.embedding * written.embedding).sum())
    # Heads that no path passes: below the source's layer, above the target's.
    rows = [row for row in rows if row[2] or row[3]]
    if residual or not rows:
        rows.append((-1, -1, residual, residual))
    table = pd.DataFrame(rows, columns=["layer", "head", "weight", "through"])
    return table.sort_values("weight", key=abs, ascending=False, kind="stable", ignore_index=True)


def _zeros() -> dict[int, Tensor | float]:
    return defaultdict(float)


@dataclass
class Written:
    """What one source adds, and where.

    Attributes:
        embedding: at the embeddings.
        values: at a layer's attention values, where the biases b_V and ln1 act.
        after_attention, after_block: to the residual stream after a layer's attention, and after its MLP.
        own: what a bias does where the output itself reads.
    """

    embedding: Tensor | float = 0.0
    values: Mapping[int, Float[Tensor, "position kv_head d_head"] | float] = field(default_factory=_zeros)
    after_attention: Mapping[int, Float[Tensor, "position d_model"] | float] = field(default_factory=_zeros)
    after_block: Mapping[int, Float[Tensor, "position d_model"] | float] = field(default_factory=_zeros)
    own: float = 0.0


@dataclass(frozen=True)
class _Pushed:
    """What each head adds for a source: of all its paths, and of those that pass this head first."""

    all: dict[int, Float[Tensor, "head position d_model"]]
    first: dict[int, Float[Tensor, "head position d_model"]]


@dataclass(frozen=True)
class _Pulled:
    """An output's gradient.

    Attributes:
        attention: by layer, after its attention: of all paths, and of those that pass no attention.
        block, embedding: by layer, after its block, and at the embeddings: of those that pass no attention.
    """

    attention: dict[int, tuple[Float[Tensor, "position d_model"], Float[Tensor, "position d_model"]]]
    block: dict[int, Float[Tensor, "position d_model"]]
    embedding: Float[Tensor, "position d_model"]


@torch.no_grad()
def _push(local: LocalModel, written: Written) -> _Pushed:
    pushed = _Pushed({}, {})
    # Row 0: all paths; row 1: those that have passed no attention.
    x = torch.zeros_like(local.embeddings).expand(2, -1, -1) + written.embedding
    for layer, attention in enumerate(local.attentions):
        added = attention.moved(attention.head_writes(attention.values(x) + written.values[layer]))
        pushed.all[layer], pushed.first[layer] = added
        middle = x + written.after_attention[layer]
        middle = torch.stack([middle[0] + added[0].sum(dim=0), middle[1]])
        x = middle + _skip(local, layer, x if local.parallel else middle) + written.after_block[layer]
    return pushed


@torch.no_grad()
def _pull(local: LocalModel, output: Output) -> _Pulled:
    pulled = _Pulled({}, {}, torch.zeros_like(local.embeddings))
    start = torch.zeros_like(local.embeddings)
    norm, direction = None if output.site == "stream" else local.final_norm, output.direction[None]
    weighted = True
    if output.site == "feature":
        norm, weighted = local.read_norms[output.layer], local.reads_weighted
    at = torch.tensor([output.position], device=start.device)
    start[output.position] = (direction if norm is None else norm.pull_back_at(direction, at, weighted=weighted))[0]
    # Rows as above: all paths, and those without attention.
    top = output.layer if output.site == "feature" else output.layer - 1
    gradient = torch.zeros_like(start).expand(2, -1, -1)
    if output.site != "feature":
        gradient = gradient + start
    for layer in reversed(range(top + 1)):
        if output.site == "feature" and layer == top:
            # It reads between this layer's attention and its MLP, in a parallel block before both.
            if local.parallel:
                gradient = gradient + start
                continue
            middle = gradient + start
        else:
            pulled.block[layer] = gradient[1]
            middle = gradient if local.parallel else gradient + _skip_back(local, layer, gradient)
        pulled.attention[layer] = (middle[0], middle[1])
        folded = local.attentions[layer].folded
        passed = (folded.values(middle[:1]) @ folded.value_map)[0]
        after = torch.stack([middle[0] + passed, middle[1]])
        gradient = after + _skip_back(local, layer, gradient) if local.parallel else after
    pulled.embedding.copy_(gradient[1])
    return pulled


def _skip(local: LocalModel, layer: int, x: Float[Tensor, "path position d_model"]) -> Tensor:
    """Return what the CLT's skip adds; nothing at the start token."""
    if local.clt.W_skip is None:
        return torch.zeros_like(x)
    norm = local.read_norms[layer]
    read = x
    if norm is not None:
        read = norm.push(x) if local.reads_weighted else norm.centre(x) / norm.scale
    written = read @ local.clt.W_skip[layer].T
    written[:, 0] = 0
    return written


def _skip_back(local: LocalModel, layer: int, gradient: Float[Tensor, "path position d_model"]) -> Tensor:
    if local.clt.W_skip is None:
        return torch.zeros_like(gradient)
    passed, norm = gradient @ local.clt.W_skip[layer], local.read_norms[layer]
    if norm is not None:
        passed = norm.pull_back(passed, weighted=local.reads_weighted)
    passed[:, 0] = 0
    return passed


def _written(local: LocalModel, features: ActiveFeatures, source: str, output: Output) -> Written:
    kind, *parts = source.split("/")
    written = Written(embedding=torch.zeros_like(local.embeddings))

    def at(position: int, vector: Tensor) -> Tensor:
        placed = vector.new_zeros(local.n_positions, *vector.shape)
        placed[position] = vector
        return placed

    if kind == "t":
        position = int(parts[0])
        written.embedding = at(position, local.embeddings[position])
    elif kind == "f":
        layer, feature, position = map(int, parts)
        activation = local.clt.encode(layer, local.reads[layer, position])[feature]
        written.after_block = _zeros() | {
            to: at(position, activation * local.clt.decoder(layer, to)[feature])
            for to in local.clt.config.targets(layer)
        }
    elif kind == "e":
        layer, position = map(int, parts)
        written.after_block = _zeros() | {layer: at(position, _missing(local, features, layer, position))}
    else:
        _bias_written(local, written, int(parts[0]), parts[1], int(parts[2]), output, at)
    return written


def _bias_written(
    local: LocalModel, written: Written, layer: int, site: str, position: int, output: Output, at: Placing
) -> None:
    """Add what a bias node writes: at most one of the places below, and where the output itself reads."""
    is_own = position == output.position
    if site == "ln_final":
        bias = local.final_norm.bias
        written.own = float(output.direction @ bias) if bias is not None and is_own and output.site == "final" else 0.0
        return
    attention, read_norm = local.attentions[layer], local.read_norms[layer]
    if site == "pos_embed":
        assert local.positional is not None
        written.embedding = at(position, local.positional[position])
    elif site == "mlp":
        written.after_block = _zeros() | {layer: at(position, local.writes[layer, position])}
    elif site == "b_dec":
        written.after_block = _zeros() | {layer: at(position, local.clt.b_dec[layer])}
    elif site == "b_O":
        assert attention.b_O is not None
        vector = attention.b_O
        if attention.post_norm is not None:
            vector = (
                attention.post_norm.centre(vector) * attention.post_norm.weight / attention.post_norm.scale[position]
            )
        written.after_attention = _zeros() | {layer: at(position, vector)}
    elif site == "ln1_post":
        assert attention.post_norm is not None
        assert attention.post_norm.bias is not None
        written.after_attention = _zeros() | {layer: at(position, attention.post_norm.bias)}
    elif site == "b_V":
        assert attention.b_V is not None
        written.values = _zeros() | {layer: at(position, attention.b_V)}
    elif site == "ln1":
        assert attention.norm.bias is not None
        value = torch.einsum("d,kdh->kh", attention.norm.bias, attention.W_V)
        written.values = _zeros() | {layer: at(position, value)}
    else:
        assert site == "ln2"
        assert read_norm is not None
        assert read_norm.bias is not None
        if local.clt.W_skip is not None:
            written.after_block = _zeros() | {layer: at(position, local.clt.W_skip[layer] @ read_norm.bias)}
        if is_own and output.site == "feature" and output.layer == layer:
            written.own = float(output.direction @ read_norm.bias)


def _missing(local: LocalModel, features: ActiveFeatures, layer: int, position: int) -> Float[Tensor, " d_model"]:
    """Return what an error node writes: what the given features, b_dec and the skip miss."""
    clt = local.clt
    rest = local.writes[layer, position] - clt.b_dec[layer] - clt.skip(layer, local.reads[layer])[position]
    for below in clt.config.sources(layer):
        here = features.select((features.layer == below) & (features.position == position))
        rest = rest - here.activation @ clt.decoder(below, layer)[here.feature]
    return rest


def _features(local: LocalModel, graph: Graph, source: str) -> ActiveFeatures:
    """Return the features that the graph's error nodes do not stand for."""
    if not source.startswith("e/") or not graph.info.get("left_out_features"):
        return local.features
    if graph.info.get("node_threshold", 1.0) != 1 or graph.info.get("edge_threshold", 1.0) != 1:
        raise ConfigError(
            f"The graph was capped and then pruned, so it does not tell what the error node {source!r} stands for: "
            "split the edge of the graph before pruning."
        )
    nodes = graph.nodes[graph.nodes["kind"] == "feature"]
    kept = torch.tensor(nodes[["layer", "position", "feature"]].to_numpy(), device=local.reads.device)
    found = local.features

    def key(layer: Tensor, position: Tensor, feature: Tensor) -> Tensor:
        return (layer * local.n_positions + position) * local.clt.n_features + feature

    return found.select(torch.isin(key(found.layer, found.position, found.feature), key(*kept.long().T)))


def _is_node(target: str | Target) -> bool:
    return isinstance(target, str) and "/" in target


def _target(target: str | Target) -> Target:
    """Return the target that a node id names."""
    if not isinstance(target, str) or not _is_node(target):
        return target
    kind, *parts = target.split("/")
    if kind in ("f", "p"):
        return FeatureTarget(*map(int, parts))
    if kind == "l":
        return LogitTarget(int(parts[0]), int(parts[1]))
    if kind == "d":
        plus, minus = ([int(token) for token in part.split("+")] for part in parts[:2])
        return DifferenceTarget(plus, minus, int(parts[2]))
    if kind == "r":
        raise ConfigError(f"The graph does not hold the vector of {target!r}: give its DirectionTarget as the target.")
    raise ConfigError(f"The node {target!r} has no edges into it: give a feature or an output of the graph.")


def _check_weight(graph: Graph, source: str, target: str | Target, total: float, magnitude: float) -> None:
    """Compare with the graph's own weight, as far as the graph has the edge."""
    if not _is_node(target):
        return
    ids = graph.nodes["node_id"].to_numpy()
    row = (ids[graph.target_index] == target).nonzero()[0]
    column = (ids[graph.source_index] == source).nonzero()[0]
    weight = float(graph.weights[int(row[0]), int(column[0])])
    # An edge that was pruned has weight 0.
    if weight and abs(weight - total) > 1e-3 * max(abs(weight), magnitude):
        raise CLTError(
            f"The edge from {source!r} to {target!r} weighs {weight:.4g} in the graph and {total:.4g} with this CLT: "
            "use the CLT that the graph was made with."
        )
