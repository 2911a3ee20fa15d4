"""Labels by rule, on texts where it is known what each feature fires on."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.features.atlas.encode import Entries
from workbench.features.atlas.labels import Label, Labeller
from workbench.features.atlas.plan import AtlasPlan
from workbench.features.atlas.rules import Rule, quoted
from workbench.features.atlas.sample import TokenSample
from workbench.features.atlas.statistics import LayerStatistics
from workbench.features.atlas.vocabulary import TEXT_KINDS, TOKEN_KINDS, Vocabulary, _table

TEXTS = ["", "Texas", " Texas", "7", " 42", "\n", ".", " the", " el", " los", " que", " por", " cat", " dog", " ran"]
TEXTS += [" and", "8", "9"]
TEXAS, SPACE_TEXAS, NEWLINE, STOP, THE, CAT = 1, 2, 5, 6, 7, 12
NO_TEXT_HOLDS = 0
DIGITS, SPANISH = (3, 4, 16, 17), (8, 9, 10, 11)
LENGTH, N_ROWS = 12, 60
VOCABULARY = Vocabulary(tuple(TEXTS), _table(TEXTS, TOKEN_KINDS), _table(TEXTS, TEXT_KINDS), frozenset({0}))
FEATURES = ("Texas", "digits", "after newline", "says the", "first token", "Spanish", "chance", "silent", "half digits")
FEATURES += ("more at cat",)


def text(seed: int) -> np.ndarray:
    """Return random rows; a third of them is Spanish."""
    random = np.random.default_rng(seed)
    tokens = random.choice([*range(1, 8), *range(12, 18)], size=(N_ROWS, LENGTH))
    tokens[::3] = random.choice([*SPANISH, STOP], size=tokens[::3].shape)
    tokens[:, 0] = 0
    return np.asarray(tokens)


def fires(tokens: np.ndarray, seed: int) -> np.ndarray:
    """Return where each feature fires: [feature, row, position]."""
    random = np.random.default_rng(seed + 1000)
    previous, following = np.roll(tokens, 1, axis=1), np.roll(tokens, -1, axis=1)
    following[:, -1] = 0
    position = np.broadcast_to(np.arange(LENGTH), tokens.shape)
    digits = np.isin(tokens, DIGITS)
    found = np.stack(
        [
            np.isin(tokens, [TEXAS, SPACE_TEXAS]),
            digits,
            previous == NEWLINE,
            following == THE,
            position == 1,
            np.isin(np.arange(N_ROWS), np.arange(0, N_ROWS, 3))[:, None] & (position > 0),
            random.random(tokens.shape) < 0.2,
            np.zeros_like(digits),
            digits & (random.random(tokens.shape) < 0.5),
            random.random(tokens.shape) < np.where(tokens == CAT, 0.5, 0.25),
        ]
    )
    found[:, :, 0] = False
    return found


def sample(seed: int) -> TokenSample:
    tokens = text(seed)
    feature, row, position = fires(tokens, seed).nonzero()
    entries = Entries(feature.astype(np.int32), row * LENGTH + position, np.ones(len(feature), np.float32))
    return TokenSample(tokens, [entries], [], len(FEATURES))


@pytest.fixture(scope="module")
def labels() -> dict[str, Label]:
    chosen_on, scored_on = sample(0), sample(1)
    totals = np.bincount(chosen_on.tokens[:, 1:].ravel(), minlength=len(TEXTS))
    plan = AtlasPlan(row_length=LENGTH)
    entries = chosen_on.layers[0]
    counts = LayerStatistics.of(
        entries,
        chosen_on.tokens.ravel()[entries.at],
        layer=0,
        n_features=len(FEATURES),
        d_vocab=len(TEXTS),
        plan=plan,
    )
    promoted = np.tile([12, 13, 14, 15], (len(FEATURES), 1))
    promoted[FEATURES.index("says the")] = [THE, 12, 13, 14]
    promoted[FEATURES.index("more at cat")] = [NO_TEXT_HOLDS, 13, 14, 15]
    found = Labeller(VOCABULARY, chosen_on, scored_on, totals).labels(0, counts, promoted)
    return dict(zip(FEATURES, found, strict=True))


@pytest.mark.parametrize(
    ("feature", "text", "kind", "family"),
    [
        ("Texas", "“Texas”", "input-like", "name"),
        ("digits", "digits", "input-like", "number"),
        ("after newline", "after newline", "input-like", "whitespace"),
        ("says the", "says “the”", "output-like", "token"),
        ("first token", "first token", "input-like", "position"),
        ("Spanish", "Spanish text", "input-like", "language"),
        ("half digits", "digits", "input-like", "number"),
    ],
)
def test_a_feature_is_named_by_what_it_fires_on(
    labels: dict[str, Label], feature: str, text: str, kind: str, family: str
) -> None:
    label = labels[feature]
    assert (label.text, label.kind, label.family) == (text, kind, family)


def test_a_rule_that_holds_scores_one(labels: dict[str, Label]) -> None:
    for feature in ("Texas", "digits", "after newline", "first token"):
        assert (labels[feature].score, labels[feature].precision, labels[feature].recall) == (1, 1, 1)


def test_the_score_is_the_balanced_accuracy_on_the_held_out_text(labels: dict[str, Label]) -> None:
    held_out = sample(1)
    inner = held_out.tokens[:, 1:]
    said = np.isin(inner, DIGITS)
    active = fires(held_out.tokens, 1)[FEATURES.index("half digits"), :, 1:]
    label = labels["half digits"]
    assert label.score == pytest.approx((said[active].mean() + (~said[~active]).mean()) / 2)
    assert label.precision == pytest.approx(active[said].mean())
    assert label.recall == pytest.approx(said[active].mean())
    assert 0.9 < label.score < 1


def test_beside_the_score_stands_what_a_wrong_label_would_have_got(labels: dict[str, Label]) -> None:
    scored = [label for label in labels.values() if label.score is not None]
    assert len(scored) > 3
    for label in scored:
        assert label.control is not None
    # Each rule was made for its own feature; none of these features share what they fire on.
    assert np.mean([label.score for label in scored]) > np.mean([label.control for label in scored]) + 0.3
    assert labels["chance"].control is None


def test_a_feature_that_no_rule_predicts_is_abstract_and_says_why(labels: dict[str, Label]) -> None:
    label = labels["chance"]
    assert (label.kind, label.score) == ("abstract", None)
    assert label.reason.startswith("no rule on tokens, position or next token predicts it: the best one, ")
    assert "→ “cat”, “dog”" in label.text


def test_an_abstract_feature_is_named_by_telling_tokens_not_by_frequent_ones(labels: dict[str, Label]) -> None:
    tokens, at_feature = sample(0).tokens, fires(sample(0).tokens, 0)[FEATURES.index("more at cat")]
    peaks = np.bincount(tokens[at_feature], minlength=len(TEXTS))
    assert peaks.argmax() == STOP, "it fires on a stop most often, as it does on any frequent token"
    label = labels["more at cat"]
    assert label.kind == "abstract"
    assert label.text.startswith("“cat”")
    assert label.text.endswith(" → “dog”, “ran”"), "a promoted token that no text holds is left out"


def test_a_feature_that_never_fired_is_silent(labels: dict[str, Label]) -> None:
    assert labels["silent"].kind == "silent"
    assert labels["silent"].reason == f"it never fired on {N_ROWS * (LENGTH - 1):,} tokens"


def test_spellings_of_a_token_are_shown_once() -> None:
    assert quoted((TEXAS, SPACE_TEXAS, NEWLINE), VOCABULARY) == "“Texas”, “\\n”"


def test_more_than_three_tokens_are_cut() -> None:
    assert Rule("current", tokens=(12, 13, 14, 15)).label(VOCABULARY) == "“cat”, “dog”, “ran”, …"


@pytest.mark.parametrize(
    ("token", "kinds"),
    [
        (" 42", {"digits"}),
        (" Москва", {"Cyrillic", "capitalised words"}),
        ("\n\n", {"newline"}),
        (" Monday", {"capitalised words", "months and days"}),
        (" running", {"words in -ing"}),
        (" é", {"accented letters"}),
    ],
)
def test_kinds_of_tokens(token: str, kinds: set[str]) -> None:
    assert {kind.name for kind in TOKEN_KINDS if kind.has(token)} == kinds
