"""Explorers that highlight what is selected or pointed at in one another."""

from __future__ import annotations

from typing import Any

from workbench.errors import ConfigError
from workbench.widgets.explorer_state import ExplorerState

_FOLLOWED = ["selected_ids", "hovered_id"]


class LinkedExplorer(ExplorerState):
    """The part of the graph explorer that other explorers follow."""

    _partners: tuple[LinkedExplorer, ...] = ()

    @property
    def linked(self) -> tuple[LinkedExplorer, ...]:
        """The explorers that this one is linked with, in the order linked."""
        return self._partners

    def link(self, other: LinkedExplorer) -> None:
        """Highlight here what is selected or pointed at in another explorer, and there what is so here.

        Nodes are the same where their ids are: those of one prompt's graphs, made with whatever thresholds, or all
        features that fire at the same position of two prompts. A node that the other graph lacks is highlighted
        nowhere. :meth:`unlink` ends it::

            before, after = bench.explore(graph), bench.explore(other)
            before.link(after)

        Raises:
            ConfigError: the other one is no explorer, or this one.
        """
        self._check(other)
        if other in self._partners:
            return
        self._join(other)
        other._join(self)

    def unlink(self, other: LinkedExplorer | None = None) -> None:
        """End the link with another explorer, or with all of them."""
        for partner in self._partners if other is None else (other,):
            self._part(partner)
            partner._part(self)

    def close(self) -> None:
        """Close the widget, and end its links."""
        self.unlink()
        super().close()

    def _check(self, other: object) -> None:
        if other is self or not isinstance(other, LinkedExplorer):
            what = "itself" if other is self else f"a {type(other).__name__}"
            raise ConfigError(f"An explorer cannot be linked with {what}: give another one from bench.explore.")

    def _join(self, other: LinkedExplorer) -> None:
        self._partners = (*self._partners, other)
        other.observe(self._follow, _FOLLOWED)
        self._follow()

    def _part(self, other: LinkedExplorer) -> None:
        if other not in self._partners:
            return
        self._partners = tuple(partner for partner in self._partners if partner is not other)
        other.unobserve(self._follow, _FOLLOWED)
        self._follow()

    def _follow(self, change: Any = None) -> None:
        ids = [node for other in self._partners for node in (*other.selected_ids, other.hovered_id) if node is not None]
        known = [node for node in dict.fromkeys(ids) if node in self._graph.row_of_node]
        self.publish(highlighted_ids=known)
