"""The two offline models compute what they did when the evaluation prompts were written, and what transformers does."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from workbench.files import DATA
from workbench.models import LoadedModel, load_model, model_folder, run_decoder, token_strings, tokenize

MODELS = ("smollm2", "gemma3")
PROMPTS = [
    json.loads(line) for line in (DATA / "prompts" / "evaluation.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> LoadedModel:
    loaded: LoadedModel = request.getfixturevalue(request.param)
    return loaded


@torch.no_grad()
def test_the_bridge_computes_what_plain_transformers_computes(model: LoadedModel) -> None:
    plain: Any = AutoModelForCausalLM.from_pretrained(
        str(model_folder(model.name)), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokens = tokenize(model, "When Mary and John went to the store, John gave a drink to")[None]
    expected = plain(tokens).logits
    torch.testing.assert_close(model.bridge(tokens), expected, atol=1e-4, rtol=0)


@torch.no_grad()
def test_the_evaluation_prompts_have_their_recorded_first_token(model: LoadedModel) -> None:
    by_length: dict[int, list[tuple[str, torch.Tensor, dict[str, Any]]]] = defaultdict(list)
    for row in PROMPTS:
        tokens = tokenize(model, row["prompt"])
        by_length[len(tokens)].append((row["prompt"], tokens, row["expected"][model.name]))
    wrong = []
    for length, group in by_length.items():
        final = run_decoder(model, torch.stack([tokens for _, tokens, _ in group]), [])[:, -1]
        best = (final @ model.W_U).softmax(dim=-1).max(dim=-1)
        found = zip(token_strings(model, best.indices), best.values.tolist(), strict=True)
        for (prompt, _, expected), (token, probability) in zip(group, found, strict=True):
            same = token == expected["token"] and length == expected["tokens_with_start"]
            if not (same and abs(probability - expected["probability"]) <= 0.01):
                wrong.append((prompt, expected, token, round(probability, 3), length))
    assert len(PROMPTS) == 50
    assert wrong == []


def test_transformer_lens_puts_the_same_start_token_before_a_prompt(model: LoadedModel) -> None:
    start = {"smollm2-135m-instruct": ("<|endoftext|>", 0), "gemma-3-270m": ("<bos>", 2)}[model.name]
    assert (model.tokenizer.bos_token, model.start_token_id) == start
    for prompt in ("The capital of France is", " leading space", "deux\nlignes — été"):
        tokens = tokenize(model, prompt)
        assert tokens.tolist() == model.bridge.to_tokens(prompt)[0].tolist()
        assert tokens.tolist().count(model.start_token_id) == 1


def test_a_chat_starts_with_what_its_template_starts_with(smollm2: LoadedModel) -> None:
    tokens = tokenize(smollm2, "Hello", chat=True)
    strings = token_strings(smollm2, tokens)
    assert strings[0] == "<|im_start|>"
    assert "".join(strings).endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")


def test_the_tokenizer_is_the_one_that_transformers_loads(model: LoadedModel) -> None:
    theirs = AutoTokenizer.from_pretrained(str(model_folder(model.name)))
    assert model.tokenizer.get_vocab() == theirs.get_vocab()
    assert model.tokenizer.chat_template == theirs.chat_template
    assert (model.tokenizer.eos_token, model.tokenizer.pad_token) == (theirs.eos_token, theirs.pad_token)
    for row in PROMPTS:
        ids = model.tokenizer.encode(row["prompt"])
        assert ids == theirs.encode(row["prompt"])
        assert model.tokenizer.decode(ids) == theirs.decode(ids)


def test_the_licence_lies_beside_the_weights(smollm2: LoadedModel, gemma3: LoadedModel) -> None:
    assert "Apache License" in (model_folder(smollm2.name) / "LICENSE").read_text()
    assert "Gemma Terms of Use" in (model_folder(gemma3.name) / "GEMMA_TERMS.html").read_text()


def test_a_loaded_model_needs_no_gradients_and_is_ready_for_hooks(smollm2: LoadedModel) -> None:
    assert not any(parameter.requires_grad for parameter in smollm2.bridge.parameters())
    assert load_model(model_folder(smollm2.name)).fingerprint == smollm2.fingerprint
