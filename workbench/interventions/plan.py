"""Edits applied to a prompt: which positions each is of, which one counts where, and what the activations become.

Several edits apply in the order in which they are given, each to the clean activations. Where two are of the same
feature and position the later one counts, so that an exception stands after the rule::

    [Edit.everywhere(12, 311, factor=0), Edit(12, 311, 5, value=8.0)]    # off, but on at position 5

An edit of which later ones leave nothing contradicts them, which is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import InterventionError
from workbench.interventions.edits import AnyEdit, Edit, Span, SupernodeEdit, flat

_OPEN = 2**62


class Placed(NamedTuple):
    """An edit with its positions counted from 0: from ``start`` to before ``stop``."""

    edit: Edit
    start: int
    stop: int


class Change(NamedTuple):
    """What becomes of one feature at a stretch of positions."""

    layer: int
    feature: int
    before: Float[Tensor, " position"]
    after: Float[Tensor, " position"]


@dataclass(frozen=True)
class Plan:
    """Edits that have been checked against a prompt.

    Attributes:
        placed: the edits in their order.
        n_prompt: the prompt's tokens; ramps begin behind them.
        generating: whether there will be later positions.
    """

    placed: tuple[Placed, ...]
    n_prompt: int
    generating: bool = False

    @classmethod
    def of(
        cls,
        edits: Iterable[AnyEdit],
        clt: CLT,
        *,
        model_name: str,
        token_ids: Sequence[int],
        generating: bool = False,
    ) -> Plan:
        """Check edits against a prompt.

        Args:
            token_ids: those of the prompt.
            generating: new tokens will follow, for which edits without an end and ramps are made.

        Raises:
            InterventionError: a layer, feature or position is out of range, edits contradict each other, a supernode
                is of another prompt, or an edit has a ramp and nothing is generated.
        """
        if not isinstance(edits, Edit | SupernodeEdit):
            edits = list(edits)
        single = flat(edits)
        for edit in edits:
            if isinstance(edit, SupernodeEdit) and edit.token_ids not in (None, tuple(token_ids)):
                raise InterventionError(
                    f"The supernode {edit.name!r} was taken from the graph of another prompt: attribute this prompt, "
                    "or give the positions that are meant."
                )
        placed = tuple(_placed(edit, clt, model_name, len(token_ids), generating) for edit in single)
        _check_order(placed)
        return cls(placed, len(token_ids), generating)

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits, their positions counted from 0."""
        return tuple(edit for edit, _, _ in self.placed)

    @property
    def first_position(self) -> int:
        """The first position that is edited; the number of the prompt's tokens where none is."""
        return min((start for _, start, _ in self.placed), default=self.n_prompt)

    @cached_property
    def by_layer(self) -> Mapping[int, Mapping[int, list[Placed]]]:
        """Layer → feature → its edits in their order."""
        found: dict[int, dict[int, list[Placed]]] = {}
        for item in self.placed:
            found.setdefault(item.edit.layer, {}).setdefault(item.edit.feature, []).append(item)
        return found

    def changes(self, layer: int, activations: Float[Tensor, "position feature"], *, first: int = 0) -> list[Change]:
        """Return what becomes of a layer's edited features at a stretch of positions.

        Args:
            activations: the clean ones.
            first: the position of their first row.
        """
        changes = []
        for feature, items in self.by_layer.get(layer, {}).items():
            before = activations[:, feature].double()
            after = before.clone()
            for edit, start, stop in items:
                low, high = max(start - first, 0), min(stop - first, len(before))
                if low >= high:
                    continue
                clean = before[low:high]
                edited = edit.changed(clean)
                if edit.ramp is not None:
                    steps = [max(0, first + at - self.n_prompt + 1) for at in range(low, high)]
                    strength = torch.tensor([edit.ramp.at(step) for step in steps], dtype=torch.float64).to(before)
                    edited = clean + strength * (edited - clean)
                after[low:high] = edited
            changes.append(Change(layer, feature, before, after))
        return changes

    def check_active(self, layer: int, activations: Float[Tensor, "position feature"]) -> None:
        """Check on the prompt's clean activations that no factor is of a feature that is inactive there.

        Raises:
            InterventionError: one is, and no later position can be meant.
        """
        for feature, items in self.by_layer.get(layer, {}).items():
            for edit, start, stop in items:
                later = self.generating and stop > self.n_prompt
                if edit.factor is None or later or bool(activations[start:stop, feature].any()):
                    continue
                raise InterventionError(
                    f"The {edit.target} is inactive, so that factor={edit.factor:g} changes nothing: "
                    "give value or add instead."
                )


