"""Matched random controls: the same edits on other features of the same layer, position and activation.

What an edit does is worth a claim only beside what any such edit does. A control takes the place of every edited
feature by another one that is active at the same layer and position and about as strongly, and edits it alike.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import InterventionError
from workbench.interventions import AnyEdit, CleanRun, Edit
from workbench.interventions.plan import Placed, Plan

# Candidates whose activation is within this factor of the edited feature's; the closest ones where these are fewer
# than the least number.
WITHIN = 2.0
LEAST = 5


def matched_controls(
    clean: CleanRun, edits: Sequence[AnyEdit], n: int, *, seed: int = 0, avoid: Collection[tuple[int, int]] = ()
) -> list[list[Edit]]:
    """Return up to ``n`` different sets of edits, each the given ones on other features.

    Every edited feature is replaced by one drawn from those of its layer whose mean activation over the edited
    positions is within a factor of 2 of its own, or from the five closest; a feature that is inactive there by other
    inactive ones. The same feature of several edits gets the same replacement. ``factor``, ``value`` and ``add`` stay.

    Args:
        seed: of the draws.
        avoid: (layer, feature) of features that are no controls, besides the edited ones.

    Returns:
        Fewer than ``n`` where there are not so many different sets.

    Raises:
        InterventionError: an edit cannot be applied, or there is no other feature to draw.
    """
    plan = Plan.of(edits, clean.clt, model_name=clean.model.name, token_ids=clean.tokens.tolist())
    generator = torch.Generator().manual_seed(seed)
    pools = _pools(clean, plan, frozenset(avoid))
    found: dict[tuple[int, ...], list[Edit]] = {}
    # Sets of few features repeat: so many draws find nearly all of those that there are.
    for _ in range(20 * n):
        if len(found) == n:
            break
        drawn = _draw(pools, generator)
        if drawn is not None:
            taken = dict(zip(pools, drawn, strict=True))
            found.setdefault(
                drawn, [replace(edit, feature=taken[edit.layer, edit.feature]) for edit, _, _ in plan.placed]
            )
    if not found and n > 0:
        raise InterventionError("There are too few other features at these positions: leave the controls out.")
    return list(found.values())


def _draw(pools: dict[tuple[int, int], list[int]], generator: torch.Generator) -> tuple[int, ...] | None:
    """Draw one feature from each pool, none twice within a layer; None where that fails."""
    taken: set[tuple[int, int]] = set()
    drawn = []
    for (layer, _), pool in pools.items():
        free = [feature for feature in pool if (layer, feature) not in taken]
        if not free:
            return None
        feature = free[int(torch.randint(len(free), (), generator=generator))]
        taken.add((layer, feature))
        drawn.append(feature)
    return tuple(drawn)


def _pools(clean: CleanRun, plan: Plan, avoid: frozenset[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    pools = {}
    for layer, by_feature in plan.by_layer.items():
        activations = clean.activations(layer)
        others = [feature for feature in range(clean.clt.n_features) if (layer, feature) not in avoid]
        others = [feature for feature in others if feature not in by_feature]
        for feature, items in by_feature.items():
            pools[layer, feature] = _matched(activations, feature, items, others)
    return pools


def _matched(
    activations: Float[Tensor, "position feature"], feature: int, items: Sequence[Placed], others: Sequence[int]
) -> list[int]:
    """Return the features that are about as active as one over the positions of its edits."""
    at = torch.zeros(len(activations), dtype=torch.bool)
    for _, start, stop in items:
        at[start:stop] = True
    mean = activations[at.to(activations.device)].double().mean(0).cpu()
    own = float(mean[feature])
    if own == 0:
        return [other for other in others if float(mean[other]) == 0]
    # A factor needs every one of its positions to be active somewhere in its own stretch.
    alike = [
        other
        for other in others
        if all(edit.factor is None or bool(activations[start:stop, other].any()) for edit, start, stop in items)
        and float(mean[other]) > 0
    ]
    alike.sort(key=lambda other: abs(float(mean[other].log()) - float(mean[feature].log())))
    near = [other for other in alike if own / WITHIN <= float(mean[other]) <= own * WITHIN]
    return near if len(near) >= LEAST else alike[:LEAST]
