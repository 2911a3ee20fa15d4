"""The model under study: a TransformerLens bridge with its tokenizer and its start token."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import ModelError
from workbench.models.fingerprint import fingerprint_of

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class LoadedModel:
    """A bridge, its tokenizer, and the facts that every part of the workbench needs to agree on.

    Attributes:
        name: the name or path that it was loaded by.
        bridge: the TransformerLens ``TransformerBridge`` around the unmodified Hugging Face weights.
        tokenizer: the Hugging Face tokenizer; its ``bos_token`` is the start token.
        start_token_id: the token at position 0 of every plain-text prompt.
        fingerprint: sha256 over the config and the names, shapes and bytes of the parameters.
        max_tokens: the longest prompt, start token included, that the model can read.
        lock: held while hooks are set on the bridge. Hooks are state of the bridge, and a notebook runs the callbacks
            of widgets on another thread: whoever sets hooks outside :func:`workbench.models.run_decoder` takes it too.
    """

    name: str
    bridge: TransformerBridge
    tokenizer: PreTrainedTokenizerBase
    start_token_id: int
    fingerprint: str
    max_tokens: int
    lock: threading.RLock = field(default_factory=threading.RLock, compare=False, repr=False)

    @property
    def n_layers(self) -> int:
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        return int(self.bridge.cfg.d_model)

    @property
    def d_vocab(self) -> int:
        return int(self.W_U.shape[-1])

    @cached_property
    def W_U(self) -> Float[Tensor, "d_model vocab"]:
        """The unembedding, as a view of the model's own weight."""
        return self.bridge.W_U.detach()

    @cached_property
    def W_U_mean(self) -> Float[Tensor, " d_model"]:
        """The mean unembedding vector, which logit targets are measured against."""
        return self.W_U.mean(dim=-1)

    @torch.no_grad()
    def logits(self, final: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        """Return the logits, before a soft cap, of the final norm's output."""
        return final @ self.W_U + self.bridge.b_U.detach()

    @torch.no_grad()
    def log_probabilities(self, logits: Float[Tensor, "... vocab"]) -> Float[Tensor, "... vocab"]:
        """Return log-probabilities, at least in float32, after the model's soft cap if it has one.

        Args:
            logits: before the soft cap.
        """
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        cap = getattr(self.bridge.cfg, "output_logits_soft_cap", None)
        if cap is not None and cap > 0:
            logits = cap * torch.tanh(logits / cap)
        return logits.log_softmax(dim=-1)

    @property
    def device(self) -> torch.device:
        return next(self.bridge.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.bridge.parameters()).dtype


def from_huggingface(
    hf_model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    name: str,
    start_token_id: int,
    fingerprint: str | None = None,
) -> LoadedModel:
    """Wrap a Hugging Face causal language model; the bridge replaces its submodules in place.

    Args:
        hf_model: loaded with ``attn_implementation="eager"``, so that attention patterns can be hooked.
        fingerprint: the fingerprint when it is already known (computing it reads every parameter).

    Raises:
        ModelError: TransformerLens has no adapter for this architecture.
    """
    from transformer_lens.model_bridge.sources import build_bridge_from_module, detect_tokenizer_bos_eos

    if fingerprint is None:
        fingerprint = fingerprint_of(hf_model)
    config: Any = hf_model.config
    text_config = config.get_text_config()
    architecture = type(hf_model).__name__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            bridge = build_bridge_from_module(hf_model, architecture, hf_config=config)
        except (ValueError, KeyError) as error:
            raise ModelError(
                f"TransformerLens cannot wrap {name!r} ({architecture}): {error}. "
                "Choose a model whose architecture it supports."
            ) from error
    bridge.eval()
    bridge.requires_grad_(False)
    # The start-token rule: what TransformerLens would prepend by itself must be what we prepend.
    tokenizer.bos_token = str(tokenizer.convert_ids_to_tokens(start_token_id))
    bridge.cfg.tokenizer_prepends_bos, _ = detect_tokenizer_bos_eos(tokenizer)
    bridge.tokenizer = tokenizer
    return LoadedModel(
        name=name,
        bridge=bridge,
        tokenizer=tokenizer,
        start_token_id=start_token_id,
        fingerprint=fingerprint,
        max_tokens=int(getattr(text_config, "max_position_embeddings", 0) or 2048),
    )
