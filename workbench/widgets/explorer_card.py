"""The feature card inside of an explorer: a widget of its own, which shows the feature that was selected last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from workbench.errors import AtlasError, ConfigError
from workbench.features.atlas.given_labels import GivenLabels, Key
from workbench.features.atlas.shelf import AtlasBuild
from workbench.widgets.explorer_state import ExplorerState
from workbench.widgets.feature_card import FeatureCard


class Cards(Protocol):
    """Where an explorer gets cards from."""

    def card(self, layer: int, feature: int, *, into: FeatureCard | None) -> FeatureCard | None:
        """Return a feature's card: ``into`` with that feature, or a new one; None where nothing is known of it yet."""

    @property
    def build(self) -> AtlasBuild | None:
        """The build of an atlas that cards can be made from, if one was begun."""

    def begin(self) -> AtlasBuild:
        """Begin to build one, or return the build at work."""


class ExplorerCard:
    """Answers an explorer that asks for the card of a feature.

    Args:
        explorer: where the card stands; what is clicked in the card is selected there.
        cards: makes the cards; None where there is nothing to make them from.
    """

    def __init__(self, explorer: ExplorerState, cards: Cards | None) -> None:
        self._explorer, self._cards = explorer, cards
        self.widget: FeatureCard | None = None

    def answer(self, params: Mapping[str, Any]) -> str | dict[str, Any]:
        """Return how the front end finds the card's widget, or how far the build is that the card waits for.

        Args:
            params: ``layer`` and ``feature``; ``atlas``: ``"begin"`` to build what there is not yet, ``"stop"`` to
                end that.

        Raises:
            AtlasError: this explorer cannot make cards, or the atlas could not be built.
            ConfigError: there is no such feature.
        """
        cards = self._made_from()
        try:
            layer, feature = int(params["layer"]), int(params["feature"])
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{dict(params)} names no feature: give layer and feature.") from None
        card = cards.card(layer, feature, into=self.widget)
        if card is None:
            return _progress(cards, str(params.get("atlas", "")))
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
        if change["new"] is None:
            return
        layer, feature = change["new"]
        nodes = self._explorer.graph.nodes
        same = nodes[(nodes["kind"] == "feature") & (nodes["layer"] == layer) & (nodes["feature"] == feature)]
        if len(same):
            self._explorer.publish(selected_ids=[str(same.loc[same["activation"].idxmax(), "node_id"])])
        else:
            self._made_from().card(layer, feature, into=self.widget)

    def _made_from(self) -> Cards:
        if self._cards is None:
            raise AtlasError("This explorer was made without a session: bench.explore(graph) shows cards.")
        return self._cards


def _progress(cards: Cards, wish: str) -> dict[str, Any]:
    """Begin or stop a build, if that is wished; return ``stage``, ``done`` (0 to 1) and ``seconds_left``."""
    build = cards.begin() if wish == "begin" else cards.build
    if build is None:
        return {"stage": "none"}
    if wish == "stop":
        build.stop(wait=10)
    if build.error is not None:
        raise AtlasError(f"The cards could not be computed: {build.error}")
    return {"stage": build.stage, "done": build.done, "seconds_left": build.seconds_left}
