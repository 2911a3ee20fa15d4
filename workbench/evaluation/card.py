"""The model card of a CLT: what it is, how it was trained, how good it is, beside what it must beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.evaluation.baselines import BASELINES
from workbench.evaluation.cells import FIGURES, difference_cells, interval_cells, markdown_table, quality_cells
from workbench.evaluation.report import CLTReport
from workbench.files import atomic_file
from workbench.models import is_named, named_model

# What a licence demands to be shipped with everything that is derived from the model, word for word.
_NOTICES = {
    "Gemma Terms of Use": (
        "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms"
    )
}

_DEFINITIONS = """\
All figures are over positions ≥ 1 of held-out rows that begin with the start token; at position 0 the model's own MLP \
outputs are kept.

- **FVU**: Σ|y − ŷ|² / Σ|y − ȳ|² of what the MLPs write, ŷ computed from the model's own activations; mean over \
layers. Tokens of outlier norm (16 times the median at some layer) count like any other and can own a layer's FVU. \
**FVU, typical** leaves them out, as training does.
- **L0**: active features a token, all layers together. **Dead**: never active on these tokens, so fewer on more text. \
**Dense**: active on more than 10 % of them.
- **KL**, **ΔCE**, **top-1**: the replacement model, in which *every* MLP is replaced and each layer reads what the \
replaced layers below made, against the model: KL(model ‖ replacement) and the rise of the cross-entropy in nats, the \
share of positions where both predict the same token.
- **Replacement**, **completeness**, **error share**, **path length** (mean number of edges from tokens to logits): \
means over the attribution graphs of the evaluation prompts. A graph without any feature has scores too, because \
attention carries tokens to the output: compare with the baselines without features.
- **Intervals**: 95 % bootstrap intervals, of graph scores over prompts, of all else over rows of text. Differences \
are taken on the same rows and prompts.
- **Mean ablation**: every MLP output replaced by its layer's held-out mean. **Zero ablation**: by zero. **Linear \
skip**: by a matrix a layer, ridge regression on training text. **Its skip alone**: the CLT's own skip and the best \
constant. **Shuffled control**: the same features and the same decoder rows, wrongly paired within each layer; its \
graph scores are over ten of the prompts."""

_ATLAS = (
    "An `atlas.parquet` in this folder is under the same terms; its examples are short passages of the corpus that it "
    "was built from, each under the licence of its text (`data/corpus` for the bundled one)."
)

# What the table of differences shows: one figure of each kind.
_COMPARED = ("fvu", "kl", "top1_agreement", "replacement_score", "completeness_score", "error_share")


def write_model_card(report: CLTReport, train_metadata: Mapping[str, Any], path: Path | str) -> None:
    """Write the model card of a CLT as Markdown, whole or not at all.

    Args:
        train_metadata: recipe, tokens, time, as the trainer keeps them; nested values are flattened, and
            what the report measures anew is left out.

    Raises:
        ResourceError: the file cannot be written.
    """
    with atomic_file(path) as temporary:
        temporary.write_text(model_card(report, train_metadata), encoding="utf-8")


def model_card(report: CLTReport, train_metadata: Mapping[str, Any]) -> str:
    """Return the text of the model card; see :func:`write_model_card`."""
    kind = "per-layer transcoder" if report.window == 1 else f"cross-layer transcoder of window {report.window}"
    n_layers = len(report.fvu_by_layer)
    sections = [
        f"# A CLT of {report.model}",
        f"A {kind}: {n_layers} layers × {report.n_features:,} features, {'with' if report.skip else 'without'} skip. "
        f"It belongs to the model with the fingerprint `{report.fingerprint}` and to no other.",
        "## How good it is",
        f"Measured on {report.n_tokens:,} held-out tokens ({report.n_outliers:,} of outlier norm), on which the "
        f"model's own cross-entropy is {report.ce:.3f} nats"
        + (f", and on {report.n_prompts} prompts." if report.n_prompts else "."),
        _quality_table(report),
        _feature_shares(report),
        _difference_table(report),
        "## By layer",
        _layer_table(report),
        "## How it was trained",
        _recipe(train_metadata),
        "## What the figures mean",
        _DEFINITIONS,
        "## Licence",
        _licence(report.model),
        _ATLAS,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _feature_shares(report: CLTReport) -> str:
    if report.dead_fraction is None or report.dense_fraction is None:
        return ""
    return f"Dead features on these tokens: {report.dead_fraction:.1%}. Dense features: {report.dense_fraction:.1%}."


def _quality_table(report: CLTReport) -> str:
    baselines = [(BASELINES.get(key, key), quality_cells(quality)) for key, quality in report.baselines.items()]
    own = [("**this CLT**", quality_cells(report))]
    if report.intervals:
        own.append(("95 % interval", interval_cells(report.intervals)))
    header = ("", *(heading for heading, _ in FIGURES.values()))
    return markdown_table(header, [(name, *cells) for name, cells in [*own, *baselines]])


def _difference_table(report: CLTReport) -> str:
    compared = [key for key, baseline in report.baselines.items() if baseline.differences]
    if not compared:
        return ""
    rows = [
        (f"− {BASELINES.get(key, key)}", *difference_cells(report.baselines[key].differences, _COMPARED))
        for key in compared
    ]
    return markdown_table(("this CLT …", *(FIGURES[name][0] for name in _COMPARED)), rows)


def _layer_table(report: CLTReport) -> str:
    dead = report.dead_by_layer or [0.0] * len(report.fvu_by_layer)
    rows = zip(report.fvu_by_layer, report.fvu_typical_by_layer, report.l0_by_layer, dead, strict=True)
    return markdown_table(
        ("layer", "FVU", "FVU, typical", "L0", "dead"),
        [
            (str(layer), f"{fvu:.3f}", f"{typical:.3f}", f"{l0:.1f}", f"{dead:.1%}")
            for layer, (fvu, typical, l0, dead) in enumerate(rows)
        ],
    )


def _recipe(metadata: Mapping[str, Any]) -> str:
    told = {key: value for key, value in metadata.items() if key not in CLTReport.model_fields}
    if not told:
        return "Nothing is recorded of its training."
    return markdown_table(("", "value"), [(f"`{key}`", _inline(value)) for key, value in _flat(told)])


def _flat(metadata: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _inline(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    # A pipe or a line break would end the cell.
    return str(value).replace("|", "\\|").replace("\n", " ")


def _licence(model: str) -> str:
    if not is_named(model):
        return f"This CLT is derived from {model}: the licence of that model applies to it too."
    named = named_model(model)
    text = f"This CLT is derived from {model}, which is under the {named.licence} ({named.licence_url})"
    notice = _NOTICES.get(named.licence)
    if notice is None:
        return f"{text}, and is distributed under the same licence."
    return (
        f"{text}. Those terms, their use restrictions included, bind whoever uses this CLT or passes it on, and this "
        f"notice has to travel with it:\n\n> {notice}"
    )
