"""From a quantised GGUF file to a folder of float32 safetensors that loads in a second."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.files import read_json, write_json
from workbench.models.quiet import quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def dequantise(gguf: Path, folder: Path, *, progress: bool = True) -> None:
    """Write the config, the float32 weights and the tokenizer of a GGUF file into a folder.

    Dequantising is exact: each block of integers times its scale, plus its offset, in float32.
    """
    _write_tokenizer(gguf, folder, progress=progress)
    _write_model(_read_model(gguf, progress=progress), folder)


def _write_tokenizer(gguf: Path, folder: Path, *, progress: bool) -> None:
    import transformers

    if progress:
        sys.stderr.write("Reading the tokenizer; this takes up to a minute.\n")
    with quiet():
        # transformers annotates neither of the two methods.
        auto: Any = transformers.AutoTokenizer
        tokenizer: PreTrainedTokenizerBase = auto.from_pretrained(str(gguf.parent), gguf_file=gguf.name)
        tokenizer.save_pretrained(str(folder))
    # Without indentation Gemma's tokenizer.json has 14 MB instead of 33; both changes take a second off each load.
    definition = folder / "tokenizer.json"
    compact = json.dumps(read_json(definition), ensure_ascii=False, separators=(",", ":"))
    definition.write_text(compact, encoding="utf-8")
    config = read_json(folder / "tokenizer_config.json")
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    write_json(folder / "tokenizer_config.json", config)


def _read_model(gguf: Path, *, progress: bool) -> PreTrainedModel:
    import torch
    import transformers

    # transformers' bar over the tensors cannot be switched off by its own settings.
    with quiet(standard_error=not progress):
        model: PreTrainedModel = transformers.AutoModelForCausalLM.from_pretrained(
            str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32
        )
    return model


def _write_model(model: Any, folder: Path) -> None:
    # transformers takes the model for a quantised one still, which it would save with its quantisation config.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.is_quantized, model.hf_quantizer, model.quantization_method = False, None, None
    with quiet():
        model.save_pretrained(str(folder), max_shard_size="1TB")
