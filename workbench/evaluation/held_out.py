"""The held-out text that a CLT is evaluated on."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.corpus import Corpus, token_rows
from workbench.errors import ConfigError
from workbench.models import LoadedModel

DEFAULT_TOKENS = 4_096
# As long as the rows that CLTs are trained on by default.
ROW_LENGTH = 64


def held_out_tokens(
    model: LoadedModel, corpus: Corpus, *, n_tokens: int = DEFAULT_TOKENS, row_length: int = ROW_LENGTH, seed: int = 0
) -> Int[Tensor, "row position"]:
    """Return rows of the part of a corpus that training never sees, with the start token at position 0.

    Chat documents make rows of their own, which begin as the model's chat template begins.

    Args:
        n_tokens: how many at least, start tokens not counted; whole rows are returned.
        row_length: tokens of a row, the start token included.

    Raises:
        ConfigError: the held-out part holds fewer tokens, or a number is unsuitable: intervals need two rows.
        FormatError: the held-out part does not fill a single row.
    """
    if n_tokens < 1:
        raise ConfigError(f"The number of held-out tokens is {n_tokens}: ask for at least 1.")
    if not 3 <= row_length <= model.max_tokens:
        raise ConfigError(f"Rows of {row_length} tokens cannot be used: choose from 3 to {model.max_tokens}.")
    if n_tokens < row_length:
        raise ConfigError(
            f"{n_tokens} held-out tokens fill a single row of {row_length}, and intervals need at least two rows: ask "
            f"for at least {row_length} tokens or for shorter rows."
        )
    rows = token_rows(
        corpus,
        model.tokenizer,
        start_token_id=model.start_token_id,
        row_length=row_length,
        n_rows=-(-n_tokens // (row_length - 1)),
        seed=seed,
        split="held_out",
    )
    return torch.stack(list(rows))
