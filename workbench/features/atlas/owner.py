"""What a session has of its CLT's atlas."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.features.atlas.atlas import Atlas
from workbench.features.atlas.given_labels import GivenLabels
from workbench.features.atlas.shelf import AtlasBuild, Shelf

if TYPE_CHECKING:
    from workbench.clt import CLT
    from workbench.models import LoadedModel


class AtlasOwner:
    """The part of a session that opens and builds its atlas."""

    if TYPE_CHECKING:

        @property
        def loaded(self) -> LoadedModel: ...
        @property
        def clt(self) -> CLT: ...
        @property
        def clt_name(self) -> str: ...

    @property
    def atlas(self) -> Atlas:
        """What is known of every feature: cards, labels, search; see :class:`workbench.features.atlas.Atlas`.

        The full atlas from the cache; where there is none, the compact one beside the CLT, while the full one is built
        in the background (once a session; ``WORKBENCH_ATLAS_BUILD=0`` keeps it from that). A small one, which somebody
        asked for, serves as it is.

        Raises:
            AtlasError: there is none yet (the message says how far the build is), or it is damaged.
        """
        return self._shelf.open()

    @property
    def atlas_build(self) -> AtlasBuild | None:
        """The build in the background, if one was begun: how far it is, ``stop()``, ``wait()``."""
        return self._shelf.build

    def find_atlas(self) -> Atlas | None:
        """Return the atlas if there is a usable one, without building anything."""
        return self._shelf.find_usable()

    def existing_atlas(self) -> Atlas | None:
        """Return the atlas if there is one, without building anything.

        Raises:
            AtlasError: it is damaged, or of another model, CLT or version.
        """
        return self._shelf.find()

    @property
    def labels(self) -> GivenLabels:
        """The labels that people gave to features of this CLT, with or without an atlas; all explorers share them."""
        return self._shelf.labels

    def build_atlas(self, *, small: bool = False, **options: Any) -> AtlasBuild:
        """Begin to build the atlas in the background, or return the build at work; ``.wait()`` waits for it.

        Args:
            small: read 20,000 tokens only, two or three minutes on two cores. It serves where there is no other one.
            options: of :func:`workbench.features.atlas.build_atlas`, such as ``tokens`` and ``corpus``.
        """
        return self._shelf.start(small=small, **options)

    @cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.loaded, self.clt, self.clt_name)
