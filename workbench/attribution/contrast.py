"""Contrast: why a feature that is active on one prompt is inactive on another, and which inactive ones were close.

An attribution graph shows active features alone, so it cannot show what keeps a feature silent. Here the
pre-activation of an inactive feature is explained like any other output, and set against the prompt where the
feature is active: the differences of its inputs add up to exactly what its pre-activation lost.

Source of the problem: Ameisen et al., "Circuit Tracing" (2025), where inactive features are a limit of the graphs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.difference import GraphDifference, default_alignment, difference
from workbench.attribution.engine import DEFAULT_CAP, MAX_TOKENS, attribute
from workbench.attribution.graph import Graph
from workbench.attribution.targets import FeatureTarget
from workbench.clt import CLT
from workbench.errors import ConfigError, PromptError
from workbench.models import LoadedModel, capture, checked_tokens, token_strings, tokenize

WITHIN = 0.01


def nearly_active(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    *,
    within: float = WITHIN,
    k: int | None = 100,
    chat: bool = False,
) -> pd.DataFrame:
    """Return the inactive features of a prompt that are close to their threshold, the closest first.

    Args:
        prompt: text, or token ids whose first is the start token.
        within: the largest distance: how far what the CLT reads would have to move, straight towards the feature's
            encoder, as a share of its own norm.
        k: how many rows at most; None for all.
        chat: put the text through the model's chat template.

    Returns:
        ``layer, feature, position, token, pre_activation, threshold, margin`` (threshold − pre-activation, in
        units of activation) and ``distance`` = margin / (‖encoder row‖ · ‖read‖), which can be compared between
        features. The start token has no features.

    Raises:
        PromptError: the prompt is empty or too long.
        ConfigError: ``within`` is negative or ``k`` is less than 1.
    """
    if within < 0 or (k is not None and k < 1):
        raise ConfigError(f"within is {within} and k is {k}: give a distance from 0 and a number of rows from 1.")
    tokens = _tokens(model, prompt, chat=chat)
    reads = _reads(model, clt, tokens)
    found = []
    for layer in range(clt.n_layers):
        pre, margin, distance = _margins(clt, layer, reads[layer])
        position, feature = ((margin >= 0) & (distance <= within)).nonzero(as_tuple=True)
        inner = position > 0
        position, feature = position[inner], feature[inner]
        found.append(
            pd.DataFrame(
                {
                    "layer": np.full(len(position), layer, dtype=np.int32),
                    "feature": feature.numpy(force=True).astype(np.int32),
                    "position": position.numpy(force=True).astype(np.int32),
                    "pre_activation": pre[position, feature].float().numpy(force=True),
                    "threshold": clt.threshold[layer, feature].float().numpy(force=True),
                    "margin": margin[position, feature].float().numpy(force=True),
                    "distance": distance[position, feature].float().numpy(force=True),
                }
            )
        )
    table = pd.concat(found, ignore_index=True)
    strings = np.asarray(token_strings(model, tokens), dtype=object)
    table.insert(3, "token", strings[table["position"].to_numpy()])
    order = np.argsort(table["distance"].to_numpy(), kind="stable")[:k]
    return table.iloc[order].reset_index(drop=True)


def contrasted_features(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    other: str | Int[Tensor, " position"],
    *,
    alignment: Mapping[int, int] | None = None,
    within: float | None = None,
    k: int | None = None,
    chat: bool = False,
) -> pd.DataFrame:
    """Return the features that are active on one prompt and inactive at the same place of the other.

    Args:
        prompt: where the features are active; ``a`` in the table.
        other: where they are inactive; ``b`` in the table.
        alignment: position in ``prompt`` → position in ``other``; by default as in
            :func:`workbench.attribution.difference.difference`.
        within: the largest distance to the threshold on ``other``, as in :func:`nearly_active`; None for any.
        k: how many rows at most.
        chat: put both texts through the model's chat template.

    Returns:
        ``layer, feature, position_a, position_b, token_a, token_b, activation_a, pre_activation_b, lost``
        (activation_a − pre_activation_b), ``threshold, margin_b, distance_b`` (as in :func:`nearly_active`); what
        has lost most first.

    Raises:
        PromptError: a prompt is empty or too long.
        ConfigError: the alignment leaves a prompt, or an option is out of range.
    """
    if (within is not None and within < 0) or (k is not None and k < 1):
        raise ConfigError(f"within is {within} and k is {k}: give a distance from 0 and a number of rows from 1.")
    tokens = [_tokens(model, text, chat=chat) for text in (prompt, other)]
    strings = [np.asarray(token_strings(model, ids), dtype=object) for ids in tokens]
    pairs = default_alignment(list(strings[0]), list(strings[1])) if alignment is None else alignment
    here, there = (torch.tensor(list(at), dtype=torch.long) for at in (pairs.keys(), pairs.values()))
    if any(bool(((at < 0) | (at >= len(ids))).any()) for at, ids in zip((here, there), tokens, strict=True)):
        raise ConfigError(
            f"The alignment {dict(pairs)} leaves a prompt: the first has {len(tokens[0])} tokens, "
            f"the second {len(tokens[1])}, counted from 0 with the start token."
        )
    inner = (here > 0) & (there > 0)
    here, there = here[inner], there[inner]
    reads = [_reads(model, clt, ids) for ids in tokens]
    found = []
    for layer in range(clt.n_layers):
        active = clt.encode(layer, reads[0][layer])[here]
        pre, margin, distance = (values[there] for values in _margins(clt, layer, reads[1][layer]))
        lost = (active != 0) & (margin >= 0)
        if within is not None:
            lost &= distance <= within
        row, feature = lost.nonzero(as_tuple=True)
        position_a, position_b = here[row.cpu()].numpy(), there[row.cpu()].numpy()
        found.append(
            pd.DataFrame(
                {
                    "layer": np.full(len(row), layer, dtype=np.int32),
                    "feature": feature.numpy(force=True).astype(np.int32),
                    "position_a": position_a.astype(np.int32),
                    "position_b": position_b.astype(np.int32),
                    "token_a": strings[0][position_a],
                    "token_b": strings[1][position_b],
                    "activation_a": active[row, feature].float().numpy(force=True),
                    "pre_activation_b": pre[row, feature].float().numpy(force=True),
                    "lost": (active - pre)[row, feature].float().numpy(force=True),
                    "threshold": clt.threshold[layer, feature].float().numpy(force=True),
                    "margin_b": margin[row, feature].float().numpy(force=True),
                    "distance_b": distance[row, feature].float().numpy(force=True),
                }
            )
        )
    table = pd.concat(found, ignore_index=True)
    order = np.argsort(-table["lost"].to_numpy(), kind="stable")[:k]
    return table.iloc[order].reset_index(drop=True)


@dataclass(frozen=True)
class Contrast:
    """Why features that are active on one prompt are inactive on another.

    Attributes:
        features: the features explained, as :func:`contrasted_features` gives them.
        active: the graph of their pre-activations (``p/layer/feature/position``) on the prompt where they fire.
        inactive: the same on the other prompt.
    """

    features: pd.DataFrame
    active: Graph
    inactive: Graph
    difference: GraphDifference

    def inputs(self, layer: int, feature: int, position: int) -> pd.DataFrame:
        """Return what a feature hears on the two prompts, what suppresses it most on the other one first.

        Args:
            position: in the prompt where the feature is active (``position_a``).

        Returns:
            ``source, kind, token_a, token_b, label, where`` (both, a, b), ``weight_a`` and ``weight_b`` (the
            source's effect on the pre-activation on each prompt; 0 where the source is inactive) and
            ``weight_change``. The changes of all rows add up to the change of the pre-activation.

        Raises:
            ConfigError: the feature is not among those explained.
        """
        target = f"p/{layer}/{feature}/{position}"
        if target not in set(self.difference.nodes["node"]):
            raise ConfigError(f"The contrast does not explain {target!r}: take a row of contrast.features.")
        edges = self.difference.inputs(target).astype({"source": str})
        table = edges.merge(self.difference.nodes, left_on="source", right_on="node", suffixes=("", "_of_node"))
        columns = ["source", "kind", "token_a", "token_b", "label", "where", "weight_a", "weight_b", "weight_change"]
        order = np.argsort(table["weight_change"].to_numpy(), kind="stable")
        return table[columns].iloc[order].reset_index(drop=True)


def contrast(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    other: str | Int[Tensor, " position"],
    *,
    features: pd.DataFrame | None = None,
    alignment: Mapping[int, int] | None = None,
    k: int = 5,
    chat: bool = False,
    cap: int | None = DEFAULT_CAP,
    clt_name: str = "",
    progress: bool = True,
) -> Contrast:
    """Explain why features that are active on one prompt are inactive on another.

    Both prompts are attributed to the pre-activations of the same features, then compared::

        why = contrast(model, clt, "The capital of France is", "The colour of France is")
        why.inputs(*why.features.loc[0, ["layer", "feature", "position_a"]])

    Args:
        prompt: where the features are active.
        other: where they are inactive.
        features: rows of :func:`contrasted_features` to explain; by default the k that have lost most.
        alignment: position in ``prompt`` → position in ``other``, as in
            :func:`workbench.attribution.difference.difference`.
        k: how many features to explain when none are given.
        chat: put both texts through the model's chat template.
        cap: the largest number of features in each graph.

    Raises:
        PromptError: a prompt cannot be used, or no feature is active on the one and inactive on the other.
        ConfigError: the alignment or an option cannot be used.
        ResourceError: memory will not suffice.
    """
    tokens = [_tokens(model, text, chat=chat) for text in (prompt, other)]
    if features is None:
        features = contrasted_features(model, clt, *tokens, alignment=alignment, k=k)
    if features.empty:
        raise PromptError(
            "No feature is active on the first prompt and inactive at the same place of the second: "
            "give prompts that differ more, or another alignment."
        )
    graphs = []
    for ids, side in zip(tokens, "ab", strict=True):
        rows = zip(features["layer"], features["feature"], features[f"position_{side}"], strict=True)
        targets = [FeatureTarget(int(layer), int(feature), int(position)) for layer, feature, position in rows]
        graphs.append(attribute(model, clt, ids, targets=targets, cap=cap, clt_name=clt_name, progress=progress))
    active, inactive = graphs
    change = difference(active, inactive, alignment=alignment, same_features=True)
    return Contrast(features.reset_index(drop=True), active, inactive, change)


def _tokens(model: LoadedModel, prompt: str | Int[Tensor, " position"], *, chat: bool) -> Int[Tensor, " position"]:
    if isinstance(prompt, str):
        return tokenize(model, prompt, chat=chat, max_tokens=MAX_TOKENS)
    return checked_tokens(model, prompt, max_tokens=MAX_TOKENS)


@torch.no_grad()
def _reads(model: LoadedModel, clt: CLT, tokens: Int[Tensor, " position"]) -> Float[Tensor, "layer position d_model"]:
    names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
    kept = capture(model, tokens[None], names)
    return torch.stack([kept[name][0] for name in names]).to(clt.W_enc.dtype)


def _margins(
    clt: CLT, layer: int, x: Float[Tensor, "position d_model"]
) -> tuple[Float[Tensor, "position feature"], Float[Tensor, "position feature"], Float[Tensor, "position feature"]]:
    """Return pre-activations, margins (not negative where a feature is inactive) and distances to the threshold."""
    pre = clt.pre_activations(layer, x)
    # JumpReLU is a gate and no shift: a feature with a negative threshold is inactive below it, active from it on.
    margin = clt.threshold[layer] - pre
    scale = x.norm(dim=-1, keepdim=True) * clt.W_enc[layer].norm(dim=-1)
    return pre, margin, margin / scale.clamp_min(torch.finfo(x.dtype).tiny)
