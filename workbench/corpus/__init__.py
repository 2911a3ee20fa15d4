"""Token streams: the bundled corpus, text files, Hugging Face datasets, text sampled from the model."""

from workbench.corpus.sampling import SampledCorpus, sampled
from workbench.corpus.sources import (
    Corpus,
    HuggingFaceCorpus,
    TextCorpus,
    bundled,
    bundled_parts,
    huggingface,
    resolve_corpus,
    text_files,
)
from workbench.corpus.tokens import ROW_LENGTH, Split, is_held_out, token_batches, token_rows

__all__ = [
    "ROW_LENGTH",
    "Corpus",
    "HuggingFaceCorpus",
    "SampledCorpus",
    "Split",
    "TextCorpus",
    "bundled",
    "bundled_parts",
    "huggingface",
    "is_held_out",
    "resolve_corpus",
    "sampled",
    "text_files",
    "token_batches",
    "token_rows",
]
