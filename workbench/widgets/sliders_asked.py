"""What the sliders ask of the model: factors as edits, and the same as a line of Python."""

from __future__ import annotations

import json
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from workbench.errors import ConfigError
from workbench.interventions import Edit
from workbench.widgets.sliders_rows import GROUP, some

LOWEST, CLEAN, HIGHEST = -5.0, 1.0, 5.0
MODES = ("propagated", "direct")


class Change(NamedTuple):
    """The nodes that one slider changes, and their factor."""

    slider: str
    nodes: tuple[str, ...]
    factor: float


class Asked(NamedTuple):
    """What one run of the model is for.

    Attributes:
        values: slider → factor.
        members: slider → the nodes that it moves: itself, or those of a supernode.
        control_seed: draws the matched control that runs beside it; None for none.
    """

    values: Mapping[str, float]
    mode: str
    members: Mapping[str, tuple[str, ...]]
    control_seed: int | None = None

    @property
    def changes(self) -> list[Change]:
        """The sliders that are not at 1, in their order.

        A node that has a slider of its own obeys that one, not its supernode's; of two supernodes the later one.
        """
        moved = [slider for slider, factor in self.values.items() if factor != CLEAN]
        # A stable sort: supernodes first, so that nodes of their own come after them and win.
        owner = {
            node: slider for slider in sorted(moved, key=lambda s: s[:2] != GROUP) for node in self.members[slider]
        }
        changes = []
        for slider in moved:
            nodes = tuple(node for node in self.members[slider] if owner[node] == slider)
            if nodes:
                changes.append(Change(slider, nodes, self.values[slider]))
        return changes

    @property
    def edits(self) -> list[Edit]:
        return [Edit.node(node, factor=change.factor) for change in self.changes for node in change.nodes]

    def at(self, factors: Mapping[str, float]) -> Asked:
        """Return the same with other factors of some sliders."""
        return self._replace(values={**self.values, **factors})

    def wire(self) -> dict[str, Any]:
        return {"values": dict(self.values), "mode": self.mode, "control_seed": self.control_seed}


def as_python(asked: Asked, *, k: int) -> str:
    """Return the call of ``bench.intervene`` that gives what the sliders show."""
    lines = [f"        {_edit(change)}," for change in asked.changes]
    edits = "[]" if not lines else "\n".join(["[", *lines, "    ]"])
    options = [f"mode={json.dumps(asked.mode)}", *([f"k={k}"] if k != 10 else [])]
    return f"bench.intervene(\n    graph,\n    {edits},\n    {', '.join(options)},\n)"


def checked_factors(values: object, sliders: Sequence[str], links: Iterable[Sequence[str]] = ()) -> dict[str, float]:
    """Return the factor of every slider: as given, that of one it is linked with, or 1.

    Raises:
        ConfigError: there is no such slider, or a factor cannot be used.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"The values are a {type(values).__name__}: give a mapping of node id to factor.")
    unknown = [str(slider) for slider in values if slider not in sliders]
    if unknown:
        raise ConfigError(f"There is no slider for {some(unknown)}: the sliders are of {some(sliders)}.")
    factors = {slider: _factor(slider, values[slider]) for slider in sliders if slider in values}
    for group in links:
        named = [factors[slider] for slider in group if slider in factors]
        if named:
            factors = dict.fromkeys(group, named[0]) | factors
    return {slider: factors.get(slider, CLEAN) for slider in sliders}


def checked_links(links: object, sliders: Sequence[str]) -> list[list[str]]:
    """Return groups of linked sliders; those that share a slider become one.

    Raises:
        ConfigError: these are no groups of at least two of the sliders.
    """
    if isinstance(links, str) or not isinstance(links, Iterable):
        raise ConfigError(f"The links are {links!r}: give a list of groups of sliders.")
    groups: list[list[str]] = []
    for link in links:
        group = [link] if isinstance(link, str) else list(dict.fromkeys(link))
        unknown = [str(slider) for slider in group if slider not in sliders]
        if unknown:
            raise ConfigError(f"There is no slider for {some(unknown)}: the sliders are of {some(sliders)}.")
        if len(group) < 2:
            raise ConfigError(f"The link {some(group)!r} is of {len(group)} slider: link at least two.")
        for other in [other for other in groups if set(other) & set(group)]:
            groups.remove(other)
            group = list(dict.fromkeys([*other, *group]))
        groups.append(group)
    return groups


def checked_mode(mode: object) -> str:
    """Return the mode.

    Raises:
        ConfigError: the sliders have no such mode.
    """
    if mode not in MODES:
        raise ConfigError(
            f"The sliders have no mode {mode!r}: choose {' or '.join(map(repr, MODES))} "
            "(intervene() knows 'constrained', too)."
        )
    return str(mode)


def _factor(slider: str, value: object) -> float:
    if not isinstance(value, numbers.Real):
        raise ConfigError(f"The factor of {slider} is {value!r}: give a number from {LOWEST:g} to {HIGHEST:g}.")
    factor = float(value)
    if not LOWEST <= factor <= HIGHEST:  # NaN is not, either.
        raise ConfigError(f"The factor of {slider} is {factor:g}: give a number from {LOWEST:g} to {HIGHEST:g}.")
    return factor


def _edit(change: Change) -> str:
    # JSON's text is Python's text, too, in the double quotes that formatters want.
    if not change.slider.startswith(GROUP):
        return f"wb.Edit.node({json.dumps(change.slider)}, factor={change.factor!r})"
    nodes, name = json.dumps(change.nodes), json.dumps(change.slider.removeprefix(GROUP), ensure_ascii=False)
    return f"wb.SupernodeEdit.nodes({nodes}, name={name}, factor={change.factor!r})"
