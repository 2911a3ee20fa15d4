"""What a CLT reads and must write on rows of text, batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.models import LoadedModel, run_decoder

# Tokens in one forward pass: enough to keep the cores busy, few enough to hold what 30 layers read and write.
TOKENS_PER_BATCH = 1024


class Batch(NamedTuple):
    """Rows of text that go through the model together.

    Attributes:
        tokens: of these rows.
        row: which row of all of them each token is of, position 0 left out, in the order of ``Sites``.
    """

    tokens: Int[Tensor, "row position"]
    row: Int[Tensor, " token"]


class Sites(NamedTuple):
    """What the model made of a batch.

    Attributes:
        x: by layer what a CLT reads, position 0 left out.
        y: by layer what it must write.
        final: the final norm's output.
    """

    x: list[Float[Tensor, "token d_model"]]
    y: list[Float[Tensor, "token d_model"]]
    final: Float[Tensor, "row position d_model"]


def batches(tokens: Int[Tensor, "row position"]) -> Iterator[Batch]:
    """Yield the rows in batches."""
    size = max(1, TOKENS_PER_BATCH // tokens.shape[1])
    for start in range(0, len(tokens), size):
        batch = tokens[start : start + size]
        row = torch.arange(start, start + len(batch)).repeat_interleave(tokens.shape[1] - 1)
        yield Batch(batch, row)


def reads_and_writes(
    model: LoadedModel, tokens: Int[Tensor, "row position"], *, read_hook: str, write_hook: str, dtype: torch.dtype
) -> Sites:
    """Run the model on a batch and return what a CLT reads and must write at positions ≥ 1.

    Raises:
        ModelError: a hook is unknown to the model.
    """
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            kept[name] = activation[:, 1:].flatten(0, 1).to(dtype)

        return hook

    layers = range(model.n_layers)
    reads, writes = ([template.format(layer=layer) for layer in layers] for template in (read_hook, write_hook))
    final = run_decoder(model, tokens, [(name, keep(name)) for name in (*reads, *writes)])
    return Sites([kept[name] for name in reads], [kept[name] for name in writes], final)
