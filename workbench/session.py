"""The session: a model with its CLT, and everything that a notebook asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor

from workbench.attribution import Graph, Target, attribute
from workbench.attribution.contrast import Contrast, contrast, nearly_active
from workbench.attribution.engine import DEFAULT_CAP
from workbench.attribution.heads import Order, heads
from workbench.attribution.supernodes import suggest_supernodes
from workbench.clt import CLT, default_clt, load_clt
from workbench.evaluation.controls import matched_controls
from workbench.evaluation.owner import HypothesisOwner
from workbench.features import promoted_tokens
from workbench.features.owner import FeatureOwner
from workbench.interventions import AnyEdit, Intervention, Mode
from workbench.models import LoadedModel, load_model
from workbench.widgets import FeatureCard, GenerationView, GraphExplorer, InterventionSliders
from workbench.widgets.atlas_card import AtlasCards, atlas_card
from workbench.widgets.explorer_atlas import densities
from workbench.widgets.explorer_labels import SharedLabels
from workbench.widgets.generation_view import Settings
from workbench.widgets.sliders_rows import Supernodes

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Session(FeatureOwner, HypothesisOwner):
    """A model with its CLT.

    Attributes:
        loaded: the model, its tokenizer and its start token.
        clt: the cross-layer transcoder that stands in for the MLPs.
        clt_name: the name or folder that the CLT was loaded by.
    """

    loaded: LoadedModel
    clt: CLT
    clt_name: str

    @property
    def model(self) -> TransformerBridge:
        """The model under study, a TransformerLens bridge."""
        return self.loaded.bridge

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.loaded.tokenizer

    def feature_card(self, layer: int, feature: int) -> FeatureCard:
        """Return a feature's card as a widget; see :func:`workbench.widgets.atlas_card.atlas_card`.

        Raises:
            AtlasError: there is no atlas yet.
            ConfigError: there is no such feature.
        """
        return atlas_card(self.atlas, layer, feature, attribute=self.attribute, sliders=self.sliders)

    def attribute(
        self,
        prompt: str | Int[Tensor, " position"],
        *,
        targets: Sequence[Target] | None = None,
        chat: bool = False,
        cap: int | None = DEFAULT_CAP,
        precision: torch.dtype = torch.float32,
        progress: bool = True,
    ) -> Graph:
        """Return the attribution graph of a prompt's next token; see :func:`workbench.attribution.attribute`.

        Args:
            prompt: text, or token ids whose first is the start token.
            targets: what to explain: tokens, or any of :mod:`workbench.attribution.targets`, for instance
                ``[wb.DifferenceTarget(" Mary", " John")]``; by default the most probable tokens (95 %, ten at most).
            chat: put the prompt through the model's chat template.
            cap: the largest number of features in the graph; None for all.
            precision: ``torch.bfloat16`` for faster, rounded products where the processor has them.

        Raises:
            PromptError: the prompt is empty or too long, or a target cannot be used.
            ResourceError: memory will not suffice.
        """
        return attribute(
            self.loaded,
            self.clt,
            prompt,
            targets=targets,
            chat=chat,
            cap=cap,
            precision=precision,
            clt_name=self.clt_name,
            progress=progress,
        )

    def heads(self, graph: Graph, source: str, target: str | Target, *, by: Order = "last") -> pd.DataFrame:
        """Split an edge by the attention heads that carry it; see :func:`workbench.attribution.heads.heads`.

        Args:
            source: the id of the node where the edge begins.
            target: the id of the feature or output where it ends.
            by: whether a path through several heads counts for the last or the first of them.

        Returns:
            One row a head (and one for the residual stream), summing to the edge's weight.

        Raises:
            ConfigError: a node is unknown or has no such edge.
            ModelError, CLTError: the graph is of another model or CLT.
        """
        return heads(self.loaded, self.clt, graph, source, target, by=by)

    def contrast(self, prompt: str, other: str, **options: Any) -> Contrast:
        """Explain why features that are active on one prompt are inactive on another.

        A graph shows active features alone; this shows what suppressed the others. See
        :func:`workbench.attribution.contrast.contrast`, whose options these are.
        """
        return contrast(self.loaded, self.clt, prompt, other, clt_name=self.clt_name, **options)

    def nearly_active(self, prompt: str, **options: Any) -> pd.DataFrame:
        """Return the inactive features of a prompt that are close to their threshold, the closest first.

        See :func:`workbench.attribution.contrast.nearly_active`, whose options these are.
        """
        return nearly_active(self.loaded, self.clt, prompt, **options)

    def suggest_supernodes(self, graph: Graph, **options: Any) -> dict[str, list[str]]:
        """Return groups of features that seem to play the same part: name → node ids.

        See :func:`workbench.attribution.supernodes.suggest_supernodes`, whose options these are::

            graph = graph.with_supernodes(bench.suggest_supernodes(graph))
        """
        return suggest_supernodes(graph, clt=self.clt, **options)

    def label(self, graph: Graph, *, k: int = 3) -> Graph:
        """Return the graph with each feature's label of the atlas, or else with the k tokens that it promotes.

        Labels that people gave to features of this CLT go before both. Without an atlas prune first: every labelled
        feature then costs one product with the whole unembedding.
        """
        return self._labelled(graph, k=k)

    def _labelled(self, graph: Graph, *, k: int = 3, human: bool = True) -> Graph:
        atlas = self.find_atlas()
        if atlas is not None:
            return atlas.label_graph(graph, human=human)
        features = graph.nodes[graph.nodes["kind"] == "feature"]
        # The same feature may fire at several positions; its label is computed once.
        pairs = features[["layer", "feature"]].drop_duplicates()
        promoted = promoted_tokens(
            self.loaded,
            self.clt,
            torch.tensor(pairs["layer"].to_numpy(), dtype=torch.long),
            torch.tensor(pairs["feature"].to_numpy(), dtype=torch.long),
            k=k,
        )
        by_pair = dict(zip(pairs.itertuples(index=False, name=None), promoted, strict=True))
        labels = {
            row.node_id: "→ " + " ".join(repr(token) for token in by_pair[row.layer, row.feature])
            for row in features.itertuples()
        }
        given = SharedLabels(self.labels, graph).names() if human else {}
        return graph.with_labels({**cast("dict[str, str]", labels), **given})

    def explore(self, graph: Graph, **options: Any) -> GraphExplorer:
        """Return the graph as a widget; see :class:`workbench.widgets.GraphExplorer`.

        A graph that has not been pruned is pruned with the usual thresholds (0.8 of the nodes' influence, 0.98 of
        the edges'), and features without a label get the tokens that they promote::

            explorer = bench.explore(graph)
            explorer                        # the last line of a cell shows it
            explorer.selected               # what was clicked, as a DataFrame
            bench.explore(graph, other=bench.attribute("..."), view="diff")     # beside another prompt's

        Args:
            options: what :class:`GraphExplorer` takes besides the graph. With ``other``, the graphs are compared
                before they are pruned: what pruning cuts off is then known, not missing.
        """
        if isinstance(options.get("other"), Graph):
            options["other"] = graph.difference(options["other"])
        if "node_threshold" not in graph.info:
            graph = graph.prune()
        if not _has_labels(graph.nodes):
            # Labels of people the explorer has by itself: when one is taken away, the other one is there again.
            graph = self._labelled(graph, human=False)
        atlas = self.find_atlas()
        if atlas is not None and "density" not in options:
            options["density"] = densities(atlas)
        return GraphExplorer(graph, **{"clt": self.clt, "given": self.labels, "cards": AtlasCards(self), **options})

    def intervene(
        self,
        prompt: str | Int[Tensor, " position"] | Graph,
        edits: Iterable[AnyEdit],
        *,
        mode: Mode = "propagated",
        until: int | None = None,
        freeze_attention: bool = False,
        chat: bool = False,
        k: int = 10,
    ) -> Intervention:
        """Change feature activations and return what follows for the next token.

        ::

            bench.intervene(graph, [wb.Edit(layer=12, feature=311, position=-1, factor=0)]).tokens

        See :func:`workbench.interventions.intervene` for what the modes show.

        Args:
            prompt: text, token ids whose first is the start token, or a graph, whose prompt is meant.
            edits: what to change.
            mode: ``"propagated"`` (nothing is held), ``"direct"`` (the graph's own edges) or ``"constrained"``.
            until: the last layer that is held, for ``"constrained"`` only.
            freeze_attention: hold the attention patterns at their clean values.
            chat: put the text through the model's chat template.
            k: how many of the most probable tokens enter the table ``tokens``.

        Raises:
            InterventionError: an edit cannot be applied to this prompt, or ``mode`` and ``until`` do not fit.
            PromptError: the prompt is empty or too long.
            ModelError, CLTError: the graph is of another model or CLT.
        """
        clean = self._clean(prompt, chat=chat)
        return clean.intervene(edits, mode=mode, until=until, freeze_attention=freeze_attention, k=k)

    def sliders(
        self,
        graph: Graph,
        *,
        nodes: pd.DataFrame | Sequence[str] | None = None,
        supernodes: Supernodes = (),
        mode: str = "propagated",
        values: Mapping[str, float] | None = None,
        k: int = 10,
    ) -> InterventionSliders:
        """Return one slider for each feature node and supernode, and the next token's probabilities beside them.

        ::

            bench.sliders(graph, nodes=explorer.selected, supernodes=explorer.supernodes)

        Args:
            graph: the graph whose prompt is run; others of its nodes can be added in the widget.
            nodes: rows of ``graph.nodes``, as ``explorer.selected`` gives them, or node ids. Features alone have
                an activation to scale: other nodes among them are left out.
            supernodes: name → node ids, ``explorer.supernodes``, or names of supernodes that the graph has. All
                members of one move together, each relative to its own activation.
            mode: ``"propagated"`` or ``"direct"``.
            values: node id, or ``s/`` and a supernode's name → factor to begin with; 1 for the others.
            k: how many tokens to show.

        Raises:
            ConfigError: there is no feature among the nodes, an id is unknown, or a value cannot be used.
            ModelError: the graph is of another model.
        """
        atlas = self.find_atlas()
        if atlas is not None and not _has_labels(graph.nodes):
            graph = atlas.label_graph(graph)
            if isinstance(nodes, pd.DataFrame) and not _has_labels(nodes):
                nodes = nodes["node_id"].astype(str).tolist()
        if nodes is not None and not isinstance(nodes, pd.DataFrame):
            nodes = graph.select(nodes)
        if nodes is not None:
            is_feature = nodes["kind"] == "feature"
            if is_feature.any() or supernodes:
                nodes = nodes[is_feature]
        clean = self._clean(graph)
        return InterventionSliders(
            nodes,
            lambda edits, mode: clean.intervene(edits, mode=cast("Mode", mode), k=k),
            prompt=graph.prompt,
            supernodes=supernodes,
            control=lambda edits, seed: matched_controls(clean, edits, 1, seed=seed)[0],
            catalogue=graph.nodes,
            mode=mode,
            values=values,
            k=k,
        )

    def steer(
        self,
        prompt: str | Int[Tensor, " position"] | Graph,
        edits: Iterable[AnyEdit] = (),
        *,
        max_new_tokens: int = 20,
        temperature: float = 0.0,
        seed: int = 0,
        chat: bool = False,
        **options: Any,
    ) -> GenerationView:
        """Let the model go on with a prompt, and return a widget that shows the clean and the steered text growing.

        ::

            view = bench.steer("The weather today is", [wb.Edit.everywhere(12, 311, add=4)])
            view                        # the last line of a cell shows it
            view.side_by_side           # what there is, as a DataFrame

        :meth:`generate` and :meth:`stream` do the same without a widget.

        Args:
            prompt: text, token ids whose first is the start token, or a graph, whose prompt is meant.
            edits: what to change; those without an end follow the new tokens.
            max_new_tokens, temperature, seed: as in :class:`workbench.interventions.generation.Generating`; they can
                be changed in the widget.
            chat: put the text through the model's chat template.
            options: the others of :class:`workbench.interventions.generation.Generating`.

        Raises:
            InterventionError: an edit cannot be applied to this prompt, or ``mode`` and ``until`` do not fit.
            ConfigError: a number cannot be used.
            PromptError: the prompt is empty, or too long with the new tokens.
        """
        # Once more with another seed: an iterator would be empty by then.
        kept = list(edits) if isinstance(edits, Iterator) else edits
        return GenerationView(
            lambda settings: self.stream(prompt, kept, chat=chat, **settings._asdict(), **options),
            settings=Settings(seed, temperature, max_new_tokens),
            chat=chat,
        )


def open(
    model: str,
    *,
    clt: str | None = None,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> Session:
    """Open a session.

    Args:
        model: a named model (``workbench models`` lists them), a hub name, or a local folder.
        clt: a CLT's name or folder; by default the one that bears the model's name.

    Raises:
        ModelError: the model is unknown or its weights are not here.
        CLTError: there is no such CLT, or it was trained on another model.
    """
    loaded = load_model(model, dtype=dtype, device=device)
    source = default_clt(model) if clt is None else clt
    return Session(loaded=loaded, clt=load_clt(source, model=loaded), clt_name=clt or model)


def _has_labels(nodes: pd.DataFrame) -> bool:
    """Return whether any feature among the nodes has a label, or there is no feature to label."""
    labels = nodes.loc[nodes["kind"] == "feature", "label"]
    return not len(labels) or bool((labels != "").any())