def written(
    changes: Iterable[Change], clt: CLT, *, like: Float[Tensor, "position d_model"], until: int | None = None
) -> dict[int, Float[Tensor, "position d_model"]]:
    """Return Δ = (a_edited − a_clean) · W_dec by the layer at whose MLP output it is added.

    Changes to what was there write nothing, and layers where nothing is written are left out.

    Args:
        like: gives the dtype and the device.
        until: the last layer where Δ is written; None for all that the features write to.
    """
    by_layer: dict[int, list[Change]] = {}
    for change in changes:
        if not torch.equal(change.before, change.after):
            by_layer.setdefault(change.layer, []).append(change)
    deltas: dict[int, Tensor] = {}
    for source, own in by_layer.items():
        amount = torch.stack([change.after - change.before for change in own], dim=1)
        features = [change.feature for change in own]
        for target in clt.config.targets(source):
            if until is not None and target > until:
                break
            rows = clt.decoder(source, target)[features]
            delta = (amount.to(rows) @ rows).to(like)
            deltas[target] = deltas[target] + delta if target in deltas else delta
    return dict(sorted(deltas.items()))


def _placed(edit: Edit, clt: CLT, model_name: str, n_prompt: int, generating: bool) -> Placed:
    """Return the edit with its positions counted from 0, after checking that there is such a feature."""
    if edit.layer >= clt.n_layers:
        raise InterventionError(
            f"The layer of {edit.target} is out of range: {model_name!r} has layers 0 to {clt.n_layers - 1}."
        )
    if edit.feature >= clt.n_features:
        raise InterventionError(
            f"The index of {edit.target} is out of range: a layer of this CLT has features 0 to {clt.n_features - 1}."
        )
    if edit.ramp is not None and not generating:
        raise InterventionError(
            f"The edit of {edit.target} has a ramp, which runs over the steps of a generation: "
            "leave it out or use generate."
        )
    if edit.span is not None:
        return _placed_span(edit, edit.span, n_prompt, generating)
    position = cast(int, edit.position)
    position = position + n_prompt if position < 0 else position
    if not 0 <= position < n_prompt:
        raise InterventionError(
            f"The position of {edit.target} is out of range: the prompt has positions 1 to {n_prompt - 1} "
            "after its start token."
        )
    if position == 0:
        raise InterventionError(
            f"The {edit.target} is at the start token, which has no features: choose a later position."
        )
    return Placed(replace(edit, position=position), position, position + 1)


def _placed_span(edit: Edit, span: Span, n_prompt: int, generating: bool) -> Placed:
    end = _OPEN if generating else n_prompt
    start, stop = (
        default if at is None else at + n_prompt if at < 0 else at
        for at, default in ((span.start, 1), (span.stop, end))
    )
    # The start token has no features.
    start, stop = max(start, 1), min(stop, end)
    if start >= stop:
        raise InterventionError(
            f"The {edit.target} is at no position: the prompt has positions 1 to {n_prompt - 1} after its start token."
        )
    return Placed(replace(edit, position=Span(start, None if stop == _OPEN else stop)), start, stop)


def _check_order(placed: Sequence[Placed]) -> None:
    """Check that the later edits leave something of each.

    Raises:
        InterventionError: they leave nothing of one.
    """
    same: dict[tuple[int, int], list[Placed]] = {}
    for item in placed:
        same.setdefault((item.edit.layer, item.edit.feature), []).append(item)
    for items in same.values():
        for at, item in enumerate(items):
            left = [(item.start, item.stop)]
            for later in items[at + 1 :]:
                left = [
                    (low, high)
                    for start, stop in left
                    for low, high in ((start, min(stop, later.start)), (max(start, later.stop), stop))
                    if low < high
                ]
                if not left:
                    raise InterventionError(
                        f"Two edits contradict each other: {item.edit} and {later.edit}; keep one, or let the "
                        "exception follow the rule."
                    )
