"""Labels by rule: what a feature fires on, or what it says, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from workbench.features.atlas.rules import (
    Columns,
    Counts,
    Rule,
    balanced_accuracy,
    best_sets,
    counts_beside,
    quoted,
)
from workbench.features.atlas.sample import TokenSample
from workbench.features.atlas.statistics import LayerStatistics
from workbench.features.atlas.vocabulary import Vocabulary

Kind = Literal["input-like", "output-like", "abstract", "silent"]

# Below this no rule is taken for what a feature does.
ACCEPTED = 0.7
# A choice among so few tokens would be a choice of chance; a score on so few would be one.
_LEAST_SAMPLED, _LEAST_SCORED = 8, 5
# Of equally good rules the plainer is preferred: one or two tokens, then a kind of tokens, then more tokens. A set that
# was chosen on the small sample flatters itself.
_BONUS = {"small set": 0.015, "kind": 0.01, "set": 0.0, "sampled set": -0.02}
# So many of the promoted tokens have to be of a kind before a feature is said to say that kind.
_PROMOTED_OF_KIND = 0.4


@dataclass(frozen=True)
class Label:
    """What is said of one feature.

    Attributes:
        score: balanced accuracy of the rule on held-out text; None where there is no rule or too little text.
        precision: share of the held-out tokens where the rule says yes at which the feature fires.
        recall: share of the held-out tokens where the feature fires at which the rule says yes.
        control: score of another feature's rule, of the same layer, on this feature: what a wrong label gets.
        reason: why there is no score.
    """

    text: str
    kind: Kind
    family: str
    score: float | None = None
    precision: float | None = None
    recall: float | None = None
    control: float | None = None
    reason: str = ""


@dataclass
class Labeller:
    """Chooses labels, layer by layer.

    Attributes:
        sample: text on which rules are chosen.
        held_out: text on which they are scored; None where the corpus has too little.
        token_totals: how often each token occurs in the whole text, at positions ≥ 1.
    """

    vocabulary: Vocabulary
    sample: TokenSample
    held_out: TokenSample | None
    token_totals: Int[np.ndarray, " vocab"]

    def __post_init__(self) -> None:
        self.columns = Columns.of(self.sample, self.vocabulary)
        self.said = self.columns.answers.sum(axis=0)
        self.totals = {offset: _totals(self.sample, offset, self.d_vocab) for offset in (-1, 1)}
        if self.held_out is not None:
            self.held_out_columns = Columns.of(self.held_out, self.vocabulary)
            self.held_out_said = self.held_out_columns.answers.sum(axis=0)
            self.held_out_totals = {offset: _totals(self.held_out, offset, self.d_vocab) for offset in (-1, 0, 1)}

    @property
    def d_vocab(self) -> int:
        return len(self.vocabulary.texts)

    def labels(self, layer: int, counts: LayerStatistics, promoted: Int[np.ndarray, "feature k"]) -> list[Label]:
        """Return the labels of all features of a layer.

        Args:
            promoted: the tokens that each feature promotes most.
        """
        chosen = self._choose(layer, counts, promoted)
        rules = [rule if best >= ACCEPTED else None for rule, best in chosen]
        scores = self._scores(layer, rules)
        for own, wrong in zip(scores, self._scores(layer, _exchanged(rules)), strict=True):
            if "score" in own:
                own["control"] = wrong.get("score")
        labels = []
        for index, ((rule, best), scored) in enumerate(zip(chosen, scores, strict=True)):
            if not counts.n_active[index]:
                n_tokens = int(self.token_totals.sum())
                labels.append(Label("silent", "silent", "silent", reason=f"it never fired on {n_tokens:,} tokens"))
            elif rule is None or best < ACCEPTED:
                labels.append(self._abstract(rule, best, index, counts, promoted))
            else:
                kind: Kind = "output-like" if rule.where == "next" else "input-like"
                labels.append(Label(rule.label(self.vocabulary), kind, rule.family(self.vocabulary), **scored))
        return labels

    def _choose(
        self, layer: int, counts: LayerStatistics, promoted: Int[np.ndarray, "feature k"]
    ) -> list[tuple[Rule | None, float]]:
        """Return each feature's best rule and its score on the text that it was chosen on."""
        n_features = len(counts.n_active)
        sampled = self.sample.n_active[layer]
        enough = sampled >= _LEAST_SAMPLED
        best, scores = np.zeros(n_features), np.zeros(n_features)
        rules: list[Rule | None] = [None] * n_features

        def offer(index: int, rule: Rule, score: float, bonus: float) -> None:
            if score + bonus > best[index]:
                best[index], scores[index], rules[index] = score + bonus, score, rule

        whole = Counts(counts.token_key // self.d_vocab, counts.token_key % self.d_vocab, counts.token_count)
        found = best_sets(whole, counts.n_active, self.token_totals, int(self.token_totals.sum()))
        for index, tokens, score in _sets(*found):
            offer(index, Rule("current", tokens=tokens), score, _BONUS["small set" if len(tokens) <= 2 else "set"])
        values = balanced_accuracy(
            self.columns.hits(self.sample, layer), self.said, sampled[:, None], self.sample.n_tokens
        )
        values[~enough] = 0
        values = np.where(self._allowed(promoted), values, 0)
        for index, column in enumerate(values.argmax(axis=1)):
            offer(index, self.columns.rules[column], float(values[index, column]), _BONUS["kind"])
        for offset, where in ((-1, "previous"), (1, "next")):
            beside = counts_beside(self.sample, layer, offset, self.d_vocab)
            keep = enough[beside.feature]
            if where == "next":
                keep &= (promoted[beside.feature] == beside.token[:, None]).any(axis=1)
            found = best_sets(beside.of(keep), sampled, self.totals[offset], self.sample.n_tokens)
            for index, tokens, score in _sets(*found):
                offer(index, Rule("previous" if offset < 0 else "next", tokens=tokens), score, _BONUS["sampled set"])
        return list(zip(rules, scores.tolist(), strict=True))

    def _allowed(self, promoted: Int[np.ndarray, "feature k"]) -> np.ndarray:
        """Return which rules a feature may have: it says a kind of tokens only if it promotes such."""
        share = self.vocabulary.is_kind[promoted].mean(axis=1)
        allowed = np.ones((len(promoted), len(self.columns.rules)), bool)
        for column, rule in enumerate(self.columns.rules):
            if rule.where == "next" and rule.kind is not None:
                allowed[:, column] = share[:, rule.kind] >= _PROMOTED_OF_KIND
        return allowed

    def _scores(self, layer: int, rules: list[Rule | None]) -> list[dict[str, Any]]:
        held_out = self.held_out
        if held_out is None:
            return [{"reason": "the corpus has no held-out text"}] * len(rules)
        active = held_out.n_active[layer]
        hits_of_columns = self.held_out_columns.hits(held_out, layer)
        column_of = {rule: column for column, rule in enumerate(self.held_out_columns.rules)}
        starts = np.searchsorted(held_out.layers[layer].feature, np.arange(len(rules) + 1))
        token_index = held_out.token_index(layer)
        beside = {offset: held_out.neighbour(offset) for offset in (-1, 0, 1)}
        scores: list[dict[str, Any]] = []
        for index, rule in enumerate(rules):
            if rule is None:
                scores.append({})
                continue
            if active[index] < _LEAST_SCORED:
                scores.append({"reason": f"it fired on {active[index]} held-out tokens, too few to score"})
                continue
            if rule in column_of:
                column = column_of[rule]
                hits, said = int(hits_of_columns[index, column]), int(self.held_out_said[column])
            else:
                offset = {"previous": -1, "current": 0, "next": 1}[rule.where]
                own = beside[offset][token_index[starts[index] : starts[index + 1]]]
                hits = int(np.isin(own, rule.tokens).sum())
                said = int(self.held_out_totals[offset][list(rule.tokens)].sum())
            accuracy = balanced_accuracy(np.array(hits), np.array(said), active[index], held_out.n_tokens)
            scores.append(
                {
                    "score": float(accuracy),
                    "precision": hits / said if said else None,
                    "recall": hits / int(active[index]),
                }
            )
        return scores

    def _abstract(
        self, rule: Rule | None, best: float, index: int, counts: LayerStatistics, promoted: np.ndarray
    ) -> Label:
        """Return the label of a feature that no rule predicts: what it fires on most, and what it promotes."""
        on = self._telling_tokens(index, counts)
        # A large vocabulary has tokens that no text holds; features of the middle promote such by accident.
        says = tuple(token for token in promoted[index].tolist() if self.token_totals[token])[:2]
        reason = "no rule on tokens, position or next token predicts it"
        if rule is not None:
            reason += f": the best one, {rule.label(self.vocabulary)}, reached {best:.2f} where {ACCEPTED} is asked"
        text = " → ".join(quoted(tokens, self.vocabulary) for tokens in (on, says) if tokens)
        return Label(text, "abstract", "abstract", reason=reason)

    def _telling_tokens(self, index: int, counts: LayerStatistics, k: int = 2) -> tuple[int, ...]:
        """Return the tokens that say most about where a feature fires: share of its activation × log of the lift.

        By activation alone they would be those that are frequent anyway, such as “the”.
        """
        first, last = np.searchsorted(counts.token_key, np.array([index, index + 1]) * self.d_vocab)
        token = counts.token_key[first:last] % self.d_vocab
        here = counts.token_count[first:last] / counts.n_active[index]
        lift = here / (self.token_totals[token] / self.token_totals.sum())
        score = counts.token_total[first:last] * np.log(np.maximum(lift, 1e-9))
        return tuple(token[np.argsort(-score, kind="stable")[:k]].tolist())


def _exchanged(rules: list[Rule | None]) -> list[Rule | None]:
    """Return the rules with each given to another feature that had one, the farthest away in the layer."""
    having = [index for index, rule in enumerate(rules) if rule is not None]
    exchanged: list[Rule | None] = [None] * len(rules)
    if len(having) < 2:
        return exchanged
    for place, index in enumerate(having):
        exchanged[index] = rules[having[(place + len(having) // 2) % len(having)]]
    return exchanged


def _sets(chosen: Counts, score: Float[np.ndarray, " feature"]) -> list[tuple[int, tuple[int, ...], float]]:
    features, first = np.unique(chosen.feature, return_index=True)
    ends = np.r_[first, len(chosen.feature)][1:]
    return [
        (int(feature), tuple(chosen.token[start:end].tolist()), float(score[feature]))
        for feature, start, end in zip(features, first, ends, strict=True)
    ]


def _totals(sample: TokenSample, offset: int, d_vocab: int) -> Int[np.ndarray, " vocab"]:
    token = sample.neighbour(offset)
    return np.bincount(token[token >= 0], minlength=d_vocab)
