"""A shard: a fixed range of rows, counted by one process, whichever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from workbench.clt import CLT, load_clt
from workbench.errors import CLTError, FormatError, ModelError
from workbench.features.atlas.encode import Entries, encode
from workbench.features.atlas.identity import clt_hash
from workbench.features.atlas.plan import AtlasPlan
from workbench.features.atlas.statistics import LayerStatistics
from workbench.models import LoadedModel, load_model

Statistics = list[LayerStatistics]


@dataclass(frozen=True)
class ShardTask:
    """What a process elsewhere needs to count a shard.

    Attributes:
        model: name or folder; its fingerprint must be the given one there too.
        clt: name or folder; so must its hash.
        threads: processor threads for the matrix products, the same everywhere so that sums come out the same.
    """

    index: int
    tokens: Int[np.ndarray, "row position"]
    first_row: int
    plan: AtlasPlan
    model: str
    fingerprint: str
    clt: str
    clt_hash: str
    threads: int


def count_shard(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[np.ndarray, "row position"],
    *,
    first_row: int,
    plan: AtlasPlan,
    on_batch: Callable[[int], bool] = lambda n_tokens: False,
) -> Statistics | None:
    """Count what fires in some rows; None when ``on_batch`` asked for an end before.

    Memory is that of the activations of ``plan.chunk_batches`` batches and of the counts.

    Args:
        first_row: the number of the first row in the whole text.
        on_batch: told after every batch how many tokens it had; True ends.
    """
    d_vocab, row_length = model.d_vocab, plan.row_length
    counts = [LayerStatistics.empty(plan, clt.n_features) for _ in range(clt.n_layers)]
    chunk_rows = plan.chunk_batches * plan.batch_rows
    for start in range(0, len(tokens), chunk_rows):
        chunk = tokens[start : start + chunk_rows]
        batches = []
        for first in range(0, len(chunk), plan.batch_rows):
            rows = chunk[first : first + plan.batch_rows]
            batches.append(encode(model, clt, rows, first_row=first_row + start + first).layers)
            if on_batch(rows.shape[0] * (row_length - 1)):
                return None
        offset = (first_row + start) * row_length
        for layer, before in enumerate(counts):
            entries = Entries.gathered([batch[layer] for batch in batches], clt.n_features)
            token_ids = chunk.ravel()[entries.at - offset]
            shape: dict[str, Any] = {"layer": layer, "d_vocab": d_vocab, "plan": plan}
            here = LayerStatistics.of(entries, token_ids, n_features=clt.n_features, before=before, **shape)
            counts[layer] = before.merged(here, **shape)
    return counts


def merged(before: Statistics, later: Statistics, *, d_vocab: int, plan: AtlasPlan) -> Statistics:
    """Return the counts of two consecutive texts together."""
    return [
        one.merged(other, layer=layer, d_vocab=d_vocab, plan=plan)
        for layer, (one, other) in enumerate(zip(before, later, strict=True))
    ]


def to_bytes(counts: Statistics) -> bytes:
    """Return counts as the bytes of a safetensors file."""
    from safetensors.numpy import save

    return save(
        {
            f"{layer}.{name}": np.ascontiguousarray(array)
            for layer, one in enumerate(counts)
            for name, array in one.to_arrays().items()
        }
    )


def from_bytes(content: bytes, n_layers: int, plan: AtlasPlan, where: str) -> Statistics:
    """Return the counts that ``to_bytes`` wrote.

    Raises:
        FormatError: they are damaged; the message names ``where`` they are from.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(content)
    except (SafetensorError, ValueError) as error:
        raise FormatError(f"{where} is damaged ({error}): delete it and build again.") from error
    by_layer: list[dict[str, np.ndarray]] = [{} for _ in range(n_layers)]
    for name, array in arrays.items():
        layer, _, rest = name.partition(".")
        by_layer[int(layer)][rest] = array
    return [LayerStatistics.from_arrays(one, plan) for one in by_layer]


def run_task(task: dict[str, Any]) -> bytes:
    """Count a shard in a process of its own; return the bytes of its counts.

    Args:
        task: a ``ShardTask`` as a dictionary.

    Raises:
        ModelError, CLTError: what this process finds under the given names is something else.
    """
    wanted = ShardTask(**task)
    model, clt, found = _opened(wanted.model, wanted.clt)
    if model.fingerprint != wanted.fingerprint:
        raise ModelError(f"A worker has another model than this one under the name {wanted.model!r}: fetch it there.")
    if found != wanted.clt_hash:
        raise CLTError(f"A worker has another CLT than this one under {wanted.clt!r}: copy it there.")
    torch.set_num_threads(wanted.threads)
    counts = count_shard(model, clt, wanted.tokens, first_row=wanted.first_row, plan=wanted.plan)
    assert counts is not None  # nothing asks for an end here
    return to_bytes(counts)


def as_dict(task: ShardTask) -> dict[str, Any]:
    """Return a task as what travels between processes."""
    return {**asdict(task), "tokens": task.tokens, "plan": task.plan}


@lru_cache(maxsize=1)
def _opened(model: str, clt: str) -> tuple[LoadedModel, CLT, str]:
    loaded = load_model(model)
    transcoder = load_clt(clt, model=loaded)
    return loaded, transcoder, clt_hash(transcoder)
