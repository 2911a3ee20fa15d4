"""Rows of token ids: where documents begin, what is held out, what repeats."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.corpus import TextCorpus, is_held_out, token_batches, token_rows
from workbench.errors import ConfigError, FormatError

SEPARATOR = 1


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Words w0 … w999 are tokens 10 … 1009, a blank line is token 1, the start token 0; a chat begins with token 2."""
    vocabulary = {"<s>": 0, "\n\n": SEPARATOR, "<|turn|>": 2, "?": 3}
    vocabulary |= {f"w{index}": 10 + index for index in range(1000)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Split(" ", behavior="removed")
    wrapped = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="?")
    wrapped.add_special_tokens({"additional_special_tokens": [AddedToken("<|turn|>")]})
    return wrapped


def words(first: int, n: int) -> str:
    return " ".join(f"w{index}" for index in range(first, first + n))


def test_rows_begin_with_the_start_token_and_have_one_length(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("mixed", [words(index * 10, 1 + index % 9) for index in range(90)])
    rows = list(token_rows(corpus, tokenizer, start_token_id=0, row_length=16))
    assert len(rows) > 20
    assert all(row.shape == (16,) and row.dtype == torch.long for row in rows)
    assert all(row[0] == 0 and not bool((row[1:] == 0).any()) for row in rows)


def test_a_short_document_that_a_row_cuts_begins_again_in_the_next_row(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("short", [words(0, 3), words(100, 4), words(200, 5)])
    rows = [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=7, seed=None)]
    assert rows == [
        [0, 10, 11, 12, SEPARATOR, 110, 111],
        [0, 110, 111, 112, 113, SEPARATOR, 210],
    ]


def test_a_long_document_is_continued_without_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("long", [words(0, 2), words(100, 20)])
    rows = [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=8, seed=None)]
    assert rows[0] == [0, 10, 11, SEPARATOR, 110, 111, 112, 113]
    assert rows[1:] == [[0, *range(114, 121)], [0, *range(121, 128)]]


def test_a_document_that_just_fits_is_not_repeated(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("exact", [words(0, 2), words(100, 3), words(200, 6), words(300, 6)])
    rows = [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=7, seed=None)]
    assert rows == [[0, 10, 11, SEPARATOR, 110, 111, 112], [0, *range(210, 216)], [0, *range(310, 316)]]


def test_the_seed_alone_decides_the_rows(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("mixed", [words(index * 10, 7) for index in range(50)])

    def rows(seed: int) -> list[list[int]]:
        return [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=12, seed=seed)]

    assert rows(0) == rows(0)
    assert rows(0) != rows(1)


def test_training_and_evaluation_share_no_document(tokenizer: PreTrainedTokenizerFast) -> None:
    documents = [words(index, 5) for index in range(900)]
    corpus = TextCorpus("many", documents)
    held_out = [document for document in documents if is_held_out(document)]
    assert 0.02 < len(held_out) / len(documents) < 0.08
    # With rows of one document each, the rows are the documents.
    seen = {}
    for split in ("train", "held_out"):
        rows = token_rows(corpus, tokenizer, start_token_id=0, row_length=6, split=split)
        seen[split] = {tuple(row.tolist()) for row in rows}
    assert not seen["train"] & seen["held_out"]
    assert len(seen["train"]) + len(seen["held_out"]) == len(documents)
    assert len(seen["held_out"]) == len(held_out)
    # The hash of the text decides, so another corpus with the same document holds it out too.
    again = TextCorpus("again", ["w1 w2", *held_out])
    assert len(list(token_rows(again, tokenizer, start_token_id=0, row_length=6, split="held_out"))) == len(held_out)


def test_a_chat_begins_its_own_row_with_its_own_markup(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = "<|turn|> " + words(500, 9)
    corpus = TextCorpus("chats", [words(0, 3), chat, words(100, 5)])
    rows = [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=8, seed=None)]
    assert rows == [[2, *range(510, 517)], [0, 10, 11, 12, SEPARATOR, 110, 111, 112]]


def test_a_chat_in_the_markup_of_another_model_is_left_out(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("chats", ["<|im_start|> w1 w2 w3 w4 w5 w6 w7 w8", words(100, 7)])
    rows = [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=8, seed=None)]
    assert rows == [[0, *range(110, 117)]]


def test_batches_hold_the_same_rows(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("mixed", [words(index * 10, 7) for index in range(50)])
    rows = list(token_rows(corpus, tokenizer, start_token_id=0, row_length=12, n_rows=7))
    batches = list(token_batches(corpus, tokenizer, start_token_id=0, row_length=12, n_rows=7, batch_size=3))
    assert [tuple(batch.shape) for batch in batches] == [(3, 12), (3, 12), (1, 12)]
    assert torch.equal(torch.cat(batches), torch.stack(rows))


def test_what_cannot_be_given_is_said_in_one_line(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = TextCorpus("small", [words(0, 20)])
    with pytest.raises(FormatError, match="'small' does not fill one row of 64 tokens"):
        list(token_rows(corpus, tokenizer, start_token_id=0, row_length=64))
    with pytest.raises(ConfigError, match="gives 2 rows of 10 tokens, but 5 were asked for"):
        list(token_rows(corpus, tokenizer, start_token_id=0, row_length=10, n_rows=5))
    with pytest.raises(ConfigError, match="at least 2"):
        token_rows(corpus, tokenizer, start_token_id=0, row_length=1)
    with pytest.raises(ConfigError, match="at least 1"):
        token_rows(corpus, tokenizer, start_token_id=0, n_rows=0)
    with pytest.raises(ConfigError, match="no batch"):
        token_batches(corpus, tokenizer, start_token_id=0, batch_size=0)


def test_more_text_only_adds_rows(tokenizer: PreTrainedTokenizerFast) -> None:
    """Asking for more rows of one seed continues the same stream, so a larger budget never changes what came before."""
    corpus = TextCorpus("mixed", [words(index * 10, 7) for index in range(50)])
    streams = [
        [row.tolist() for row in token_rows(corpus, tokenizer, start_token_id=0, row_length=12, n_rows=n)]
        for n in (3, 5, 9)
    ]
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(streams))
