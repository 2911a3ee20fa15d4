"""Builders that several tests share: `from helpers import tiny_model` (pytest puts tests/ on the path)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from workbench.clt import CLT, CLTConfig
from workbench.models import LoadedModel, capture_reads_and_writes, from_huggingface

# --- tiny random models of five architectures -------------------------------------------------------------------------

Architecture = Literal["llama", "gemma3", "qwen3", "gpt2", "pythia"]
ARCHITECTURES: tuple[Architecture, ...] = ("llama", "gemma3", "qwen3", "gpt2", "pythia")
VOCABULARY = 50

_CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    # Prompts longer than the window of 4 tell a sliding layer from a full one.
    "gemma3": (
        Gemma3TextConfig,
        {
            "num_key_value_heads": 1,
            "head_dim": 8,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    "qwen3": (Qwen3Config, {"num_key_value_heads": 2, "head_dim": 8}),
    "gpt2": (GPT2Config, {}),
    # Attention and MLP read the same residual stream, in parallel.
    "pythia": (GPTNeoXConfig, {}),
}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of the words w2 … w49 after the start token <s> (id 0) and </s> (id 1)."""
    vocabulary = ["<s>", "</s>", *(f"w{i}" for i in range(2, VOCABULARY))]
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="</s>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=words, bos_token="<s>", unk_token="</s>", eos_token="</s>", pad_token="</s>"
    )


def tiny_hf_model(
    architecture: Architecture, *, dtype: torch.dtype = torch.float64, seed: int = 0, **overrides: Any
) -> PreTrainedModel:
    """Return an unwrapped Hugging Face model: 3 layers, d_model 16, 4 heads, vocabulary 50, 64 positions.

    Args:
        overrides: fields of the architecture's config, such as ``num_hidden_layers=2``.
    """
    config_class, own = _CONFIGS[architecture]
    fields: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    if architecture == "gpt2":
        fields["n_inner"] = fields.pop("intermediate_size")
    if architecture == "pythia":
        del fields["pad_token_id"]
    config = config_class(**(fields | own | overrides))
    model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
        config, attn_implementation="eager"
    )
    model.to(dtype).eval()  # type: ignore[arg-type]
    _randomise(model, torch.Generator().manual_seed(seed))
    return model


@torch.no_grad()
def _randomise(model: PreTrainedModel, generator: torch.Generator) -> None:
    """Give every parameter a size at which attention is uneven and norms, biases and MLPs all matter.

    Fresh models have norm weights of one, biases of zero and matrices of 0.02: a wrong treatment of any of
    them would go unnoticed.
    """
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).to(parameter.dtype)
        if parameter.ndim == 1:
            # Fresh values are 1 for plain norm weights, 0 for biases and Gemma's offset norm weights: keep that centre.
            parameter.add_(noise, alpha=0.3)
        else:
            parameter.copy_(noise / 16**0.5)


def tiny_model(
    architecture: Architecture, *, dtype: torch.dtype = torch.float64, seed: int = 0, **overrides: Any
) -> LoadedModel:
    """Return a random model of one architecture, wrapped, with the tokenizer of `tiny_tokenizer`."""
    hf_model = tiny_hf_model(architecture, dtype=dtype, seed=seed, **overrides)
    model = from_huggingface(hf_model, tiny_tokenizer(), name=f"tiny-{architecture}", start_token_id=0)
    if dtype == torch.float64:
        # Hugging Face's RMSNorm rounds to float32 in between; TransformerLens' own keeps float64.
        for module in model.bridge.modules():
            if hasattr(module, "use_native_layernorm_autograd"):
                module.use_native_layernorm_autograd = False
    return model


def tiny_tokens(*, length: int = 9, seed: int = 0) -> Int[Tensor, " position"]:
    """Return a start token and ``length`` − 1 random other tokens."""
    generator = torch.Generator().manual_seed(seed)
    rest = torch.randint(2, VOCABULARY, (length - 1,), generator=generator)
    return torch.cat([torch.zeros(1, dtype=torch.long), rest])


def tiny_prompt(*, length: int = 9, seed: int = 0) -> str:
    """Return the text whose tokens, start token included, are those of `tiny_tokens`."""
    return " ".join(f"w{token}" for token in tiny_tokens(length=length, seed=seed)[1:].tolist())


# --- tiny random transcoders ------------------------------------------------------------------------------------------


@torch.no_grad()
def tiny_clt(
    model: LoadedModel,
    *,
    n_features: int = 12,
    window: int = 2,
    skip: bool = False,
    active: float = 0.25,
    seed: int = 0,
) -> CLT:
    """Return a random CLT of a model, in the model's dtype.

    Each feature has its own threshold, at the (1 − ``active``) quantile of its pre-activations on random tokens
    (and above zero), so that on a prompt of `tiny_tokens` roughly that fraction of the features is active.
    """
    generator = torch.Generator().manual_seed(seed)
    n_layers, d_model = model.n_layers, model.d_model
    config = CLTConfig(
        model=model.name,
        fingerprint=model.fingerprint,
        n_layers=n_layers,
        d_model=d_model,
        n_features=n_features,
        window=window,
        skip=skip,
        start_token_id=model.start_token_id,
    )

    def random(*shape: int, scale: float) -> Tensor:
        return (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(model.dtype)

    W_enc = random(n_layers, n_features, d_model, scale=d_model**-0.5)
    b_enc = random(n_layers, n_features, scale=0.1)
    tokens = torch.stack([tiny_tokens(length=16, seed=row) for row in range(8)])
    reads, _ = capture_reads_and_writes(model, tokens)
    pre = torch.einsum("lbpd,lfd->lfbp", reads[:, :, 1:], W_enc).flatten(2) + b_enc[..., None]
    return CLT(
        config=config,
        W_enc=W_enc,
        b_enc=b_enc,
        threshold=pre.quantile(1 - active, dim=-1).clamp_min(0.01),
        W_dec=tuple(
            random(n_features, len(config.targets(layer)), d_model, scale=d_model**-0.5) for layer in range(n_layers)
        ),
        b_dec=random(n_layers, d_model, scale=0.3),
        W_skip=random(n_layers, d_model, d_model, scale=0.5 * d_model**-0.5) if skip else None,
    )
