"""The page that compares architectures, written from their evaluations alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.errors import FormatError
from workbench.evaluation import CLTReport
from workbench.evaluation.cells import FIGURES, difference_cells, interval_cells, markdown_table, quality_cells
from workbench.evaluation.quality import differences
from workbench.files import read_json

_INTRODUCTION = """\
# Which architecture

A per-layer transcoder (PLT), cross-layer transcoders (CLTs) whose features write to a window of W layers, and a full \
CLT, each with and without an affine skip, trained from one recipe for equal processor time on the same activations: a \
variant that costs more a step gets fewer steps. `make architectures` makes this page.

- All figures are on held-out text and on the evaluation prompts; the model cards say what they mean.
- A skip is a matrix that explains nothing. A CLT with a skip is to be compared with *its skip alone*, and every CLT \
with the *linear skip*, ridge regression from what the MLPs read to what they write.
- Brackets hold 95 % bootstrap intervals of paired differences, over rows of text for KL and top-1 agreement, over \
prompts for the graph scores."""

_COMPARED = ("kl", "top1_agreement", "replacement_score", "completeness_score", "error_share")


@dataclass(frozen=True)
class Variant:
    """One architecture.

    Attributes:
        window: layers that a feature writes to, or ``full``.
    """

    window: str
    skip: bool

    @property
    def slug(self) -> str:
        """The name of its folder."""
        return f"window-{self.window}{'-skip' if self.skip else ''}"

    @property
    def name(self) -> str:
        """What a reader calls it."""
        kind = {"1": "PLT", "full": "full CLT"}.get(self.window, f"CLT, W = {self.window}")
        return f"{kind}, skip" if self.skip else kind

    @classmethod
    def of_folder(cls, folder: Path) -> Variant:
        """Return the variant that a folder is of."""
        window = folder.name.removeprefix("window-")
        return cls(window=window.removesuffix("-skip"), skip=window.endswith("-skip"))

    @property
    def order(self) -> tuple[bool, float]:
        """Those without a skip first, then by window."""
        return self.skip, float("inf") if self.window == "full" else float(self.window)


@dataclass(frozen=True)
class Result:
    """What was found of one variant."""

    variant: Variant
    report: CLTReport
    training: dict[str, Any]


def page(folder: Path) -> str:
    """Return the page as Markdown.

    Args:
        folder: one folder a model, in it one a variant with its ``evaluation.json``.

    Raises:
        FormatError: there is no evaluation, or one is damaged.
    """
    by_model = [_results(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    sections = [_section(results) for results in by_model if results]
    if not sections:
        raise FormatError(f"There is no evaluation in {folder}: run the comparison first.")
    return "\n\n".join([_INTRODUCTION, *sections]) + "\n"


def _results(folder: Path) -> list[Result]:
    results = []
    for path in folder.glob("window-*/evaluation.json"):
        content = read_json(path)
        try:
            training = dict(content.pop("training"))
            report = CLTReport.model_validate(content)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{path} is no evaluation of a variant: {error}; delete it and run again.") from error
        results.append(Result(Variant.of_folder(path.parent), report, training))
    return sorted(results, key=lambda result: result.variant.order)


def _section(results: list[Result]) -> str:
    first = results[0]
    headings = tuple(heading for heading, _ in FIGURES.values())
    rows = []
    for result in results:
        rows.append((f"**{result.variant.name}**", *quality_cells(result.report)))
        if "skip_alone" in result.report.baselines:
            rows.append(("its skip alone", *quality_cells(result.report.baselines["skip_alone"])))
    for key, name in (("linear_skip", "linear skip"), ("mean_ablation", "mean ablation")):
        if key in first.report.baselines:
            rows.append((name, *quality_cells(first.report.baselines[key])))
    return "\n\n".join(
        [
            f"## {first.report.model}",
            f"{first.report.n_features:,} features a layer, {first.report.n_tokens:,} held-out tokens, "
            f"{first.report.n_prompts} prompts.",
            markdown_table(("", *headings), rows),
            _intervals(results),
            "What it cost:",
            _costs(results),
            f"Differences from the {first.variant.name}, paired:",
            _differences(results),
            _conclusion(results),
        ]
    )


def _intervals(results: list[Result]) -> str:
    shown = [name for name in FIGURES if name in _COMPARED]
    columns = [list(FIGURES).index(name) for name in shown]
    rows = []
    for result in results:
        cells = interval_cells(result.report.intervals)
        rows.append((result.variant.name, *(cells[column] for column in columns)))
    return markdown_table(("95 % interval", *(FIGURES[name][0] for name in shown)), rows)


def _costs(results: list[Result]) -> str:
    rows = [
        (
            result.variant.name,
            f"{result.training['parameters'] / 1e6:.1f} M",
            f"{result.training['cpu_seconds']:,.0f}",
            f"{result.training['steps']:,}",
            f"{result.training['token_passes']:,}",
            "–" if result.report.dead_fraction is None else f"{result.report.dead_fraction:.1%}",
            "–" if result.report.dense_fraction is None else f"{result.report.dense_fraction:.1%}",
        )
        for result in results
    ]
    return markdown_table(("", "parameters", "processor seconds", "steps", "tokens seen", "dead", "dense"), rows)


def _differences(results: list[Result]) -> str:
    first = results[0].report
    rows = [
        (result.variant.name, *difference_cells(differences(result.report, first), _COMPARED)) for result in results[1:]
    ]
    return markdown_table(("", *(FIGURES[name][0] for name in _COMPARED)), rows)


def _conclusion(results: list[Result]) -> str:
    """Name the skip-free variants that lead, because the CLTs that are shipped have no skip."""
    plain = [result for result in results if not result.variant.skip]
    if not plain:
        return ""
    kl = min(plain, key=lambda result: result.report.kl)
    told = f"Of those without a skip the {kl.variant.name} has the lowest KL ({kl.report.kl:.3f} nats)"
    scored = [result for result in plain if result.report.replacement_score is not None]
    if not scored:
        return f"{told}."
    best = max(scored, key=lambda result: result.report.replacement_score or 0.0)
    if best is kl:
        return f"{told} and the highest replacement score ({best.report.replacement_score:.3f})."
    return (
        f"{told}, with a replacement score of {kl.report.replacement_score:.3f}; the highest such score is that of the "
        f"{best.variant.name} ({best.report.replacement_score:.3f})."
    )
