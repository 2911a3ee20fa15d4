"""How good a replacement of the model's MLPs a CLT is: on held-out text, on prompts, beside baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError
from workbench.evaluation.baselines import BASELINES, check_baselines
from workbench.evaluation.bootstrap import Resamples
from workbench.evaluation.capture import batches
from workbench.evaluation.fidelity import check_unembedding, compare_runs
from workbench.evaluation.graph_scores import check_prompts, score_graph
from workbench.evaluation.linear_skip import LinearSkip
from workbench.evaluation.quality import ROW_FIGURES, Measured, Text
from workbench.evaluation.replacement import check_belongs, run_replacement
from workbench.evaluation.report import Baseline, CLTReport, PromptScores
from workbench.evaluation.variants import Variant, reconstruct
from workbench.models import LoadedModel

# The shuffled control's graphs cost as much as the CLT's own; those of the other baselines have no features and cost a
# tenth of that. Its difference from the CLT is taken on the same prompts, where ten suffice: with SmolLM2 the
# replacement scores lie .33 apart with a standard deviation of .07 from prompt to prompt, so ten tell it to ± .04.
SHUFFLED_PROMPTS = 10


@torch.no_grad()
def evaluate_clt(
    model: LoadedModel,
    clt: CLT,
    *,
    tokens: Int[Tensor, "row position"],
    prompts: Sequence[str] = (),
    linear_skip: LinearSkip | None = None,
    baselines: Collection[str] = tuple(BASELINES),
    name: str = "",
    seed: int = 0,
    progress: bool = True,
    attribution_options: Mapping[str, Any] | None = None,
) -> CLTReport:
    """Return the quality of a CLT as a replacement of all MLPs, and that of its baselines.

    Definitions, all over positions ≥ 1 of the held-out rows:

    - FVU: mean over layers of Σ|y − ŷ|² / Σ|y − ȳ|², with ŷ computed from the model's own reads. Tokens
      of outlier norm count like any other; ``fvu_typical`` leaves them out, as training does.
    - L0: active features a token, all layers together. Dead: never active on these tokens. Dense: active on more
      than 10 % of them.
    - KL, ΔCE, top-1 agreement: the replacement model (every MLP replaced, each layer reading the
      replacement model's own residual stream) against the model.
    - Graph scores: means over the prompts' attribution graphs; None without prompts. The shuffled control is scored
      on ten prompts, evenly spaced.
    - Intervals: 95 % bootstrap intervals, over rows of text (tokens of a row depend on each other) and over prompts.
      Differences are paired: the CLT minus the baseline on the same rows, and on the prompts that both have.

    Args:
        tokens: held-out rows of equal length, each with the start token at position 0.
        linear_skip: from :func:`workbench.evaluation.fit_linear_skip`; None leaves that baseline out.
        baselines: which to measure.
        name: what the report calls the CLT.
        seed: of the shuffled control and of the bootstrap.
        attribution_options: passed on to :func:`workbench.attribution.attribute`.

    Raises:
        CLTError: the CLT or the linear skip is of another model, or the skip of other hooks.
        ConfigError: there are fewer than two rows or a row holds fewer than three tokens, or a baseline is unknown.
        ModelError: the CLT's hooks are unknown to the model, or its logits are not an unembedding.
        PromptError: a prompt is empty, a single token, too long, or there twice.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Evaluating the replacement model".
    """
    began = time.perf_counter()
    check_belongs(model, clt)
    _check(model, clt, tokens, linear_skip, baselines)
    check_prompts(model, prompts)
    tokens = tokens.to(model.device)
    clt = clt.to(device=model.device, dtype=torch.promote_types(clt.W_enc.dtype, torch.float32))
    n_baselines = len(set(baselines)) - (clt.W_skip is None) * ("skip_alone" in baselines)
    n_baselines -= (linear_skip is None) * ("linear_skip" in baselines)
    with tqdm(
        total=tokens.numel() * (2 + n_baselines) + tokens[:, 1:].numel(),
        unit=" tokens",
        unit_scale=True,
        desc="Held-out text",
        disable=not progress,
    ) as bar:
        found = reconstruct(
            model, clt, tokens, baselines=baselines, linear_skip=linear_skip, seed=seed, advance=bar.update
        )
        check_unembedding(model, tokens[:1, :8])
        runs = {
            key: _replace(model, variant.clt, tokens, advance=bar.update) for key, variant in found.variants.items()
        }
        fidelity = compare_runs(model, tokens, found.final, runs, advance=bar.update)
    del runs
    scores = _score_graphs(model, found.variants, prompts, attribution_options or {}, progress=progress)
    text = Text(found.outputs, Resamples.draw(len(tokens), seed=seed))
    measured = {
        key: Measured(variant, fidelity[key], text, {score.prompt: score for score in scores.get(key, ())})
        for key, variant in found.variants.items()
    }
    own = measured.pop("clt")
    return CLTReport(
        **own.figures(seed=seed),
        clt=name,
        model=model.name,
        fingerprint=model.fingerprint,
        n_features=clt.n_features,
        window=clt.config.window,
        skip=clt.W_skip is not None,
        n_tokens=tokens[:, 1:].numel(),
        n_rows=len(tokens),
        n_outliers=found.outputs.all.n_tokens - found.outputs.typical.n_tokens,
        ce=float((own.fidelity.ce - own.fidelity.delta_ce).mean()),
        seconds=time.perf_counter() - began,
        by_row={figure: own.by_row(figure).tolist() for figure in ROW_FIGURES},
        by_prompt=list(own.scores.values()),
        baselines={
            key: Baseline(**measured[key].figures(seed=seed), differences=own.minus(measured[key], seed=seed))
            for key in BASELINES
            if key in measured
        },
    )


def _check(
    model: LoadedModel,
    clt: CLT,
    tokens: Int[Tensor, "row position"],
    linear_skip: LinearSkip | None,
    baselines: Collection[str],
) -> None:
    if tokens.ndim != 2 or len(tokens) < 2 or tokens.shape[1] < 3:
        raise ConfigError(
            "Evaluation needs at least two rows of at least three held-out tokens, but the tokens have the shape "
            f"{tuple(tokens.shape)}: give more or longer text."
        )
    check_baselines(baselines)
    if linear_skip is None:
        return
    hooks = (clt.config.read_hook, clt.config.write_hook)
    if linear_skip.fingerprint != model.fingerprint or (linear_skip.read_hook, linear_skip.write_hook) != hooks:
        raise CLTError(
            f"The linear skip was fitted from {linear_skip.read_hook} to {linear_skip.write_hook}, or on another model "
            f"than {model.name!r}: fit one with the read_hook and write_hook of this CLT."
        )


def _replace(
    model: LoadedModel, clt: CLT, tokens: Int[Tensor, "row position"], *, advance: Callable[[int], object]
) -> Float[Tensor, "row position d_model"]:
    """Return the final norm's outputs of the replacement model."""
    finals = []
    for batch in batches(tokens):
        finals.append(run_replacement(model, clt, batch.tokens))
        advance(batch.tokens.numel())
    return torch.cat(finals)


def _score_graphs(
    model: LoadedModel,
    variants: Mapping[str, Variant],
    prompts: Sequence[str],
    options: Mapping[str, Any],
    *,
    progress: bool,
) -> dict[str, list[PromptScores]]:
    """Return the graph scores of every variant by prompt, none without prompts."""
    if not prompts:
        return {}
    some = set(evenly_spaced(prompts, SHUFFLED_PROMPTS))
    scores: dict[str, list[PromptScores]] = {key: [] for key in variants}
    with tqdm(prompts, unit=" prompts", desc="Graphs", disable=not progress) as bar:
        for prompt in bar:
            for key, variant in variants.items():
                if key != "shuffled" or prompt in some:
                    scores[key].append(score_graph(model, variant.clt, prompt, **options))
    return scores


def evenly_spaced(prompts: Sequence[str], n: int) -> list[str]:
    """Return ``n`` prompts from all over the list, in its order, or all where there are no more."""
    if len(prompts) <= n:
        return list(prompts)
    return [prompts[index * len(prompts) // n] for index in range(n)]
