"""From documents to rows of token ids that a model reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.corpus.sources import Corpus
from workbench.errors import ConfigError, FormatError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Split = Literal["train", "held_out"]

HELD_OUT_PERCENT = 5
# Evaluation prompts and traces have 4 to 25 tokens: rows this short give many early positions to learn from.
ROW_LENGTH = 128
_ENCODE_TOGETHER = 512
_CHAT_MARKUP = re.compile(r"<\|\w+\|>")


def is_held_out(document: str) -> bool:
    """Whether a document is kept for evaluation: its own hash says so, whatever corpus or order it comes in."""
    return int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "big") % 100 < HELD_OUT_PERCENT


def special_token_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Return the ids of control tokens: those that no plain text is made of."""
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(added | set(tokenizer.all_special_ids))


def token_rows(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    start_token_id: int,
    row_length: int = ROW_LENGTH,
    seed: int | None = 0,
    n_rows: int | None = None,
    split: Split | None = None,
) -> Iterator[Int[Tensor, " position"]]:
    """Yield rows of exactly ``row_length`` token ids, the start token at position 0.

    Documents are packed, joined by a blank line, because rows padded to the length of their document
    would be mostly padding. A row begins, after its start token, with the beginning of a document wherever
    that can be had: a document that the end of a row cuts is begun again in the next row if it fits
    there whole (so short documents are seen right after the start token, where prompts stand), and
    only a longer one is continued. The incomplete last row is left out.

    A chat document (one that begins with the model's own chat markup, as its template writes it) begins
    a row of its own without the start token, as chat prompts do; of another model's markup the document is
    left out.

    Args:
        seed: the order of the documents; ``None`` keeps the order of the source.
        n_rows: how many rows; ``None`` yields one pass over the corpus.
        split: ``train`` or ``held_out`` (5 % of the documents, chosen by hash); ``None`` takes both.

    Raises:
        ConfigError: ``row_length`` or ``n_rows`` is too small, or the corpus is shorter than ``n_rows``.
        FormatError: the corpus does not fill a single row.
    """
    if row_length < 2:
        raise ConfigError(f"A row of {row_length} tokens has no room beside its start token: ask for at least 2.")
    if n_rows is not None and n_rows < 1:
        raise ConfigError(f"{n_rows} rows were asked of the corpus {corpus.name!r}: ask for at least 1.")
    return _checked(
        _pack(_encoded(corpus, tokenizer, start_token_id, seed, split), tokenizer, start_token_id, row_length),
        corpus,
        row_length=row_length,
        n_rows=n_rows,
        split=split,
    )


def token_batches(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    *,
    batch_size: int,
    start_token_id: int,
    row_length: int = ROW_LENGTH,
    seed: int | None = 0,
    n_rows: int | None = None,
    split: Split | None = None,
) -> Iterator[Int[Tensor, "batch position"]]:
    """Yield the rows of :func:`token_rows` in batches; the last one may be smaller.

    Raises:
        ConfigError: ``batch_size`` is not positive, or as :func:`token_rows`.
        FormatError: as :func:`token_rows`.
    """
    if batch_size < 1:
        raise ConfigError(f"A batch of {batch_size} rows is no batch: ask for at least 1.")
    rows = token_rows(
        corpus, tokenizer, start_token_id=start_token_id, row_length=row_length, seed=seed, n_rows=n_rows, split=split
    )
    return _stacked(rows, batch_size)


def _stacked(rows: Iterator[Tensor], batch_size: int) -> Iterator[Int[Tensor, "batch position"]]:
    while batch := list(islice(rows, batch_size)):
        yield torch.stack(batch)


def _checked(
    rows: Iterator[list[int]], corpus: Corpus, *, row_length: int, n_rows: int | None, split: Split | None
) -> Iterator[Int[Tensor, " position"]]:
    n_given = 0
    for row in islice(rows, n_rows):
        n_given += 1
        yield torch.tensor(row, dtype=torch.long)
    where = f"The corpus {corpus.name!r}" + (f" (split {split})" if split else "")
    if n_given == 0:
        raise FormatError(f"{where} does not fill one row of {row_length} tokens: give more text or shorter rows.")
    if n_rows is not None and n_given < n_rows:
        raise ConfigError(
            f"{where} gives {n_given} rows of {row_length} tokens, but {n_rows} were asked for: "
            "ask for fewer or give more text."
        )


def _encoded(
    corpus: Corpus, tokenizer: PreTrainedTokenizerBase, start_token_id: int, seed: int | None, split: Split | None
) -> Iterator[tuple[bool, list[int]]]:
    """Yield each document's token ids, and whether it is a chat."""
    special = special_token_ids(tokenizer) - {start_token_id, tokenizer.unk_token_id}
    documents: Iterable[str] = corpus.documents(seed=seed)
    if split is not None:
        documents = (document for document in documents if is_held_out(document) == (split == "held_out"))
    documents = iter(documents)
    while together := list(islice(documents, _ENCODE_TOGETHER)):
        # One call for many documents: the Rust tokenizers then work in parallel.
        encoded = tokenizer(together, add_special_tokens=False, verbose=False)["input_ids"]
        for document, ids in zip(together, encoded, strict=True):
            if not ids:
                continue
            chat = ids[0] in special
            if chat or not _CHAT_MARKUP.match(document):
                yield chat, ids


def _pack(
    documents: Iterator[tuple[bool, list[int]]],
    tokenizer: PreTrainedTokenizerBase,
    start_token_id: int,
    row_length: int,
) -> Iterator[list[int]]:
    separator = tokenizer.encode("\n\n", add_special_tokens=False)
    row, chat_row = [start_token_id], list[int]()
    for chat, ids in documents:
        if chat:
            # What is cut off here would begin its row in the middle of a turn, without any markup before it.
            chat_row = (chat_row + ids)[:row_length]
            if len(chat_row) == row_length:
                yield chat_row
                chat_row = []
            continue
        if len(row) > 1:
            room = row_length - len(row) - len(separator)
            row = (row + separator + ids)[:row_length]
            if len(row) < row_length:
                continue
            yield row
            row = [start_token_id]
            if len(ids) <= room:
                continue
            if len(ids) >= row_length:
                ids = ids[max(room, 0) :]
        while len(ids) >= row_length:
            yield [start_token_id, *ids[: row_length - 1]]
            ids = ids[row_length - 1 :]
        row = [start_token_id, *ids]
        if len(row) == row_length:
            yield row
            row = [start_token_id]
