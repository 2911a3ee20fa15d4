"""What a session does with edits besides a single intervention: clean runs, and generation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.attribution import Graph
from workbench.errors import CLTError, ModelError
from workbench.interventions.clean import CleanRun
from workbench.models import checked_tokens, tokenize

if TYPE_CHECKING:
    from workbench.clt import CLT
    from workbench.interventions.edits import AnyEdit
    from workbench.interventions.generation import Generating, Generation
    from workbench.models import LoadedModel

# How many of a graph's features are compared with what this CLT makes of its prompt, and how closely.
_CHECKED, _TOLERANCE = 8, 0.02


class InterventionOwner:
    """The part of a session that runs prompts and goes on with them."""

    if TYPE_CHECKING:

        @property
        def loaded(self) -> LoadedModel: ...
        @property
        def clt(self) -> CLT: ...

    def generate(
        self, prompt: str | Int[Tensor, " position"] | Graph, edits: Iterable[AnyEdit] = (), **options: Any
    ) -> Generation:
        """Let the model go on with a prompt, clean and steered side by side.

        ::

            steer = [wb.Edit.everywhere(12, 311, add=4)]
            bench.generate("The weather today is", steer, max_new_tokens=20).side_by_side

        See :func:`workbench.interventions.generation.generate`, and for the options (``max_new_tokens``, ``mode``,
        ``temperature``, ``top_k``, ``top_p``, ``seed``, ``chat``, ``compare``, ``on_token``) and the errors
        :class:`workbench.interventions.generation.Generating`.

        Args:
            prompt: text, token ids whose first is the start token, or a graph, whose prompt is meant.
            edits: what to change; those without an end follow the new tokens.
        """
        from workbench.interventions.generation import generate

        return generate(self.loaded, self.clt, self._ids_or_text(prompt), edits, **options)

    def stream(
        self, prompt: str | Int[Tensor, " position"] | Graph, edits: Iterable[AnyEdit] = (), **options: Any
    ) -> Generating:
        """Return the same as an iterator over tokens, with ``cancel()`` and ``result``.

        See :class:`workbench.interventions.generation.Generating`.
        """
        from workbench.interventions.generation import Generating

        return Generating(self.loaded, self.clt, self._ids_or_text(prompt), edits, **options)

    def _ids_or_text(self, prompt: str | Int[Tensor, " position"] | Graph) -> str | Int[Tensor, " position"]:
        return self._clean(prompt).tokens if isinstance(prompt, Graph) else prompt

    def _clean(self, prompt: str | Int[Tensor, " position"] | Graph, *, chat: bool = False) -> CleanRun:
        """Return the clean run of a prompt; that of a graph is checked against the graph."""
        clean = self._clean_run(self._token_ids(prompt, chat=chat))
        if isinstance(prompt, Graph):
            check_graph(clean, prompt)
        return clean

    @cached_property
    def _clean_run(self) -> Callable[[tuple[int, ...]], CleanRun]:
        # One pass a prompt, however many edits are tried on it; a few prompts at a time are compared with each other.
        return lru_cache(maxsize=4)(lambda ids: CleanRun.of(self.loaded, self.clt, torch.tensor(ids)))

    def _token_ids(self, prompt: str | Int[Tensor, " position"] | Graph, *, chat: bool = False) -> tuple[int, ...]:
        if isinstance(prompt, Graph):
            if prompt.info.get("fingerprint", self.loaded.fingerprint) != self.loaded.fingerprint:
                raise ModelError(
                    f"The graph is of the model {prompt.info.get('model')!r}, but this session has "
                    f"{self.loaded.name!r} open: open the graph's model, or attribute the prompt here."
                )
            return tuple(checked_tokens(self.loaded, torch.tensor(prompt.token_ids)).tolist())
        if isinstance(prompt, str):
            prompt = tokenize(self.loaded, prompt, chat=chat)
        return tuple(checked_tokens(self.loaded, prompt).tolist())


def check_graph(clean: CleanRun, graph: Graph) -> None:
    """Check that a graph's features are as active as this CLT makes them on the graph's prompt.

    Raises:
        CLTError: they are not: the graph was made with another CLT, or its tokens were changed.
    """
    features = graph.nodes[(graph.nodes["kind"] == "feature") & graph.nodes["activation"].notna()]
    row: Any
    for row in features.nlargest(_CHECKED, "influence").itertuples():
        there = row.layer < clean.clt.n_layers and row.feature < clean.clt.n_features
        found = clean.activation(int(row.layer), int(row.feature), int(row.position)) if there else 0.0
        if abs(found - row.activation) > _TOLERANCE * max(abs(found), abs(row.activation)):
            raise CLTError(
                f"The graph's {row.node_id} has the activation {row.activation:.4g}, but {found:.4g} with this "
                "session's CLT on its prompt: open the CLT that the graph was made with, or attribute the prompt again."
            )
