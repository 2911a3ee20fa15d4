"""From text to token ids under the start-token rule."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.errors import PromptError
from workbench.models.loaded import LoadedModel

# What stands for a token id that nobody knows, as in a graph read from a file that leaves out a token node.
UNKNOWN_TOKEN = -1


def tokenize(
    model: LoadedModel, prompt: str, *, chat: bool = False, max_tokens: int | None = None
) -> Int[Tensor, " position"]:
    """Return the token ids of a prompt, the start token at position 0.

    Args:
        prompt: plain text, or with ``chat`` the user's turn, put through the model's chat template.
        max_tokens: a limit below the model's own.

    Raises:
        PromptError: the prompt is empty, too long, or a chat was asked of a model without a template.
    """
    if not prompt:
        raise PromptError("The prompt is empty: give at least one character of text.")
    if chat:
        if not getattr(model.tokenizer, "chat_template", None):
            raise PromptError(f"The model {model.name!r} has no chat template: leave out --chat.")
        ids = model.tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
        )
    else:
        ids = [model.start_token_id, *model.tokenizer.encode(prompt, add_special_tokens=False)]
    return checked_tokens(model, torch.tensor(ids, dtype=torch.long), max_tokens=max_tokens)


def checked_tokens(
    model: LoadedModel, token_ids: Int[Tensor, " position"], *, max_tokens: int | None = None
) -> Int[Tensor, " position"]:
    """Return token ids after checking that the model can read them.

    Args:
        max_tokens: a limit below the model's own.

    Raises:
        PromptError: there are none, too many, or one is unknown or out of range.
    """
    if token_ids.ndim != 1 or not len(token_ids):
        raise PromptError(f"The token ids have shape {tuple(token_ids.shape)}: give one row of at least one token.")
    limit = min(model.max_tokens, max_tokens or model.max_tokens)
    if len(token_ids) > limit:
        raise PromptError(
            f"The prompt has {len(token_ids)} tokens with its start token, but the limit is {limit}: shorten it."
        )
    if bool((token_ids == UNKNOWN_TOKEN).any()):
        at = int((token_ids == UNKNOWN_TOKEN).nonzero()[0])
        raise PromptError(
            f"The token id at position {at} is {UNKNOWN_TOKEN}, as in a graph imported from a file that does not tell "
            "it: give the prompt as text instead of the graph, or attribute it again."
        )
    low, high = int(token_ids.min()), int(token_ids.max())
    if low < 0 or high >= model.d_vocab:
        wrong = low if low < 0 else high
        raise PromptError(f"The token id {wrong} is out of range: {model.name!r} has ids 0 to {model.d_vocab - 1}.")
    return token_ids


def token_strings(model: LoadedModel, token_ids: Int[Tensor, " position"]) -> list[str]:
    """Return each token decoded by itself (a byte fragment becomes U+FFFD)."""
    return [str(model.tokenizer.decode([token])) for token in token_ids.tolist()]


def token_id(model: LoadedModel, text: str) -> int:
    """Return the id of a text that must be exactly one token.

    Raises:
        PromptError: the text is no single token of this model.
    """
    ids = model.tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        pieces = [model.tokenizer.decode([piece]) for piece in ids]
        raise PromptError(
            f"The target {text!r} is {len(ids)} tokens of {model.name!r} ({pieces}), not one: "
            "give a single token, with its leading space if it has one."
        )
    return int(ids[0])
