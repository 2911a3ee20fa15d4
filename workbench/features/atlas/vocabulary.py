"""Kinds of tokens, by which features are named: digits, newlines, articles, Cyrillic."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from workbench.corpus.tokens import special_token_ids
from workbench.models import LoadedModel


@dataclass(frozen=True)
class TokenKind:
    """A set of tokens with a name.

    Attributes:
        family: what labels by it are filed under.
    """

    name: str
    family: str
    has: Callable[[str], bool]


def _words(text: str) -> Callable[[str], bool]:
    words = frozenset(text.split())
    return lambda token: token.strip().lower() in words


def _all(test: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda token: bool(token.strip()) and all(map(test, token.strip()))


def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def _ending(suffix: str, least: int) -> Callable[[str], bool]:
    def has(token: str) -> bool:
        word = token.strip()
        return len(word) >= least and word.isalpha() and word.endswith(suffix)

    return has


def _script(name: str) -> Callable[[str], bool]:
    def has(token: str) -> bool:
        return not token.isascii() and any(
            character.isalpha() and name in unicodedata.name(character, "") for character in token
        )

    return has


def _is_capitalised(token: str) -> bool:
    word = token.strip()
    return len(word) > 1 and word.isalpha() and word[0].isupper() and word[1:].islower()


def _is_upper_case(token: str) -> bool:
    word = token.strip()
    return len(word) > 1 and word.isalpha() and word.isupper()


def _has_accent(token: str) -> bool:
    return not token.isascii() and any(
        character.isalpha() and not character.isascii() and "LATIN" in unicodedata.name(character, "")
        for character in token
    )


_CODE = frozenset(
    "{ } ; () (); (& :: -> => == != += -= && || /// // /* */ :: _ ` ``` <- >> << [] &mut &self fn let".split()
)

TOKEN_KINDS: tuple[TokenKind, ...] = (
    TokenKind("digits", "number", _all(str.isdigit)),
    TokenKind(
        "number words",
        "number",
        _words("one two three four five six seven eight nine ten hundred thousand first second third"),
    ),
    TokenKind("newline", "whitespace", lambda token: "\n" in token),
    TokenKind("spaces", "whitespace", lambda token: bool(token) and not token.strip() and "\n" not in token),
    TokenKind("punctuation", "punctuation", _all(_is_punctuation)),
    TokenKind("sentence ends", "punctuation", _words('. ! ? ." !" ?" .)')),
    TokenKind("commas and colons", "punctuation", _words(", ; : --")),
    TokenKind("opening brackets and quotes", "punctuation", _words('( [ { (" “ ‘ "( <')),
    TokenKind("closing brackets and quotes", "punctuation", _words(") ] } ), ). ) ); ” ’ >")),
    TokenKind("quotes", "punctuation", _words('" \' “ ” ‘ ’ \'\' `` ` ", ." ,"')),
    TokenKind("code symbols", "code", lambda token: token.strip() in _CODE),
    TokenKind("capitalised words", "name", _is_capitalised),
    TokenKind("upper case", "token", _is_upper_case),
    TokenKind("word continuations", "token", lambda token: token[:1].isalpha() and token[:1].islower()),
    TokenKind("articles", "token", _words("a an the")),
    TokenKind(
        "prepositions",
        "token",
        _words("of in to for with on at by from as into through over between after under against about upon"),
    ),
    TokenKind(
        "pronouns",
        "token",
        _words("i you he she it we they me him her us them my your his its our their myself himself herself"),
    ),
    TokenKind("conjunctions", "token", _words("and or but nor so yet because if although while unless that")),
    TokenKind(
        "auxiliary verbs",
        "token",
        _words(
            "is are was were be been being am has have had do does did will would shall should can could may might must"
        ),
    ),
    TokenKind("question words", "token", _words("who what which where when why how whose whom")),
    TokenKind("negations", "token", _words("not no never none nothing nor neither n't don't cannot")),
    TokenKind(
        "months and days",
        "name",
        _words(
            "january february march april may june july august september october november december "
            "monday tuesday wednesday thursday friday saturday sunday"
        ),
    ),
    TokenKind("words in -ing", "token", _ending("ing", 5)),
    TokenKind("words in -ed", "token", _ending("ed", 4)),
    TokenKind("words in -ly", "token", _ending("ly", 4)),
    TokenKind("words in -s", "token", _ending("s", 4)),
    TokenKind("Greek", "language", _script("GREEK")),
    TokenKind("Cyrillic", "language", _script("CYRILLIC")),
    TokenKind("Chinese characters", "language", _script("CJK")),
    TokenKind("Japanese kana", "language", lambda token: _script("HIRAGANA")(token) or _script("KATAKANA")(token)),
    TokenKind("Hangul", "language", _script("HANGUL")),
    TokenKind("Arabic", "language", _script("ARABIC")),
    TokenKind("Hebrew", "language", _script("HEBREW")),
    TokenKind("Devanagari", "language", _script("DEVANAGARI")),
    TokenKind("accented letters", "language", _has_accent),
)

# A text is of a language (or is code) where so many of its typical words stand near.
TEXT_KINDS: tuple[TokenKind, ...] = (
    TokenKind(
        "Spanish text", "language", _words("el los las una es en por con para más pero como está del al que su de la")
    ),
    TokenKind(
        "French text", "language", _words("le les des est et une dans pour qui sur pas avec plus sont du la de il que")
    ),
    TokenKind(
        "German text", "language", _words("der die das und ist nicht ein eine den mit von zu im für auf dem des sich")
    ),
    TokenKind("Italian text", "language", _words("il di che è una per non con sono della nel più gli le la del")),
    TokenKind("Portuguese text", "language", _words("o os uma de da do em para com não que mais por são no na")),
    TokenKind("Latin text", "language", _words("et in est non ad cum qui quod sed ut ex ab per sunt")),
    TokenKind("code", "code", lambda token: token.strip() in _CODE or token.strip() in {"=", "(", ")", "{", "}", ";"}),
    TokenKind("numbers near", "number", _all(str.isdigit)),
)
NEAR, TYPICAL = 8, 4


@dataclass(frozen=True)
class Vocabulary:
    """Which token is of which kind.

    Attributes:
        texts: each token decoded by itself.
        is_kind: of ``TOKEN_KINDS``.
        is_typical: of the words of ``TEXT_KINDS``.
        special: ids of control tokens.
    """

    texts: tuple[str, ...]
    is_kind: Bool[np.ndarray, "vocab kind"]
    is_typical: Bool[np.ndarray, "vocab text_kind"]
    special: frozenset[int]

    @classmethod
    def of(cls, model: LoadedModel) -> Vocabulary:
        """Return the vocabulary of a model."""
        texts = tuple(str(text) for text in model.tokenizer.batch_decode([[token] for token in range(model.d_vocab)]))
        special = special_token_ids(model.tokenizer)
        # A control token is named by its text alone.
        plain = ["" if token in special else text for token, text in enumerate(texts)]
        return cls(texts, _table(plain, TOKEN_KINDS), _table(plain, TEXT_KINDS), special)

    def near(self, tokens: Int[np.ndarray, "row position"]) -> Bool[np.ndarray, "token text_kind"]:
        """Return of each token at positions ≥ 1 which kinds of text it stands in: 4 typical tokens at most 8 away."""
        typical = self.is_typical[tokens].astype(np.int64)
        n_rows, length, n_kinds = typical.shape
        sums = np.concatenate([np.zeros((n_rows, 1, n_kinds), np.int64), typical.cumsum(axis=1)], axis=1)
        position = np.arange(1, length)
        counts = sums[:, np.minimum(position + NEAR + 1, length)] - sums[:, np.maximum(position - NEAR, 0)]
        found: Bool[np.ndarray, "token text_kind"] = (counts >= TYPICAL).reshape(-1, n_kinds)
        return found


def _table(texts: list[str], kinds: tuple[TokenKind, ...]) -> Bool[np.ndarray, "vocab kind"]:
    return np.array([[kind.has(text) for kind in kinds] for text in texts], dtype=bool).reshape(len(texts), len(kinds))
