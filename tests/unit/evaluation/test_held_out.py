from __future__ import annotations

import pytest
from helpers import tiny_model, tiny_prompt

from workbench.corpus import TextCorpus, is_held_out
from workbench.errors import ConfigError, FormatError
from workbench.evaluation import held_out_tokens

TEXTS = [tiny_prompt(length=20, seed=seed) for seed in range(400)]
TEXTS_SEEN = [text for text in TEXTS if not is_held_out(text)]


def test_rows_are_whole_begin_with_the_start_token_and_suffice() -> None:
    model = tiny_model("llama")

    tokens = held_out_tokens(model, TextCorpus("words", TEXTS), n_tokens=40, row_length=16)

    assert tokens.shape == (3, 16)
    assert (tokens[:, 0] == model.start_token_id).all()


def test_no_row_comes_from_the_training_part() -> None:
    model = tiny_model("llama")
    # The held-out documents hold "w7" and nothing else, so a row of anything else is from the training part.
    lengths = [" ".join(["w7"] * n) for n in range(1, 400)]
    corpus = TextCorpus("words", [text for text in lengths if is_held_out(text)] + TEXTS_SEEN)

    tokens = held_out_tokens(model, corpus, n_tokens=40, row_length=16)

    assert (tokens[:, 1:] == model.tokenizer.convert_tokens_to_ids("w7")).all()


def test_a_corpus_that_is_too_short_says_so() -> None:
    with pytest.raises(ConfigError, match="ask for fewer or give more text"):
        held_out_tokens(tiny_model("llama"), TextCorpus("words", TEXTS), n_tokens=10_000, row_length=16)


def test_a_corpus_without_held_out_text_says_so() -> None:
    with pytest.raises(FormatError, match="does not fill one row of 16 tokens"):
        held_out_tokens(tiny_model("llama"), TextCorpus("words", TEXTS_SEEN), n_tokens=40, row_length=16)


@pytest.mark.parametrize(("n_tokens", "row_length"), [(0, 16), (10, 2), (10, 65)])
def test_unsuitable_numbers_are_refused(n_tokens: int, row_length: int) -> None:
    with pytest.raises(ConfigError):
        held_out_tokens(tiny_model("llama"), TextCorpus("words", TEXTS), n_tokens=n_tokens, row_length=row_length)


def test_a_single_row_is_too_small_for_intervals() -> None:
    with pytest.raises(ConfigError, match="intervals need at least two rows: ask for at least 16 tokens"):
        held_out_tokens(tiny_model("llama"), TextCorpus("words", TEXTS), n_tokens=15, row_length=16)
