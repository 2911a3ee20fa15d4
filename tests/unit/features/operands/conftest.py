"""A tiny model whose tokenizer gives every digit a token of its own, as SmolLM2's does."""

from __future__ import annotations

import pytest
from helpers import VOCABULARY, Architecture, in_float64, tiny_hf_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.models import LoadedModel, from_huggingface


def digits_model(architecture: Architecture) -> LoadedModel:
    vocabulary = ["<s>", "</s>", *"0123456789", "+", "-", "=", *(f"w{i}" for i in range(15, VOCABULARY))]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="</s>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", unk_token="</s>", eos_token="</s>", pad_token="</s>"
    )
    return in_float64(
        from_huggingface(tiny_hf_model(architecture), tokenizer, name=f"digits-{architecture}", start_token_id=0)
    )


@pytest.fixture(scope="module")
def digits() -> LoadedModel:
    return digits_model("llama")
