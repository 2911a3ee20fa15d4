"""Arithmetic prompts from a template, and where in each prompt its parts stand.

Where an operand begins and ends depends on the tokenizer: SmolLM2 gives every digit a token of its own, other models
take up to three digits together. So positions are found for each prompt, from the tokenizer's own offsets.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import torch

from workbench.errors import ConfigError, ModelError, PromptError
from workbench.models import LoadedModel, checked_tokens

OPERANDS = ("a", "b")
_ROLES = ("a_first", "a_last", "b_first", "b_last", "last")


class Prompts(NamedTuple):
    """The prompts of all pairs of operands, b running fastest.

    Attributes:
        rows: the token ids of each, the start token first; they need not be equally long.
        positions: in each, the position of the role's token.
    """

    rows: list[tuple[int, ...]]
    positions: list[int]


@dataclass(frozen=True)
class Template:
    """A prompt with ``{a}`` and ``{b}`` in it.

    Attributes:
        text: as it was given; a literal brace is written twice, ``{a:02d}`` pads with zeros.
        pieces: the literals and operands in their order: (literal, None) or (name, format).
    """

    text: str
    pieces: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a template.

        Raises:
            ConfigError: it does not hold ``{a}`` and ``{b}`` exactly once each, or a brace is left open.
        """
        pieces: list[tuple[str, str | None]] = []
        try:
            for literal, name, form, conversion in string.Formatter().parse(text):
                if literal:
                    pieces.append((literal, None))
                if name is not None:
                    if name not in OPERANDS or conversion:
                        raise ConfigError(f"The template {text!r} holds {{{name}}}: its operands are {{a}} and {{b}}.")
                    # What cannot format a whole number is told here, not in the middle of a run.
                    format(0, form or "")
                    pieces.append((name, form or ""))
        except ValueError as error:
            raise ConfigError(
                f"The template {text!r} cannot be read ({error}): write '{{a}} + {{b}} = ', a literal brace twice."
            ) from error
        for operand in OPERANDS:
            count = sum(name == operand and form is not None for name, form in pieces)
            if count != 1:
                raise ConfigError(
                    f"The template {text!r} holds {{{operand}}} {count} times: give each of {{a}} and {{b}} once."
                )
        return cls(text, tuple(pieces))

    def fill(self, a: int, b: int) -> str:
        """Return the prompt of two operands."""
        return "".join(piece for piece, _ in self._filled(a, b))

    def character(self, role: str, a: int, b: int) -> int:
        """Return the index of the character whose token a role names.

        Args:
            role: ``a_first``, ``a_last``, ``b_first``, ``b_last`` (the operand's first or last digit), ``last`` (the
                prompt's end), or a literal of the template such as ``"="``, of which the last character counts.

        Raises:
            ConfigError: the template has no such role, or a literal stands in it more than once.
        """
        filled = self._filled(a, b)
        starts = [0]
        for piece, _ in filled:
            starts.append(starts[-1] + len(piece))
        if role == "last":
            return starts[-1] - 1
        operand, _, end = role.partition("_")
        if role in _ROLES:
            at = next(at for at, (_, name) in enumerate(filled) if name == operand)
            return starts[at] if end == "first" else starts[at + 1] - 1
        found = [
            starts[at] + offset + len(role) - 1
            for at, (piece, name) in enumerate(filled)
            if name is None and role
            for offset in range(len(piece))
            if piece.startswith(role, offset)
        ]
        if len(found) == 1:
            return found[0]
        if found:
            raise ConfigError(
                f"The literal {role!r} stands {len(found)} times in the template {self.text!r}: "
                "give more of it, so that one place is meant."
            )
        literals = ", ".join(repr(piece.strip() or piece) for piece, form in self.pieces if form is None)
        raise ConfigError(
            f"The template {self.text!r} has no role {role!r}: give one of {', '.join(_ROLES)}"
            + (f", or a literal of it ({literals})." if literals else ".")
        )

    def prompts(self, model: LoadedModel, a: Sequence[int], b: Sequence[int], role: str) -> Prompts:
        """Return the tokens of all pairs, and where the role stands in each.

        Raises:
            ConfigError: the template has no such role.
            PromptError: a prompt is too long for the model.
            ModelError: the tokenizer does not tell where its tokens stand in the text.
        """
        self.character(role, 0, 0)
        pairs = list(product(a, b))
        if not getattr(model.tokenizer, "is_fast", False):
            raise ModelError(
                f"The tokenizer of {model.name!r} does not tell where its tokens stand in the text: "
                "operands need a model with a fast tokenizer."
            )
        encoded = model.tokenizer(
            [self.fill(*pair) for pair in pairs], add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        rows, positions = [], []
        for pair, ids, offsets in zip(pairs, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            character = self.character(role, *pair)
            # Spaces that a tokenizer leaves out of its offsets belong to the token that follows them.
            position = next((at for at, (_, end) in enumerate(offsets, start=1) if end > character), None)
            if position is None:
                raise PromptError(
                    f"The tokenizer of {model.name!r} gives no token for the end of {self.fill(*pair)!r}: "
                    "let the template end in something else."
                )
            rows.append((model.start_token_id, *ids))
            positions.append(position)
        checked_tokens(model, torch.tensor(max(rows, key=len)))
        return Prompts(rows, positions)

    def _filled(self, a: int, b: int) -> list[tuple[str, str | None]]:
        """Return (text, operand or None) piece by piece."""
        values = {"a": a, "b": b}
        return [(piece, None) if form is None else (format(values[piece], form), piece) for piece, form in self.pieces]
