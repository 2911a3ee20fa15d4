"""The feature card inside of an explorer: a widget of its own, which shows the feature that was selected last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from workbench.errors import AtlasError, ConfigError
from workbench.features.atlas.given_labels import GivenLabels, Key
from workbench.widgets.explorer_state import ExplorerState
from workbench.widgets.feature_card import FeatureCard


class MakeCard(Protocol):
    """Returns a feature's card: ``into`` with that feature, or a new one."""

    def __call__(self, layer: int, feature: int, *, into: FeatureCard | None) -> FeatureCard: ...


class ExplorerCard:
    """Answers an explorer that asks for the card of a feature.

    Args:
        explorer: where the card stands; what is clicked in the card is selected there.
        make: makes the cards; None where there is nothing to make them from.
    """

    def __init__(self, explorer: ExplorerState, make: MakeCard | None) -> None:
        self._explorer, self._make = explorer, make
        self.widget: FeatureCard | None = None

    def answer(self, params: Mapping[str, Any]) -> str:
        """Return how the front end finds the card's widget.

        Raises:
            AtlasError: there is no atlas; the message says how to build one.
            ConfigError: there is no such feature.
        """
        if self._make is None:
            raise AtlasError("This explorer was made without a session: bench.explore(graph) shows cards.")
        try:
            layer, feature = int(params["layer"]), int(params["feature"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{dict(params)} names no feature: give layer and feature.") from None
        card = self._make(layer, feature, into=self.widget)
        if card is not self.widget:
            self.widget = card
            card.observe(self._go, "selected_feature")
        return f"anywidget:{card.model_id}"

    def relabelled(self, given: GivenLabels, changed: frozenset[Key]) -> None:
        """Show the label that was given to the card's feature elsewhere."""
        if self.widget is None:
            return
        key = self.widget.card["layer"], self.widget.card["feature"]
        text = given.human().get(key)
        if key in changed and text is not None and self.widget.label != text:
            self.widget.publish(label=text)

    def close(self) -> None:
        if self.widget is not None:
            self.widget.close()

    def _go(self, change: Mapping[str, Any]) -> None:
        """Select the neighbour that was clicked, where it is strongest; show its card if the graph does not have it."""
        if change["new"] is None or self._make is None:
            return
        layer, feature = change["new"]
        nodes = self._explorer.graph.nodes
        same = nodes[(nodes["kind"] == "feature") & (nodes["layer"] == layer) & (nodes["feature"] == feature)]
        if len(same):
            self._explorer.publish(selected_ids=[str(same.loc[same["activation"].idxmax(), "node_id"])])
        else:
            self._make(layer, feature, into=self.widget)
