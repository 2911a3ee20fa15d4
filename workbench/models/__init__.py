"""Models: named models, their weights, the TransformerLens bridge, activation capture."""

from workbench.models.capture import READ_HOOK, WRITE_HOOK, capture, capture_reads_and_writes, run_decoder
from workbench.models.loaded import LoadedModel, from_huggingface
from workbench.models.prompts import token_id, token_strings, tokenize

__all__ = [
    "READ_HOOK",
    "WRITE_HOOK",
    "LoadedModel",
    "capture",
    "capture_reads_and_writes",
    "from_huggingface",
    "run_decoder",
    "token_id",
    "token_strings",
    "tokenize",
]
