from __future__ import annotations

import pytest
import torch
from helpers import tiny_model

from workbench.errors import PromptError
from workbench.models import checked_tokens, token_id, token_strings, tokenize

MODEL = tiny_model("llama")


def test_the_start_token_stands_at_position_0_as_transformer_lens_puts_it() -> None:
    tokens = tokenize(MODEL, "w3 w4")
    assert tokens.tolist() == [0, 3, 4] == MODEL.bridge.to_tokens("w3 w4")[0].tolist()
    assert token_strings(MODEL, tokens) == ["<s>", "w3", "w4"]


def test_an_empty_prompt() -> None:
    with pytest.raises(PromptError, match="The prompt is empty"):
        tokenize(MODEL, "")


def test_a_prompt_longer_than_the_model_reads() -> None:
    with pytest.raises(PromptError, match="has 71 tokens with its start token, but the limit is 64"):
        tokenize(MODEL, "w3 " * 70)


def test_a_prompt_longer_than_a_limit_of_ones_own() -> None:
    assert len(tokenize(MODEL, "w3 w4 w5", max_tokens=4)) == 4
    with pytest.raises(PromptError, match="has 4 tokens with its start token, but the limit is 3"):
        tokenize(MODEL, "w3 w4 w5", max_tokens=3)


def test_token_ids_that_nobody_knows_are_told_from_wrong_ones() -> None:
    with pytest.raises(PromptError, match=r"id at position 2 is -1, as in a graph imported .* give the prompt as text"):
        checked_tokens(MODEL, torch.tensor([0, 3, -1]))
    with pytest.raises(PromptError, match="The token id 50 is out of range: 'tiny-llama' has ids 0 to 49"):
        checked_tokens(MODEL, torch.tensor([0, 50]))


def test_a_chat_with_a_model_that_has_no_template() -> None:
    with pytest.raises(PromptError, match="no chat template"):
        tokenize(MODEL, "w3", chat=True)


def test_a_target_is_one_token() -> None:
    assert token_id(MODEL, "w7") == 7
    with pytest.raises(PromptError, match=r"The target 'w7 w8' is 2 tokens"):
        token_id(MODEL, "w7 w8")
