"""The atlas: what is known of every feature of a CLT, built from text in one pass, found fast."""

from workbench.features.atlas.atlas import Atlas
from workbench.features.atlas.build import build_atlas
from workbench.features.atlas.card import Card
from workbench.features.atlas.plan import AtlasPlan

__all__ = ["Atlas", "AtlasPlan", "Card", "build_atlas"]
