"""Figures as text, for the tables of the command line and of Markdown pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from workbench.evaluation.bootstrap import Interval
from workbench.evaluation.report import Difference, Quality

# Figure → heading and format, in the order of every table.
FIGURES = {
    "fvu": ("FVU", ".3f"),
    "fvu_typical": ("FVU, typical", ".3f"),
    "l0": ("L0", ".1f"),
    "kl": ("KL", ".3f"),
    "delta_ce": ("ΔCE", ".3f"),
    "top1_agreement": ("top-1", ".3f"),
    "replacement_score": ("replacement", ".3f"),
    "completeness_score": ("completeness", ".3f"),
    "error_share": ("error share", ".3f"),
    "average_path_length": ("path length", ".2f"),
}
MISSING = "–"


def quality_cells(quality: Quality) -> list[str]:
    """Return the figures of one row of a comparison, a dash for what was not measured."""
    values = ((getattr(quality, name), spec) for name, (_, spec) in FIGURES.items())
    return [MISSING if value is None else format(value, spec) for value, spec in values]


def interval_cells(intervals: Mapping[str, Interval]) -> list[str]:
    """Return the intervals of the same figures, a dash for those without."""
    return [_bounds(intervals.get(name), spec) for name, (_, spec) in FIGURES.items()]


def difference_cells(differences: Mapping[str, Difference], figures: Sequence[str]) -> list[str]:
    """Return differences with their intervals: ``−0.213 (−0.240 … −0.190)``."""
    cells = []
    for name in figures:
        difference, spec = differences.get(name), FIGURES[name][1]
        if difference is None:
            cells.append(MISSING)
        elif difference.interval is None:
            cells.append(_signed(difference.difference, spec))
        else:
            low, high = (_signed(bound, spec) for bound in difference.interval)
            cells.append(f"{_signed(difference.difference, spec)} ({low} … {high})")
    return cells


def _bounds(bounds: Interval | None, spec: str) -> str:
    return MISSING if bounds is None else " … ".join(format(bound, spec) for bound in bounds)


def _signed(value: float, spec: str) -> str:
    return format(value, f"+{spec}").replace("-", "−")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown, the first column to the left and figures to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *rows))
