"""Rules that may predict where a feature fires, and how well they do.

A rule says of every token yes or no. Its score is the balanced accuracy, ½ (share of the feature's tokens that it
finds + share of the other tokens that it leaves alone): what a detector would get right on equally many tokens of both
sorts. ½ is chance. Of rules that are sets of tokens the score is a sum over the tokens: the best set is found directly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from workbench.features.atlas.examples import rank_in_group
from workbench.features.atlas.sample import TokenSample
from workbench.features.atlas.vocabulary import TEXT_KINDS, TOKEN_KINDS, Vocabulary

Where = Literal["current", "previous", "next", "near", "position"]

FIRST_POSITIONS = (1, 2, 4, 8)
_OFFSETS: dict[Where, int] = {"current": 0, "previous": -1, "next": 1}
# A token stands in a rule if it adds that much to twice the score, and was seen that often.
_LEAST_GAIN, _LEAST_COUNT, _MOST_TOKENS = 0.02, 2, 8
_SHOWN_TOKENS = 3


@dataclass(frozen=True)
class Rule:
    """Where a feature is said to fire.

    Attributes:
        where: the token itself, the one before, the one after, the text around, or the position is looked at.
        kind: index in ``TOKEN_KINDS``, ``TEXT_KINDS`` or ``FIRST_POSITIONS``; None for a set of tokens.
        tokens: the set of tokens, the most telling first.
    """

    where: Where
    kind: int | None = None
    tokens: tuple[int, ...] = ()

    def family(self, vocabulary: Vocabulary) -> str:
        """Return what the rule is filed under."""
        if self.where == "position":
            return "position"
        if self.where == "near":
            return TEXT_KINDS[self.kind or 0].family
        if self.kind is not None:
            return TOKEN_KINDS[self.kind].family
        for family in ("number", "whitespace", "punctuation", "code", "language", "name"):
            columns = [index for index, kind in enumerate(TOKEN_KINDS) if kind.family == family]
            if vocabulary.is_kind[np.ix_(self.tokens, columns)].any(axis=1).all():
                return family
        return "token"

    def label(self, vocabulary: Vocabulary) -> str:
        """Return the rule as a short label."""
        if self.where == "position":
            n = FIRST_POSITIONS[self.kind or 0]
            return "first token" if n == 1 else f"first {n} tokens"
        if self.where == "near":
            return TEXT_KINDS[self.kind or 0].name
        what = quoted(self.tokens, vocabulary) if self.kind is None else TOKEN_KINDS[self.kind].name
        return {"current": what, "previous": f"after {what}", "next": f"says {what}"}[self.where]


def quoted(tokens: tuple[int, ...], vocabulary: Vocabulary, shown: int = _SHOWN_TOKENS) -> str:
    """Return tokens as text, spellings that differ in case or spaces once."""
    texts: dict[str, str] = {}
    for token in tokens:
        text = vocabulary.texts[token]
        texts.setdefault(text.strip().lower() or text, text.strip() or text)
    escaped = [text.encode("unicode_escape").decode() if text.isspace() else text for text in texts.values()]
    return ", ".join(f"“{text}”" for text in escaped[:shown]) + (", …" if len(escaped) > shown else "")


@dataclass(frozen=True)
class Counts:
    """How often tokens come with features of one layer: feature, token and count, sorted by feature."""

    feature: Int[np.ndarray, " pair"]
    token: Int[np.ndarray, " pair"]
    count: Int[np.ndarray, " pair"]

    def of(self, keep: Bool[np.ndarray, " pair"]) -> Counts:
        return Counts(self.feature[keep], self.token[keep], self.count[keep])


def counts_beside(sample: TokenSample, layer: int, offset: int, d_vocab: int) -> Counts:
    """Return how often each token stands ``offset`` places from tokens where features fire."""
    entries = sample.layers[layer]
    token = sample.neighbour(offset)[sample.token_index(layer)]
    known = token >= 0
    key, count = np.unique(entries.feature[known].astype(np.int64) * d_vocab + token[known], return_counts=True)
    return Counts(key // d_vocab, key % d_vocab, count)


def best_sets(
    counts: Counts, n_active: Int[np.ndarray, " feature"], totals: Int[np.ndarray, " vocab"], n_tokens: int
) -> tuple[Counts, Float[np.ndarray, " feature"]]:
    """Return for each feature the set of at most eight tokens that predicts it best, and its score.

    Args:
        counts: at how many tokens of each the feature fires.
        totals: how often each token occurs at all, in the same place.

    Returns:
        The chosen pairs, each feature's most telling token first, and ½ (1 + Σ gains).
    """
    active = n_active[counts.feature]
    others = totals[counts.token] - counts.count
    gain = counts.count / np.maximum(active, 1) - others / np.maximum(n_tokens - active, 1)
    keep = (gain >= _LEAST_GAIN) & (counts.count >= _LEAST_COUNT)
    counts, gain = counts.of(keep), gain[keep]
    order = np.lexsort((counts.token, -gain, counts.feature))
    order = order[rank_in_group(counts.feature[order]) < _MOST_TOKENS]
    chosen = Counts(counts.feature[order], counts.token[order], counts.count[order])
    return chosen, 0.5 + 0.5 * np.bincount(chosen.feature, weights=gain[order], minlength=len(n_active))


@dataclass(frozen=True)
class Columns:
    """The answers of all rules that are no sets of tokens, on a sample."""

    rules: tuple[Rule, ...]
    answers: Bool[np.ndarray, "token rule"]

    @classmethod
    def of(cls, sample: TokenSample, vocabulary: Vocabulary) -> Columns:
        rules: list[Rule] = []
        answers = []
        for where, offset in _OFFSETS.items():
            token = sample.neighbour(offset)
            # The row after the last is for what lies beyond the end of a row of text.
            answers.append(np.vstack([vocabulary.is_kind, np.zeros((1, len(TOKEN_KINDS)), bool)])[token])
            rules += [Rule(where, kind) for kind in range(len(TOKEN_KINDS))]
        answers.append(vocabulary.near(sample.tokens))
        rules += [Rule("near", kind) for kind in range(len(TEXT_KINDS))]
        answers.append(sample.position[:, None] <= np.asarray(FIRST_POSITIONS))
        rules += [Rule("position", kind) for kind in range(len(FIRST_POSITIONS))]
        return cls(tuple(rules), np.concatenate(answers, axis=1))

    def hits(self, sample: TokenSample, layer: int) -> Int[np.ndarray, "feature rule"]:
        """Return at how many tokens the feature fires and the rule says yes."""
        fires = (sample.dense(layer) > 0).float()
        return (fires.T @ torch.from_numpy(self.answers).float()).numpy().round().astype(np.int64)


def balanced_accuracy(
    hits: Int[np.ndarray, "*shape"], said: Int[np.ndarray, "*shape"], active: Int[np.ndarray, "*shape"], n_tokens: int
) -> Float[np.ndarray, "*shape"]:
    """Return ½ (recall + specificity).

    Args:
        hits: tokens where the rule says yes and the feature fires.
        said: where the rule says yes.
        active: where the feature fires.
    """
    recall = hits / np.maximum(active, 1)
    false = (said - hits) / np.maximum(n_tokens - active, 1)
    return np.asarray(0.5 * (1 + recall - false))
