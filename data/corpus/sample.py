"""Sample a part of the bundled corpus from a model itself.

    sample.py plain FOLDER --name smollm2-135m-instruct --start "<|endoftext|>" --part sampled_smollm2
    sample.py chat FOLDER --name smollm2-135m-instruct --start "<|endoftext|>" --part chat_smollm2
    sample.py plain FOLDER --name gemma-3-270m --start "<bos>" --part sampled_gemma3

Temperature 1, float32, a seed for each batch. ``plain`` starts from the start token; ``chat`` starts from
the chat template up to the user's turn, which the model writes too, then cuts after the assistant's turn.
The part is written anew after every batch and a part that is there is continued, so interrupting loses
one batch. Rounding differs between machines, so the text is reproducible on one kind of machine only.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import torch
from build import HERE, write_part
from transformers import AutoModelForCausalLM, AutoTokenizer

from workbench.corpus.sampling import decode_rows, sample_rows
from workbench.models import LoadedModel, from_huggingface

TURN_END = "<|im_end|>"


def load(folder: Path, name: str, start: str) -> LoadedModel:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    start_token_id = tokenizer.convert_tokens_to_ids(start)
    return from_huggingface(model, tokenizer, name=name, start_token_id=start_token_id, fingerprint="not needed")


def conversations(tokenizer: Any, rows: torch.Tensor) -> list[str]:
    """Return the rows as text with their markup, each up to the end of the assistant's turn."""
    texts = []
    for text in tokenizer.batch_decode(rows.tolist(), skip_special_tokens=False):
        system, user, assistant, *_ = [*text.split(TURN_END), "", "", ""]
        if assistant.strip().startswith("<|im_start|>assistant\n") and "<|endoftext|>" not in user + assistant:
            finished = TURN_END + "\n" if text.count(TURN_END) >= 3 else ""
            texts.append(f"{system}{TURN_END}{user}{TURN_END}{assistant.rstrip(chr(0xFFFD))}{finished}")
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["plain", "chat"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--start", required=True, help="the start token")
    parser.add_argument("--part", required=True)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--length", type=int, default=128, help="tokens a row")
    parser.add_argument("--batches", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=480.0, help="begin no batch after this time")
    arguments = parser.parse_args()

    model = load(arguments.folder, arguments.name, arguments.start)
    if arguments.kind == "plain":
        prompt = [model.start_token_id]
    else:
        # The template fills in the system turn; its last part is the generation prompt of the user's turn.
        text = model.tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False)
        prompt = model.tokenizer.encode(text.removesuffix(TURN_END + "\n"), add_special_tokens=False)
    part = HERE / f"{arguments.part}.jsonl.gz"
    state = part.with_name(f".{arguments.part}.batches")
    texts = []
    if part.exists():
        texts = [json.loads(line)["text"] for line in gzip.open(part, "rt", encoding="utf-8")]
    done = int(state.read_text()) if state.exists() else 0
    begun = time.monotonic()
    for batch in range(done, arguments.batches):
        if time.monotonic() - begun > arguments.seconds:
            break
        prompts = torch.tensor([prompt] * arguments.batch)
        rows = sample_rows(model, prompts, n_tokens=arguments.length, seed=batch, progress=True)
        texts += (
            decode_rows(model.tokenizer, rows) if arguments.kind == "plain" else conversations(model.tokenizer, rows)
        )
        write_part(arguments.part, texts)
        state.write_text(str(batch + 1))


if __name__ == "__main__":
    main()
