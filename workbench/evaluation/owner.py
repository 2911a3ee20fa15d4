"""What a session tests: a graph's predictions, and claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxtyping import Int
from torch import Tensor

from workbench.errors import ConfigError
from workbench.interventions.owner import InterventionOwner

if TYPE_CHECKING:
    from workbench.attribution import Graph
    from workbench.evaluation.claims import Claim
    from workbench.evaluation.scrutiny import Scrutiny
    from workbench.evaluation.validation import Validation


class HypothesisOwner(InterventionOwner):
    """The part of a session that puts hypotheses to the test."""

    if TYPE_CHECKING:

        @property
        def clt_name(self) -> str: ...

    def validate(self, graph: Graph, **options: Any) -> Validation:
        """Test a graph's predictions on the model: ablations of its top nodes, opposites of its supernodes.

        ::

            result = bench.validate(graph)
            result.figures, result.supernodes
            result.plot()

        See :func:`workbench.evaluation.validation.validate`, whose options (``k``, ``n_supernodes``, ``n_controls``,
        ``seed``) and errors these are.

        Raises:
            ModelError, CLTError: the graph is of another model or CLT.
        """
        from workbench.evaluation.validation import validate

        return validate(self._clean(graph), graph, **options)

    def scrutinise(
        self,
        graph: Graph,
        *,
        variants: Path | str | None = None,
        corrupted: str | Int[Tensor, " position"] | None = None,
        probe: Mapping[str, Sequence[str | Int[Tensor, " position"]]] | None = None,
        chat: bool = False,
        **options: Any,
    ) -> Scrutiny:
        """Ask of a graph: is this the model, or only the method? One page, each line with its number and control.

        ::

            bench.scrutinise(graph, corrupted="When Mary and John went to the store, Mary gave a drink to")

        How the picture changes with another seed, sparsity or kind of transcoder is told once ``workbench variants``
        has trained some; without them the report says so. See :func:`workbench.evaluation.scrutiny.scrutinise`, whose
        options (``k``, ``n_features``, ``n_cells``, ``seed``) and errors these are.

        Args:
            graph: prune it or not; its prompt is run again.
            variants: the folder that ``workbench variants --out`` filled; by default the one in the user's cache.
            corrupted: a prompt of as many tokens that the model answers otherwise, for activation patching.
            probe: labels and their prompts, at least five each, for a linear probe; the label that the graph's prompt
                should have comes first.
            chat: put these prompts through the model's chat template.

        Raises:
            ModelError, CLTError: the graph is of another model or CLT, or a variant is of another model.
        """
        from workbench.clt import load_clt
        from workbench.clt.variants import find_variants, variants_folder
        from workbench.evaluation.scrutiny import scrutinise
        from workbench.evaluation.scrutiny.compare import Other

        clean = self._clean(graph)
        folder = variants_folder(self.clt_name) if variants is None else Path(variants)
        others = [
            Other(name, title, partial(load_clt, path, model=self.loaded))
            for name, (title, path) in find_variants(folder).items()
        ]
        out = "" if variants is None else f" --out {folder}"
        return scrutinise(
            clean,
            graph,
            variants=others,
            command=f"workbench variants {self.clt_name} --model {self.loaded.name}{out}",
            corrupted=None if corrupted is None else self._clean(corrupted, chat=chat),
            probe=None if probe is None else self._labelled_ids(probe, chat=chat),
            **options,
        )

    def _labelled_ids(
        self, examples: Mapping[str, Sequence[str | Int[Tensor, " position"]]], *, chat: bool
    ) -> dict[str, list[tuple[int, ...]]]:
        for label, prompts in examples.items():
            if isinstance(prompts, str):
                raise ConfigError(f"The probe's prompts under {label!r} are one text: give a list of prompts.")
        return {
            label: [self._token_ids(prompt, chat=chat) for prompt in prompts] for label, prompts in examples.items()
        }

    def claim(self, statement: str, **options: Any) -> Claim:
        """Test a claim beside matched controls, and add the result to the table that ``wb.claims()`` shows.

        ::

            bench.claim(
                "Ablating the Texas features moves the answer away from Austin",
                edits=[wb.SupernodeEdit.of(graph, "Texas", factor=0)],
                metric=wb.LogitDifference(" Austin", " Dallas"),
                expect="decrease",
                over=[graph],
            )

        See :func:`workbench.evaluation.claims.run_claim`, whose options (``edits``, ``metric``, ``expect``, ``over``,
        ``controls``, ``n``, ``margin``, ``mode``, ``seed``, ``notebook``, ``path``) and errors these are.
        """
        from workbench.evaluation.claims import run_claim

        return run_claim(self.loaded, self._clean, statement, clt_name=self.clt_name, **options)
