"""What an atlas is built from: how much text, in which pieces, and what is kept of it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_TOKENS = 1_000_000
# A TWERA needs every pair of features: beyond this many, hours and gigabytes.
MAX_FEATURES_FOR_PAIRS = 65_536


class AtlasPlan(BaseModel):
    """The settings of a build. Two builds with the same plan, model, CLT and text give the same atlas.

    Attributes:
        row_length: tokens of a row, start token included; as long as the rows that CLTs are trained on by default.
        batch_rows: rows in one forward pass. Few enough that a notebook beside a build waits half a second at most.
        chunk_batches: batches whose activations are held together.
        shard_batches: batches of a shard, the piece that is lost when a build is killed.
        sample_tokens: tokens for TWERA and for choosing rules; spread over the text.
        held_out_tokens: tokens of documents that nothing else reads, for the score of a label.
        n_top: strongest examples of a feature.
        n_spread: examples in each quarter of a feature's activations.
        n_spread_bin: candidates that are kept for those, a quarter of an octave of activation.
        n_tokens_kept: tokens whose counts are carried along, a feature.
        before: context of an example in tokens, before the token that it is of.
        after: the same, after it.
        k: how many logits, tokens and connected features are kept of each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    row_length: int = Field(64, ge=3)
    batch_rows: int = Field(8, ge=1)
    chunk_batches: int = Field(16, ge=1)
    shard_batches: int = Field(64, ge=1)
    sample_tokens: int = Field(8_192, ge=1)
    held_out_tokens: int = Field(16_384, ge=1)
    n_top: int = Field(12, ge=1)
    n_spread: int = Field(5, ge=1)
    n_spread_bin: int = Field(2, ge=1)
    n_tokens_kept: int = Field(64, ge=1)
    before: int = Field(15, ge=0)
    after: int = Field(8, ge=0)
    k: int = Field(10, ge=1)
    seed: int = 0

    @property
    def window(self) -> int:
        """Tokens of an example."""
        return self.before + 1 + self.after

    @property
    def shard_rows(self) -> int:
        return self.shard_batches * self.batch_rows
