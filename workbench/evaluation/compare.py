"""Several CLTs of one model on the same text and the same prompts."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from workbench.clt import load_clt
from workbench.corpus import Corpus
from workbench.errors import ConfigError
from workbench.evaluation.evaluate import evaluate_clt
from workbench.evaluation.graph_scores import check_prompts
from workbench.evaluation.linear_skip import LinearSkip, fit_linear_skip, training_tokens
from workbench.evaluation.quality import differences
from workbench.evaluation.replacement import check_belongs
from workbench.evaluation.report import CLTReport, Difference
from workbench.models import LoadedModel

# The shuffled control tells of one CLT and costs as much again; `workbench evaluate` measures it.
BESIDE = ("skip_alone", "linear_skip", "mean_ablation")


class Comparison(BaseModel):
    """Several CLTs of one model, each with its baselines, and how far they are from the first.

    ``differences`` is by CLT and figure: that CLT minus the first, paired by rows of text and by prompts.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    clts: list[CLTReport]
    differences: dict[str, dict[str, Difference]] = Field(description="from the first CLT, paired")


def compare_clts(
    model: LoadedModel,
    names: Sequence[str],
    *,
    corpus: Corpus,
    tokens: Int[Tensor, "row position"],
    prompts: Sequence[str] = (),
    seed: int = 0,
    progress: bool = True,
) -> Comparison:
    """Evaluate several CLTs on the same text and prompts.

    Args:
        names: at least two CLTs, by name or folder.
        corpus: the linear skip is fitted to its training part.
        tokens: its held-out rows.

    Raises:
        ConfigError: there are fewer than two CLTs, or one is named twice.
        CLTError: a CLT is unknown or of another model; nothing has been measured then.
        PromptError: a prompt cannot be scored.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"A comparison needs at least two different CLTs, not {', '.join(names) or 'none'}.")
    check_prompts(model, prompts)
    # One at a time is in memory: a full CLT can be larger than the model.
    for name in names:
        check_belongs(model, load_clt(name, model=model))
    training = training_tokens(model, corpus, row_length=tokens.shape[1], seed=seed)
    skips: dict[tuple[str, str], LinearSkip] = {}
    reports: list[CLTReport] = []
    for name in names:
        clt = load_clt(name, model=model)
        hooks = (clt.config.read_hook, clt.config.write_hook)
        if hooks not in skips:
            skips[hooks] = fit_linear_skip(model, training, read_hook=hooks[0], write_hook=hooks[1], progress=progress)
        report = evaluate_clt(
            model,
            clt,
            tokens=tokens,
            prompts=prompts,
            linear_skip=skips[hooks],
            baselines=BESIDE,
            name=name,
            seed=seed,
            progress=progress,
        )
        reports.append(report)
    return Comparison(
        model=model.name,
        clts=reports,
        differences={report.clt: differences(report, reports[0], seed=seed) for report in reports[1:]},
    )
