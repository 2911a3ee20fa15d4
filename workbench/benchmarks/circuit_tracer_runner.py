"""Times circuit-tracer: run by path, with the Python of the virtual environment that circuit-tracer is installed in.

It knows nothing of this package, which that environment lacks. The case comes as JSON in the only argument: ``model``
(a folder with the Hugging Face files of the model), ``name`` (how TransformerLens calls it), ``clt`` (a folder in
circuit-tracer's own format), ``read_hook`` and ``write_hook`` (inside a block), ``tokens`` (ids), ``batch_size`` and
``result`` (where to write the graph as safetensors). On standard output it answers one line of JSON: first what
was loaded, then, for every line on standard input, one timed run.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main(case: dict[str, Any]) -> None:
    """Load the model and its transcoder, then run whenever a line asks for it."""
    # What a library prints is no answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    import torch
    from circuit_tracer import attribute  # type: ignore[import-not-found]
    from circuit_tracer.replacement_model.replacement_model_transformerlens import TransformerLensReplacementModel  # type: ignore[import-not-found]
    from circuit_tracer.transcoder.cross_layer_transcoder import load_clt  # type: ignore[import-not-found]
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # It shares one pair of rotary tables among all layers, which is wrong where local and global layers have different
    # bases, as in Gemma 3: activations would be off by a percent, and the edges could not be compared.
    TransformerLensReplacementModel._deduplicate_attention_buffers = lambda model: None

    def answer(**value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

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
    answer(version=version("circuit-tracer"), threads=torch.get_num_threads())
    for _ in sys.stdin:
        start = time.perf_counter()
        graph = attribute(tokens, model, batch_size=case["batch_size"])
        seconds = time.perf_counter() - start
        peak = _peak_memory_mb()
        written = {
            "adjacency": graph.adjacency_matrix.contiguous(),
            "active_features": graph.active_features.contiguous(),
            "logit_tokens": graph.logit_token_ids.contiguous(),
        }
        save_file(written, case["result"])
        answer(seconds=seconds, peak_memory_mb=peak, active_features=len(graph.active_features))


def _peak_memory_mb() -> float:
    # The high-water mark of this address space: that of getrusage may be the parent's.
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if found:
        return int(found[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
