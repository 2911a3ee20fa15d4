"""What a session asks of features over many prompts: operand grids, clusters, the structure of the whole model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from workbench.features.atlas.owner import AtlasOwner

if TYPE_CHECKING:
    from workbench.features.clusters import FeatureClusters
    from workbench.features.operands import OperandGrids
    from workbench.features.structure import Structure


class FeatureOwner(AtlasOwner):
    """The part of a session that knows its features: the atlas, and what they do over sets of prompts."""

    def operands(
        self,
        *,
        template: str,
        a: Iterable[int],
        b: Iterable[int],
        role: str = "last",
        features: Sequence[tuple[int, int]] | None = None,
        **options: Any,
    ) -> OperandGrids:
        """Return features' activations over all pairs of operands of an arithmetic prompt.

        ::

            grids = bench.operands(template="{a} + {b} = ", a=range(100), b=range(100))
            grids.families()

        See :func:`workbench.features.operands.operand_grids`, whose options and errors these are.

        Args:
            role: at which token: ``a_first``, ``a_last``, ``b_first``, ``b_last``, ``last``, or a literal of the
                template such as ``"="``.
            features: (layer, index); by default all that are active often enough.
        """
        from workbench.features.operands import operand_grids

        return operand_grids(
            self.loaded, self.clt, template=template, a=a, b=b, role=role, features=features, **options
        )

    def clusters(self, prompts: Sequence[str], **options: Any) -> FeatureClusters:
        """Group the features that fire together over a set of prompts, with their stability and a control.

        See :func:`workbench.features.clusters.cluster_features`, whose options and errors these are.
        """
        from workbench.features.clusters import cluster_features

        return cluster_features(self.loaded, self.clt, prompts, **options)

    def structure(
        self, *, corpus: str | None = None, n_rows: int = 400, table: pd.DataFrame | None = None, **options: Any
    ) -> Structure:
        """Measure how features smear over positions and at which tokens they gather, over held-out text.

        ::

            structure = bench.structure(table=bench.atlas.table())
            structure.kinds(), structure.smear(), structure.classes()

        See :func:`workbench.features.structure.structure`, whose options and errors these are.

        Args:
            corpus: ``bundled``, text files, or another corpus that ``workbench train`` takes; by default the bundled
                one.
            n_rows: how many rows of 128 tokens, those that no CLT is trained on.
            table: the features' kinds, one row a feature with ``layer``, ``feature`` and ``kind``.
        """
        from workbench.corpus import resolve_corpus, token_batches
        from workbench.features.structure import structure

        batch_size = 8
        batches = token_batches(
            resolve_corpus(corpus or "bundled", model=self.loaded),
            self.loaded.tokenizer,
            batch_size=batch_size,
            start_token_id=self.loaded.start_token_id,
            n_rows=n_rows,
            split="held_out",
        )
        n_batches = -(-n_rows // batch_size)
        return structure(self.loaded, self.clt, batches, table=table, n_batches=n_batches, **options)
