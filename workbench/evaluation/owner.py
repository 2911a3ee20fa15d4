"""What a session tests: a graph's predictions, and claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.interventions.owner import InterventionOwner

if TYPE_CHECKING:
    from workbench.attribution import Graph
    from workbench.evaluation.claims import Claim
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
