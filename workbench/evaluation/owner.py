"""What a session tests: a graph's predictions, and claims."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workbench.interventions.owner import InterventionOwner

if TYPE_CHECKING:
    from workbench.attribution import Graph
    from workbench.evaluation.validation import Validation


class HypothesisOwner(InterventionOwner):
    """The part of a session that puts hypotheses to the test."""

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
