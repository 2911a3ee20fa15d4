"""Text that the model itself writes: on its distribution by definition."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.corpus.tokens import special_token_ids
from workbench.errors import ConfigError
from workbench.models import LoadedModel


@dataclass(frozen=True)
class SampledCorpus:
    """Documents sampled from a model at temperature 1, from the start token on.

    Attributes:
        n_rows: how many rows one pass samples; each gives at least one document.
        n_tokens: the length of a row in tokens.
        batch_size: rows that are sampled together; another batch size gives other documents.
    """

    model: LoadedModel
    n_rows: int = 1000
    n_tokens: int = 128
    batch_size: int = 32

    @property
    def name(self) -> str:
        return f"sampled:{self.model.name}"

    def documents(self, *, seed: int | None = 0) -> Iterator[str]:
        start = torch.full((1, 1), self.model.start_token_id)
        for first in range(0, self.n_rows, self.batch_size):
            n = min(self.batch_size, self.n_rows - first)
            # A seed for each batch, so that a longer corpus begins like a shorter one.
            batch_seed = (seed or 0) * 100_003 + first
            rows = sample_rows(self.model, start.expand(n, 1), n_tokens=self.n_tokens, seed=batch_seed)
            yield from decode_rows(self.model.tokenizer, rows)


def sampled(
    model: LoadedModel, *, n_rows: int = 1000, n_tokens: int | None = None, batch_size: int = 32
) -> SampledCorpus:
    """Return a corpus that the model writes while it is read.

    Args:
        n_tokens: the length of a row in tokens; by default 128, or what a smaller context can hold.

    Raises:
        ConfigError: a number is not positive, or a row is longer than the model's context.
    """
    if n_tokens is None:
        n_tokens = min(128, model.max_tokens - 1)
    if min(n_rows, n_tokens, batch_size) < 1:
        raise ConfigError("n_rows, n_tokens and batch_size of a sampled corpus must be at least 1.")
    if n_tokens >= model.max_tokens:
        raise ConfigError(
            f"Rows of {n_tokens} tokens are too long for {model.name!r}: ask for fewer than {model.max_tokens}."
        )
    return SampledCorpus(model, n_rows, n_tokens, batch_size)


@torch.no_grad()
def sample_rows(
    model: LoadedModel,
    prompts: Int[Tensor, "batch position"],
    *,
    n_tokens: int,
    seed: int,
    progress: bool = False,
) -> Int[Tensor, "batch longer"]:
    """Continue token rows by ``n_tokens`` sampled at temperature 1, with the KV cache; no row stops early.

    The generator of the sampling is its own, so the caller's random state is left alone.
    """
    hf_model: Any = model.bridge.original_model
    generator = torch.Generator(device=model.device).manual_seed(seed)
    rows = prompts.to(model.device)
    step = rows
    cache: Any = None
    for _ in tqdm(range(n_tokens), desc="sampling", unit="token", disable=not progress):
        output = hf_model(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        probabilities = output.logits[:, -1].float().softmax(-1)
        step = torch.multinomial(probabilities, 1, generator=generator)
        rows = torch.cat([rows, step], dim=1)
    return rows.cpu()


def decode_rows(tokenizer: Any, rows: Int[Tensor, "batch position"]) -> list[str]:
    """Return the documents of sampled rows; control tokens (end of text among them) separate documents.

    What a model writes after an end-of-text token is a new document, so it is kept as one.
    """
    special = special_token_ids(tokenizer)
    texts = []
    for row in rows.tolist():
        document: list[int] = []
        for token in [*row, None]:
            if token is None or token in special:
                texts.append(tokenizer.decode(document))
                document = []
            else:
                document.append(token)
    # A row that is cut in the middle of a character ends with U+FFFD, which the model never wrote.
    return [text.rstrip("\ufffd") for text in texts if text.strip()]
