"""Edits: which feature activations change, and what that adds to the residual stream."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import InterventionError
from workbench.interventions.clean import CleanRun

_KINDS = {"e": "an error node", "t": "a token node", "b": "a bias node", "l": "a logit node"}
# Outputs that are no tokens: differences, directions, pre-activations.
_KINDS |= dict.fromkeys("drp", "an output node")


@dataclass(frozen=True)
class Edit:
    """A change of one feature's activation at one position of the prompt.

    Give exactly one of ``factor``, ``value`` and ``add``::

        Edit(layer=12, feature=311, position=-1, factor=0)    # switched off
        Edit(layer=12, feature=311, position=-1, factor=-2)   # minus twice what it was
        Edit(layer=12, feature=311, position=5, value=8.0)    # on, wherever it was
        Edit(layer=12, feature=311, position=5, add=1.5)      # a little more
        Edit.node("f/12/311/5", factor=0)                     # by its id in a graph

    Attributes:
        layer: the layer whose MLP input the feature reads, from 0.
        feature: its index within the layer, from 0.
        position: the token's position, the start token being 0; a negative one counts from the end of the
            prompt, so −1 is the last token.
        factor: the new activation as a multiple of the clean one; for active features only.
        value: the new activation itself.
        add: what is added to the clean activation.

    Raises:
        InterventionError: none or several of ``factor``, ``value`` and ``add`` are given, one is not finite,
            or an index is no whole number or below zero.
    """

    layer: int
    feature: int
    position: int
    factor: float | None = None
    value: float | None = None
    add: float | None = None

    def __post_init__(self) -> None:
        for name in ("layer", "feature", "position"):
            # Plain ints, also from the numpy integers of a table's row.
            object.__setattr__(self, name, _whole_number(name, getattr(self, name)))
        for name in ("layer", "feature"):
            if getattr(self, name) < 0:
                raise InterventionError(f"The {name} of an edit is {getattr(self, name)}: count it from 0.")
        given = [name for name in ("factor", "value", "add") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InterventionError(
                f"The edit of {self.target} gives {' and '.join(given) or 'none'} of factor, value and add: "
                "give exactly one."
            )
        amount = getattr(self, given[0])
        try:
            amount = float(amount)
        except (TypeError, ValueError) as error:
            raise InterventionError(f"The {given[0]} of {self.target} is {amount!r}: give a number.") from error
        if not math.isfinite(amount):
            raise InterventionError(f"The {given[0]} of {self.target} is {amount}: give a finite number.")
        object.__setattr__(self, given[0], amount)

    @classmethod
    def node(
        cls, node_id: str, *, factor: float | None = None, value: float | None = None, add: float | None = None
    ) -> Edit:
        """Return the edit of a graph's feature node, by its id ``f/{layer}/{feature}/{position}``.

        Raises:
            InterventionError: the id is malformed, or of a node that is no feature.
        """
        kind, *numbers = str(node_id).split("/")
        if kind in _KINDS:
            raise InterventionError(f"The node {node_id!r} is {_KINDS[kind]}: only feature nodes (f/…) can be edited.")
        if kind != "f" or len(numbers) != 3 or not all(n.isascii() and n.isdigit() for n in numbers):
            raise InterventionError(
                f"{node_id!r} is no id of a feature node: give f/layer/feature/position, for instance f/12/311/5."
            )
        layer, feature, position = map(int, numbers)
        return cls(layer, feature, position, factor=factor, value=value, add=add)

    @property
    def node_id(self) -> str:
        """The id of the feature node that is edited."""
        return f"f/{self.layer}/{self.feature}/{self.position}"

    @property
    def target(self) -> str:
        """The feature and position in words, for messages."""
        return f"feature {self.layer}/{self.feature} at position {self.position}"

    def __str__(self) -> str:
        change = next(f"{n} {getattr(self, n):g}" for n in ("factor", "value", "add") if getattr(self, n) is not None)
        return f"{self.target} ({change})"


class ResolvedEdit(NamedTuple):
    """An edit on one prompt: its position counted from 0, the activation before and after."""

    edit: Edit
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def resolve(edits: Iterable[Edit], clean: CleanRun) -> tuple[ResolvedEdit, ...]:
    """Check edits against a prompt and work out the activations that they ask for.

    Raises:
        InterventionError: a layer, feature or position is out of range, ``factor`` meets an inactive feature,
            or two edits are of the same feature at the same position.
    """
    if isinstance(edits, Edit):
        raise InterventionError("The edits are a single Edit: give a list of them.")
    resolved: dict[tuple[int, int, int], ResolvedEdit] = {}
    for edit in edits:
        placed = _placed(edit, clean)
        key = (placed.layer, placed.feature, placed.position)
        if key in resolved:
            raise InterventionError(f"Two edits contradict each other: {resolved[key].edit} and {placed}; keep one.")
        before = clean.activation(*key)
        if placed.factor is not None and before == 0:
            raise InterventionError(
                f"The {placed.target} is inactive, so that factor={placed.factor:g} changes nothing: "
                "give value or add instead."
            )
        resolved[key] = ResolvedEdit(placed, before, _edited(placed, before))
    return tuple(resolved.values())


def written(
    edits: Iterable[ResolvedEdit], clean: CleanRun, *, until: int | None = None
) -> dict[int, Float[Tensor, "position d_model"]]:
    """Return Δ = (a_edited − a_clean) · W_dec by the layer at whose MLP output it is added.

    Edits that change nothing write nothing, and layers where nothing is written are left out.

    Args:
        until: the last layer where Δ is written; None for all that the features write to.
    """
    deltas: dict[int, Tensor] = {}
    for edit, before, after in edits:
        if before == after:
            continue
        for layer in clean.clt.config.targets(edit.layer):
            if until is not None and layer > until:
                break
            if layer not in deltas:
                deltas[layer] = torch.zeros_like(clean.writes[layer])
            row = clean.clt.decoder(edit.layer, layer)[edit.feature]
            deltas[layer][edit.position] += ((after - before) * row).to(deltas[layer])
    return deltas


def _whole_number(name: str, number: object) -> int:
    try:
        return operator.index(number)  # type: ignore[arg-type]
    except TypeError as error:
        raise InterventionError(f"The {name} of an edit is {number!r}: give a whole number.") from error


def _placed(edit: Edit, clean: CleanRun) -> Edit:
    """Return the edit with its position counted from 0, after checking that there is such a feature."""
    clt, n_positions = clean.clt, clean.n_positions
    if edit.layer >= clt.n_layers:
        raise InterventionError(
            f"The layer of {edit.target} is out of range: {clean.model.name!r} has layers 0 to {clt.n_layers - 1}."
        )
    if edit.feature >= clt.n_features:
        raise InterventionError(
            f"The index of {edit.target} is out of range: a layer of this CLT has features 0 to {clt.n_features - 1}."
        )
    position = edit.position + n_positions if edit.position < 0 else edit.position
    if not 0 <= position < n_positions:
        raise InterventionError(
            f"The position of {edit.target} is out of range: the prompt has positions 1 to {n_positions - 1} "
            "after its start token."
        )
    if position == 0:
        raise InterventionError(
            f"The {edit.target} is at the start token, which has no features: choose a later position."
        )
    return Edit(edit.layer, edit.feature, position, edit.factor, edit.value, edit.add)


def _edited(edit: Edit, before: float) -> float:
    if edit.factor is not None:
        return edit.factor * before
    if edit.value is not None:
        return edit.value
    assert edit.add is not None
    return before + edit.add
