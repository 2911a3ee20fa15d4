"""What one feature is: its label, when it fires, what it writes, what it is connected to."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypedDict

import traitlets

from workbench.errors import ConfigError
from workbench.widgets.kit import Widget
from workbench.widgets.kit.plain import plain_json, plain_text


class HasJson(Protocol):
    """A card as ``bench.atlas.card`` gives it."""

    def to_json(self) -> Mapping[str, Any]: ...


class Tried(TypedDict):
    """A text of the user's own: its tokens, and the feature's activation at each."""

    tokens: Sequence[str]
    activations: Sequence[float]


TryText: TypeAlias = Callable[[str], Tried]
Steer: TypeAlias = Callable[[str], Widget | None]

# What the card cannot do without; whatever else is missing is left out of it, as by a compact atlas.
_NEEDED = ("layer", "feature")
_LISTS = ("examples", "top_logits", "bottom_logits", "top_tokens", "upstream", "downstream")
_HISTOGRAMS = ("histogram", "positions")


class FeatureCard(Widget, bundle="feature-card"):
    """The card of a feature: label, density, activations, examples, logits, neighbours, and a text to try it on.

    ::

        card = wb.FeatureCard(bench.atlas.card(12, 311))
        card.label                  # follows the field at its top
        card.selected_feature       # (layer, feature) of the neighbour that was clicked, or None

    Args:
        card: what is known of the feature, or the mapping that its ``to_json`` gives. Parts that are missing are left
            out, except layer and feature.
        try_text: gives tokens and activations of a text; called on a thread of its own, the newest text first, so it
            must lock what it shares. Without it there is no field for a text.
        steer: called with the text in that field ("" while it is empty) when the button is pressed, on a thread of
            its own; a widget of the workbench that it returns, such as sliders, opens below the card. Without it
            there is no button.

    Attributes:
        card: what is shown.
        label: the label, as it stands in the field.
        selected_feature: layer and feature of the upstream or downstream feature that was clicked, or None.
        text: the text that was tried.
        tried: text, tokens and activations of the last text that could be computed, or {}.
        steering: the widget that ``steer`` returned, or None.

    Raises:
        ConfigError: the card is none, or a part of it cannot be shown.
    """

    card = traitlets.Dict().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    selected_feature: Any = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=None, allow_none=True).tag(
        sync=True
    )
    text = traitlets.Unicode().tag(sync=True)
    tried = traitlets.Dict().tag(sync=True)
    # As anywidget's `host.getWidget` wants it.
    steering: Any = traitlets.Instance(Widget, allow_none=True).tag(
        sync=True, to_json=lambda child, widget: child and f"anywidget:{child.model_id}"
    )
    can_try = traitlets.Bool().tag(sync=True)
    can_steer = traitlets.Bool().tag(sync=True)

    def __init__(
        self, card: HasJson | Mapping[str, Any], try_text: TryText | None = None, steer: Steer | None = None
    ) -> None:
        self._try_text, self._steer = try_text, steer
        shown = _checked_card(card)
        super().__init__(card=shown, label=shown["label"], can_try=try_text is not None, can_steer=steer is not None)

    def show(
        self, card: HasJson | Mapping[str, Any], try_text: TryText | None = None, steer: Steer | None = None
    ) -> None:
        """Show another feature in the same cell, for example the one that was clicked.

        Raises:
            ConfigError: the card is none, or a part of it cannot be shown.
        """
        shown = _checked_card(card)
        with self.state_lock:
            self._try_text, self._steer = try_text, steer
            self.publish(
                card=shown,
                label=shown["label"],
                selected_feature=None,
                tried={},
                steering=None,
                can_try=try_text is not None,
                can_steer=steer is not None,
            )

    def methods(self) -> Mapping[str, Any]:
        return {"try_text": self._answer_try, "steer": self._answer_steer}

    def _answer_try(self, params: Mapping[str, Any]) -> None:
        card, try_text = self.card, self._try_text
        text = str(params.get("text", ""))
        if try_text is None:
            raise ConfigError("This card cannot try a text: give it try_text.")
        tried = _checked_tried(try_text(text))
        with self.state_lock:
            # Of a feature that is no longer shown the activations would be wrong.
            if self.card is card:
                self.publish(tried={"text": plain_text(text), **tried})

    def _answer_steer(self, params: Mapping[str, Any]) -> None:
        card, steer = self.card, self._steer
        if steer is None:
            raise ConfigError("This card cannot steer its feature: give it steer.")
        opened = steer(str(params.get("text", "")))
        with self.state_lock:
            if isinstance(opened, Widget) and self.card is card:
                self.publish(steering=opened)


def _checked_card(card: Any) -> dict[str, Any]:
    """Return a card as JSON can carry it."""
    given = card.to_json() if hasattr(card, "to_json") else card
    if not isinstance(given, Mapping):
        raise ConfigError(f"The card is a {type(card).__name__}: give one from an atlas, or a mapping.")
    missing = [name for name in _NEEDED if given.get(name) is None]
    if missing:
        raise ConfigError(f"The card has no {' and no '.join(missing)}: give one from an atlas.")
    try:
        shown: dict[str, Any] = plain_json(given)
    except TypeError as error:
        raise ConfigError(f"The card cannot be shown: {error}") from None
    name = f"{shown['layer']}/{shown['feature']}"
    for part in _LISTS:
        if not isinstance(shown.setdefault(part, []), list):
            raise ConfigError(f"The card of feature {name} has no list as {part}: build the atlas anew.")
    for part in _HISTOGRAMS:
        histogram = shown.setdefault(part, {"edges": [], "counts": []})
        edges, counts = (histogram.get(key) for key in ("edges", "counts"))
        if not (isinstance(edges, list) and isinstance(counts, list) and len(edges) in (0, len(counts) + 1)):
            raise ConfigError(f"The card of feature {name} needs one edge more than counts as {part}.")
    for number, example in enumerate(shown["examples"]):
        if len(example.get("tokens", ())) != len(example.get("activations", ())):
            raise ConfigError(f"Example {number} of feature {name} has not one activation a token.")
    return {**shown, "label": str(shown.get("label") or "")}


def _checked_tried(tried: Any) -> dict[str, Any]:
    if not isinstance(tried, Mapping) or not {"tokens", "activations"} <= tried.keys():
        raise ConfigError("try_text must return a mapping with tokens and activations.")
    tokens = [plain_text(str(token)) for token in tried["tokens"]]
    activations = list(tried["activations"])
    if len(tokens) != len(activations):
        raise ConfigError(f"try_text returned {len(tokens)} tokens and {len(activations)} activations: one each.")
    if not all(isinstance(value, numbers.Real) and math.isfinite(value) for value in activations):
        raise ConfigError("try_text returned activations that are not finite numbers.")
    return {"tokens": tokens, "activations": [float(value) for value in activations]}
