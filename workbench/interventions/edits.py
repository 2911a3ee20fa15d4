"""Edits: which feature activations change, where, and to what."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from jaxtyping import Float
from torch import Tensor

from workbench.errors import InterventionError

if TYPE_CHECKING:
    from typing import Self

_KINDS = {"e": "an error node", "t": "a token node", "b": "a bias node", "l": "a logit node"}
# Outputs that are no tokens: differences, directions, pre-activations.
_KINDS |= dict.fromkeys("drp", "an output node")


class Span(NamedTuple):
    """Positions of an edit, as in a slice: from ``start`` to before ``stop``; negative ones count from the end.

    Attributes:
        start: None for the first position after the start token.
        stop: None for no end: under generation the new tokens are edited, too.
    """

    start: int | None = None
    stop: int | None = None

    def __str__(self) -> str:
        if self == EVERYWHERE:
            return "every position"
        if self.stop is None:
            return f"positions {self.start} and later"
        return f"positions {'' if self.start is None else self.start}:{self.stop}"


EVERYWHERE = Span()


class Ramp(NamedTuple):
    """How the strength of an edit changes over the steps of a generation.

    The strength multiplies the change (a_edited − a_clean). It is ``start`` on the prompt, which is run before the
    first new token, ``end`` from the ``steps``-th new token on, and linear in between. It belongs to the position:
    an earlier position keeps the strength that it was run with::

        Ramp(10)             # comes in over ten tokens
        Ramp(5, 1.0, 0.0)    # fades out over five
    """

    steps: int
    start: float = 0.0
    end: float = 1.0

    def at(self, step: int) -> float:
        """Return the strength at a step: 0 is the prompt, 1 the first new token."""
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)


@dataclass(frozen=True)
class Edit:
    """A change of one feature's activation, at one position, some, or all.

    Give exactly one of ``factor``, ``value`` and ``add``::

        Edit(layer=12, feature=311, position=-1, factor=0)             # switched off
        Edit(layer=12, feature=311, position=-1, factor=-2)            # minus twice what it was
        Edit(layer=12, feature=311, position=5, value=8.0)             # on, wherever it was
        Edit(layer=12, feature=311, position=slice(3, 6), add=1.5)     # a little more at 3, 4 and 5
        Edit(layer=12, feature=311, position=slice(5, None), add=1.5)  # from 5 on, new tokens included
        Edit.everywhere(12, 311, factor=0)                             # at every position, new tokens included
        Edit.node("f/12/311/5", factor=0)                              # by its id in a graph

    Attributes:
        layer: the layer whose MLP input the feature reads, from 0.
        feature: its index within the layer, from 0.
        position: the token's position, the start token being 0; a negative one counts from the end of the prompt,
            so −1 is its last token. A slice means several positions, and one without an end follows the new tokens
            of a generation. The start token has no features: slices leave it out.
        factor: the new activation as a multiple of the clean one; for active features only (of a slice, the positions
            where the feature is active).
        value: the new activation itself.
        add: what is added to the clean activation.
        ramp: how the edit's strength changes over the steps of a generation; a number is the steps that it takes from
            nothing to its whole strength. :func:`workbench.interventions.generate` alone takes it.

    Raises:
        InterventionError: none or several of ``factor``, ``value`` and ``add`` are given, one is not finite, an index
            is no whole number or below zero, a slice has a step, or a ramp cannot be used.
    """

    layer: int
    feature: int
    position: int | slice | Span
    factor: float | None = None
    value: float | None = None
    add: float | None = None
    ramp: Ramp | None = None

    def __post_init__(self) -> None:
        for name in ("layer", "feature"):
            # Plain ints, also from the numpy integers of a table's row.
            object.__setattr__(self, name, _whole_number(name, getattr(self, name)))
            if getattr(self, name) < 0:
                raise InterventionError(f"The {name} of an edit is {getattr(self, name)}: count it from 0.")
        object.__setattr__(self, "position", _position(self.position))
        given = [name for name in ("factor", "value", "add") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InterventionError(
                f"The edit of {self.target} gives {' and '.join(given) or 'none'} of factor, value and add: "
                "give exactly one."
            )
        object.__setattr__(self, given[0], _finite(f"{given[0]} of {self.target}", getattr(self, given[0])))
        object.__setattr__(self, "ramp", _ramp(self.target, self.ramp))

    @classmethod
    def node(cls, node_id: str, *, position: Any = None, **change: Any) -> Edit:
        """Return the edit of a graph's feature node, by its id ``f/{layer}/{feature}/{position}``.

        Args:
            position: other positions than that of the node.
            change: one of ``factor``, ``value`` and ``add``, and perhaps ``ramp``.

        Raises:
            InterventionError: the id is malformed, or of a node that is no feature.
        """
        layer, feature, at = _parsed(node_id)
        return cls(layer, feature, at if position is None else position, **change)

    @classmethod
    def everywhere(cls, layer: int, feature: int, **change: Any) -> Edit:
        """Return the edit of a feature at every position but the start token, new tokens included.

        Args:
            change: one of ``factor``, ``value`` and ``add``, and perhaps ``ramp``.
        """
        return cls(layer, feature, EVERYWHERE, **change)

    @property
    def span(self) -> Span | None:
        """The positions where there are several; None for a single position."""
        return self.position if isinstance(self.position, Span) else None

    @property
    def node_id(self) -> str:
        """The id of the feature node that is edited.

        Raises:
            InterventionError: the edit is of several positions.
        """
        if self.span is not None:
            raise InterventionError(
                f"The edit of {self.target} is of several nodes, not of one: take layer, feature and position instead."
            )
        return f"f/{self.layer}/{self.feature}/{self.position}"

    @property
    def target(self) -> str:
        """The feature and position in words, for messages."""
        where = f"position {self.position}" if self.span is None else self.span
        return f"feature {self.layer}/{self.feature} at {where}"

    def changed(self, before: Float[Tensor, " position"]) -> Float[Tensor, " position"]:
        """Return what becomes of clean activations, at full strength."""
        if self.factor is not None:
            return self.factor * before
        if self.value is not None:
            return before.new_full(before.shape, self.value)
        assert self.add is not None
        return before + self.add

    def __str__(self) -> str:
        change = next(f"{n} {getattr(self, n):g}" for n in ("factor", "value", "add") if getattr(self, n) is not None)
        return f"{self.target} ({change})"


@dataclass(frozen=True)
class SupernodeEdit:
    """The edits of several features as one, such as those of a supernode of a graph.

    Every member gets the same ``factor``, ``value`` or ``add``, relative to its own clean activation. It stands in a
    list of edits like a single one::

        bench.intervene(graph, [wb.SupernodeEdit.of(graph, "Texas", factor=-1)])
        bench.generate(prompt, edits=[wb.SupernodeEdit.nodes(ids, name="Texas", position=slice(5, None), factor=-1)])

    Attributes:
        name: of the supernode.
        edits: one a member.
        token_ids: the tokens of the graph that it was taken from: it cannot be applied to another prompt by mistake.
            None where the edits do not depend on a prompt.
    """

    name: str
    edits: tuple[Edit, ...]
    token_ids: tuple[int, ...] | None = None

    @classmethod
    def of(cls, graph: Any, name: str, *, position: Any = None, **change: Any) -> Self:
        """Return the edit of one of a graph's supernodes.

        Args:
            graph: an attribution graph with supernodes; see :meth:`workbench.attribution.Graph.with_supernodes`.
            name: the supernode's name.
            position: other positions than those of the nodes, such as ``slice(5, None)``.
            change: one of ``factor``, ``value`` and ``add``, and perhaps ``ramp``.

        Raises:
            InterventionError: there is no such supernode, or a member is no feature.
        """
        column = graph.nodes["supernode"].astype(str)
        ids = graph.nodes.loc[column == name, "node_id"].astype(str).tolist() if name else []
        if not ids:
            known = [repr(other) for other in dict.fromkeys(column) if other]
            raise InterventionError(
                f"The graph has no supernode {name!r}: "
                + (f"it has {', '.join(known)}." if known else "make some with graph.with_supernodes first.")
            )
        made = cls.nodes(ids, name=name, position=position, **change)
        return made if position is not None else cls(made.name, made.edits, tuple(graph.token_ids))

    @classmethod
    def nodes(cls, node_ids: Iterable[str], *, name: str = "", position: Any = None, **change: Any) -> Self:
        """Return the edit of several feature nodes, by their ids.

        Args:
            name: what to call them together.
            position: other positions than those of the nodes; a feature that several nodes share is edited once.
            change: one of ``factor``, ``value`` and ``add``, and perhaps ``ramp``.

        Raises:
            InterventionError: there is none, or one is no feature.
        """
        if isinstance(node_ids, str):
            raise InterventionError(f"The nodes are the single text {node_ids!r}: give a list of node ids.")
        try:
            edits = [Edit.node(node_id, position=position, **change) for node_id in node_ids]
        except InterventionError as error:
            raise InterventionError(f"{error} It stands in the supernode {name!r}.") from error
        if not edits:
            raise InterventionError(f"The supernode {name!r} has no nodes: give at least one.")
        return cls(name, tuple(dict.fromkeys(edits)))


AnyEdit: TypeAlias = Edit | SupernodeEdit


def flat(edits: Iterable[AnyEdit]) -> list[Edit]:
    """Return single edits, those of supernodes in their place.

    Raises:
        InterventionError: what is given is no list of edits.
    """
    if isinstance(edits, Edit | SupernodeEdit):
        raise InterventionError(f"The edits are a single {type(edits).__name__}: give a list of them.")
    found: list[Edit] = []
    for edit in edits:
        if not isinstance(edit, Edit | SupernodeEdit):
            raise InterventionError(f"The edits hold {edit!r}: give Edit(…) or SupernodeEdit.of(…).")
        found.extend([edit] if isinstance(edit, Edit) else edit.edits)
    return found


def _parsed(node_id: str) -> tuple[int, int, int]:
    kind, *numbers = str(node_id).split("/")
    if kind in _KINDS:
        raise InterventionError(f"The node {node_id!r} is {_KINDS[kind]}: only feature nodes (f/…) can be edited.")
    if kind != "f" or len(numbers) != 3 or not all(n.isascii() and n.isdigit() for n in numbers):
        raise InterventionError(
            f"{node_id!r} is no id of a feature node: give f/layer/feature/position, for instance f/12/311/5."
        )
    layer, feature, position = map(int, numbers)
    return layer, feature, position


def _whole_number(name: str, number: Any) -> int:
    try:
        return operator.index(number)
    except TypeError as error:
        raise InterventionError(f"The {name} of an edit is {number!r}: give a whole number.") from error


def _position(position: Any) -> int | Span:
    if isinstance(position, slice) and position.step not in (None, 1):
        raise InterventionError(f"The positions of an edit are {position!r}: give a slice without a step.")
    if isinstance(position, slice | Span):
        ends = (position.start, position.stop)
        return Span(*(None if end is None else _whole_number("position", end) for end in ends))
    return _whole_number("position", position)


def _finite(what: str, number: Any) -> float:
    try:
        number = float(number)
    except (TypeError, ValueError) as error:
        raise InterventionError(f"The {what} is {number!r}: give a number.") from error
    if not math.isfinite(number):
        raise InterventionError(f"The {what} is {number}: give a finite number.")
    return float(number)


def _ramp(target: str, ramp: Any) -> Ramp | None:
    if ramp is None:
        return None
    steps, *ends = ramp if isinstance(ramp, tuple) else (ramp,)
    try:
        steps = operator.index(steps)
    except TypeError as error:
        raise InterventionError(f"The ramp of {target} is {ramp!r}: give a Ramp or a whole number of steps.") from error
    if steps < 1:
        raise InterventionError(f"The ramp of {target} has {steps} steps: give at least 1.")
    return Ramp(steps, *(_finite(f"ramp of {target}", end) for end in ends))
