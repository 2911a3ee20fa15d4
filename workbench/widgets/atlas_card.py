"""The card of a feature with an atlas, a model and sliders behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd
import torch
from torch import Tensor

from workbench.attribution import Graph
from workbench.errors import ConfigError
from workbench.features.atlas import Atlas
from workbench.features.atlas.encode import encode
from workbench.features.atlas.shelf import AtlasBuild
from workbench.widgets.feature_card import FeatureCard, Tried
from workbench.widgets.intervention_sliders import InterventionSliders


class _Attribute(Protocol):
    def __call__(self, prompt: str | Tensor, *, cap: int | None, progress: bool) -> Graph: ...


class _Sliders(Protocol):
    def __call__(self, graph: Graph, *, nodes: pd.DataFrame) -> InterventionSliders: ...


class _Session(Protocol):
    @property
    def attribute(self) -> _Attribute: ...
    @property
    def sliders(self) -> _Sliders: ...
    @property
    def atlas_build(self) -> AtlasBuild | None: ...
    def existing_atlas(self) -> Atlas | None: ...
    def build_atlas(self, *, small: bool) -> AtlasBuild: ...


class AtlasCards:
    """What an explorer makes cards from: the atlas of a session, or a small one that is built when it is asked for."""

    def __init__(self, session: _Session) -> None:
        self._session = session

    def card(self, layer: int, feature: int, *, into: FeatureCard | None) -> FeatureCard | None:
        """Return a card from the atlas that there is; None where there is none.

        Raises:
            AtlasError: the atlas is damaged; another one would not be found beside it.
            ConfigError: there is no such feature.
        """
        atlas, session = self._session.existing_atlas(), self._session
        if atlas is None:
            return None
        return atlas_card(atlas, layer, feature, attribute=session.attribute, sliders=session.sliders, into=into)

    @property
    def build(self) -> AtlasBuild | None:
        """The session's build, if one was begun."""
        return self._session.atlas_build

    def begin(self) -> AtlasBuild:
        """Begin to build a small atlas, or return the build at work."""
        return self._session.build_atlas(small=True)


def atlas_card(
    atlas: Atlas,
    layer: int,
    feature: int,
    *,
    attribute: _Attribute,
    sliders: _Sliders,
    into: FeatureCard | None = None,
) -> FeatureCard:
    """Return a feature's card as a widget: what the atlas knows, a text to try it on, sliders to steer it.

    A label that is written into the card is kept by the atlas, see :meth:`workbench.features.atlas.Atlas.set_label`.
    Sliders open on the text that was tried, or on the strongest example up to the token that the feature fires on.

    Args:
        attribute: as the session's.
        sliders: as the session's.
        into: a card that this function returned, which then shows this feature.

    Raises:
        ConfigError: there is no such feature.
    """
    card = atlas.card(layer, feature)

    def steer(text: str) -> InterventionSliders:
        graph = attribute(text or _strongest_example(atlas, layer, feature), cap=None, progress=False)
        nodes = graph.nodes
        nodes = nodes[(nodes["kind"] == "feature") & (nodes["layer"] == layer) & (nodes["feature"] == feature)]
        if not len(nodes):
            raise ConfigError(f"The feature {layer}/{feature} does not fire on this text: try another one.")
        return sliders(graph, nodes=nodes)

    def keep_label(change: Mapping[str, Any]) -> None:
        shown = widget.card
        # Another feature that is shown in the same cell brings its own label with it.
        if change["new"] != shown["label"]:
            atlas.set_label(shown["layer"], shown["feature"], change["new"].strip() or None)

    def try_text(text: str) -> Tried:
        return atlas.activations(text, layer, feature)

    if into is not None:
        into.show(card, try_text=try_text, steer=steer)
        return into
    widget = FeatureCard(card, try_text=try_text, steer=steer)
    widget.observe(keep_label, "label")
    return widget


def _strongest_example(atlas: Atlas, layer: int, feature: int) -> Tensor:
    """Return the strongest example on which the feature still fires, cut as it is from its text."""
    examples = atlas.card(layer, feature).examples
    if not examples:
        raise ConfigError("This feature never fired on the atlas's text: give a text to steer it on.")
    start = atlas.model.start_token_id
    for example in examples:
        ids = example["token_ids"][: example["peak"] + 1]
        # What was cut in the middle of a row gets a start token, as every prompt has one.
        tokens = torch.tensor(ids if ids[0] == start else [start, *ids])
        if (encode(atlas.model, atlas.clt, tokens[None].numpy()).layers[layer].feature == feature).any():
            return tokens
    raise ConfigError("Without what stood before them this feature fires on none of its examples: give a text.")
