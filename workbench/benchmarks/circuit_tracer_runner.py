"""Times circuit-tracer where it is installed; `foreign.py` says how a runner is run.

A case holds ``model`` (a folder with the Hugging Face files of the model), ``name`` (how TransformerLens calls it),
``clt`` (a folder in circuit-tracer's own format), ``read_hook`` and ``write_hook`` (inside a block), ``tokens`` (ids),
``batch_size`` and ``result`` (where to write the graph as safetensors). Every line asks for one run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

Turn = Callable[[str], dict[str, Any]]


def begin(case: dict[str, Any], peak_memory_mb: Callable[[], float]) -> tuple[dict[str, Any], Turn]:
    """Load the model and its transcoder; return circuit-tracer's version, and what makes a run."""
    import torch
    from circuit_tracer import attribute  # type: ignore[import-not-found]
    from circuit_tracer.replacement_model.replacement_model_transformerlens import TransformerLensReplacementModel  # type: ignore[import-not-found]
    from circuit_tracer.transcoder.cross_layer_transcoder import load_clt  # type: ignore[import-not-found]
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # It shares one pair of rotary tables among all layers, which is wrong where local and global layers have different
    # bases, as in Gemma 3: activations would be off by a percent, and the edges could not be compared.
    TransformerLensReplacementModel._deduplicate_attention_buffers = lambda model: None

    device = torch.device("cpu")
    transcoder = load_clt(
        case["clt"],
        feature_input_hook=case["read_hook"],
        feature_output_hook=case["write_hook"],
        device=device,
        dtype=torch.float32,
    )
    model = TransformerLensReplacementModel.from_pretrained_and_transcoders(
        case["name"],
        transcoder,
        hf_model=AutoModelForCausalLM.from_pretrained(case["model"], torch_dtype=torch.float32),
        tokenizer=AutoTokenizer.from_pretrained(case["model"]),
        device=device,
        dtype=torch.float32,
    )
    tokens = torch.tensor(case["tokens"])

    def turn(line: str) -> dict[str, Any]:
        start = time.perf_counter()
        graph = attribute(tokens, model, batch_size=case["batch_size"])
        seconds = time.perf_counter() - start
        # Before the graph is written, which takes memory of its own.
        peak = peak_memory_mb()
        written = {
            "adjacency": graph.adjacency_matrix.contiguous(),
            "active_features": graph.active_features.contiguous(),
            "logit_tokens": graph.logit_token_ids.contiguous(),
        }
        save_file(written, case["result"])
        return {"seconds": seconds, "peak_memory_mb": peak, "active_features": len(graph.active_features)}

    return {"version": version("circuit-tracer"), "threads": torch.get_num_threads()}, turn
