"""The sceptic's report: one page of questions, each with its answer, its number and its control."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd

from workbench.evaluation.bootstrap import Interval
from workbench.evaluation.cells import MISSING, markdown_table

_HEADINGS = ("Question", "Answer", "Number", "95 %", "Control", "n")
COLUMNS = ("part", "question", "answer", "number", "low", "high", "control", "n")


class Line(NamedTuple):
    """One line of the report.

    Attributes:
        part: what it is about: ``paths``, ``variants``, ``model``, ``attention``.
        answer: in plain words, what the number is of included.
        number: NaN where nothing was measured; the answer says why.
        control: the same figure where there is nothing to find; NaN where there is no such control.
        interval: 95 % bootstrap interval of the number.
        n: how many things the number is of.
    """

    part: str
    question: str
    answer: str
    number: float = math.nan
    control: float = math.nan
    interval: Interval | None = None
    n: int = 0

    @property
    def row(self) -> dict[str, Any]:
        low, high = self.interval or (math.nan, math.nan)
        return {**self._asdict(), "low": low, "high": high}


@dataclass(frozen=True, repr=False)
class Scrutiny:
    """What speaks for it that a graph shows the model and not only the method.

    In a notebook it shows itself as a page; :meth:`to_markdown` gives the same as text.

    Attributes:
        prompt: the graph's prompt.
        answer: the token whose logit is followed.
        lines: one row a question: part, question, answer, number, low, high (95 % bootstrap interval), control (the
            same figure where there is nothing to find), n.
        tables: what the numbers were computed from, by name:

            - ``paths``: one row a shown path: path, share, error_share;
            - ``variants``: one row a transcoder: variant, title, replacement, completeness, features_share,
              influence_cosine and effect_cosine (with this graph's features, by layer and position), found_again,
              found_control, active_too;
            - ``ablations``: one row a feature: node_id, predicted, measured, control (changes of the answer's logit),
              frozen and control_frozen (the same with attention held);
            - ``mlps``: one row an ablated MLP output: layer, position, token, influence, effect;
            - ``lens``: one row a layer: layer, rank and probability of the answer;
            - ``probe``: one row a depth: layer (−1 is the embedding), accuracy, control and best_control (with
              labels exchanged; of the best depth), says (the label that the graph's prompt gets);
            - ``patching``: one row a patched residual stream: layer, position, token, recovered.
    """

    prompt: str
    answer: str
    lines: pd.DataFrame
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @classmethod
    def of(cls, prompt: str, answer: str, lines: list[Line], tables: Mapping[str, pd.DataFrame]) -> Scrutiny:
        """Return the report of some lines."""
        frame = pd.DataFrame([line.row for line in lines], columns=list(COLUMNS))
        return cls(prompt, answer, frame.astype({"n": "int64"}), dict(tables))

    @property
    def title(self) -> str:
        return f"Is this the model, or only the method? {self.prompt!r} → {self.answer!r}"

    def to_markdown(self) -> str:
        """Return the page as Markdown; text of prompts and tokens is escaped."""
        rows = [[_markdown(cell) for cell in _cells(row)] for row in self.lines.to_dict("records")]
        return f"**{_markdown(self.title)}**\n\n{markdown_table(_HEADINGS, rows)}\n"

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align:left">{html.escape(name)}</th>' for name in _HEADINGS)
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{"left" if at < 2 else "right"};vertical-align:top'
                # Numbers and intervals stay in one piece; sentences wrap.
                f'{";max-width:34em;white-space:normal" if at < 2 else ";white-space:nowrap"}">{html.escape(cell)}</td>'
                for at, cell in enumerate(_cells(row))
            )
            + "</tr>"
            for row in self.lines.to_dict("records")
        )
        return (
            f"<p><b>{html.escape(self.title)}</b></p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )

    def __repr__(self) -> str:
        lines = [self.title]
        for row in self.lines.to_dict("records"):
            _, _, number, bounds, control, _ = _cells(row)
            lines.append(f"{row['question']} {row['answer']} [{number}; 95 % {bounds}; control {control}]")
        return "\n".join(lines)


def _cells(row: Mapping[Any, Any]) -> tuple[str, ...]:
    bounds = MISSING if math.isnan(row["low"]) else f"{_number(row['low'])} … {_number(row['high'])}"
    n = f"{row['n']:,}" if row["n"] else MISSING
    return row["question"], row["answer"], _number(row["number"]), bounds, _number(row["control"]), n


def _number(value: float) -> str:
    if math.isnan(value):
        return MISSING
    if float(value).is_integer() and abs(value) >= 2:
        return f"{value:.0f}"
    return f"{value:.2f}".replace("-", "−")


def _markdown(text: str) -> str:
    """Return text that Markdown shows as it is, inside a cell of a table."""
    for mark in "\\`*_{}[]<>#|$~":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
