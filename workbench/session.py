"""The session: a model with its CLT, and everything that a notebook asks of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.attribution import Graph, attribute
from workbench.attribution.engine import DEFAULT_CAP
from workbench.clt import CLT, default_clt, load_clt
from workbench.features import promoted_tokens
from workbench.models import LoadedModel, load_model

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Session:
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

    def attribute(
        self,
        prompt: str | Int[Tensor, " position"],
        *,
        targets: Sequence[str | int] | None = None,
        chat: bool = False,
        cap: int | None = DEFAULT_CAP,
        progress: bool = True,
    ) -> Graph:
        """Return the attribution graph of a prompt's next token; see :func:`workbench.attribution.attribute`.

        Args:
            prompt: text, or token ids whose first is the start token.
            targets: tokens to explain; by default the most probable ones up to 95 %, at most ten.
            chat: put the prompt through the model's chat template.
            cap: the largest number of features in the graph; None for all.

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
            clt_name=self.clt_name,
            progress=progress,
        )

    def label(self, graph: Graph, *, k: int = 3) -> Graph:
        """Return the graph with each feature labelled by the k tokens that it promotes directly.

        Prune first: every labelled feature costs one product with the whole unembedding.
        """
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
        return graph.with_labels(cast("dict[str, str]", labels))


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
