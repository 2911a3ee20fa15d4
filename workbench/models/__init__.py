"""Models: named models, their weights, the TransformerLens bridge, activation capture."""

from workbench.models.cache import cache_folder, is_fetched, model_folder
from workbench.models.capture import READ_HOOK, WRITE_HOOK, capture, capture_reads_and_writes, run_decoder
from workbench.models.fetching import fetch
from workbench.models.loaded import LoadedModel, from_huggingface
from workbench.models.loading import load_model
from workbench.models.prompts import checked_tokens, token_id, token_strings, tokenize
from workbench.models.registry import DEFAULT_MODEL, NamedModel, is_named, named_model, named_models
from workbench.models.unembedding import unembed

__all__ = [
    "DEFAULT_MODEL",
    "READ_HOOK",
    "WRITE_HOOK",
    "LoadedModel",
    "NamedModel",
    "cache_folder",
    "capture",
    "capture_reads_and_writes",
    "checked_tokens",
    "fetch",
    "from_huggingface",
    "is_fetched",
    "is_named",
    "load_model",
    "model_folder",
    "named_model",
    "named_models",
    "run_decoder",
    "token_id",
    "token_strings",
    "tokenize",
    "unembed",
]
