"""How good a replacement of the model's MLPs a CLT is: on held-out text, on prompts, beside baselines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.errors import ConfigError
from workbench.evaluation.baselines import featureless, shuffled
from workbench.evaluation.fidelity import Fidelity, check_unembedding, compare_runs
from workbench.evaluation.graph_scores import graph_scores
from workbench.evaluation.reconstruction import (
    FeatureCounts,
    OutlierFilter,
    ResidualSums,
    fraction_of_variance_unexplained,
    reconstruct_by_layer,
)
from workbench.evaluation.replacement import check_belongs, run_replacement
from workbench.evaluation.report import CLTReport, GraphScores, Quality
from workbench.models import LoadedModel, run_decoder

# Tokens in one forward pass: enough to keep the cores busy, few enough to hold what 30 layers read and write.
TOKENS_PER_BATCH = 1024

Advance = Callable[[int], object]


@dataclass(frozen=True)
class _Variant:
    """One replacement of all MLPs, with what the model's own activations tell of it.

    Attributes:
        unexplained: Σ|y − ŷ|² by layer.
        unexplained_typical: the same without the tokens of outlier norm.
        counts: None where there are no features.
    """

    clt: CLT
    unexplained: Float[Tensor, " layer"]
    unexplained_typical: Float[Tensor, " layer"]
    counts: FeatureCounts | None


@torch.no_grad()
def evaluate_clt(
    model: LoadedModel,
    clt: CLT,
    *,
    tokens: Int[Tensor, "row position"],
    prompts: Sequence[str] = (),
    name: str = "",
    seed: int = 0,
    progress: bool = True,
    attribution_options: Mapping[str, Any] | None = None,
) -> CLTReport:
    """Return the quality of a CLT as a replacement of all MLPs, and that of its baselines.

    Definitions, all over positions ≥ 1 of the held-out rows:

    - FVU: mean over layers of Σ|y − ŷ|² / Σ|y − ȳ|², with ŷ computed from the model's own reads. Tokens
      of outlier norm count like any other; ``fvu_typical`` leaves them out, as training does.
    - L0: active features a token, all layers together. Dead: never active on these tokens.
    - KL, ΔCE, top-1 agreement: the replacement model (every MLP replaced, each layer reading the
      replacement model's own residual stream) against the model.
    - Graph scores: means over the prompts' attribution graphs; None without prompts.

    Args:
        tokens: held-out rows of equal length, each with the start token at position 0.
        name: what the report calls the CLT.
        seed: of the shuffled control.
        attribution_options: passed on to :func:`workbench.attribution.attribute`.

    Raises:
        CLTError: the CLT was trained on another model.
        ConfigError: the rows hold fewer than three tokens, or there are none.
        ModelError: the CLT's hooks are unknown to the model, or its logits are not an unembedding.
        PromptError: a prompt is empty or too long.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Evaluating the replacement model".
    """
    began = time.perf_counter()
    check_belongs(model, clt)
    if tokens.ndim != 2 or len(tokens) == 0 or tokens.shape[1] < 3:
        raise ConfigError(
            "Evaluation needs rows of at least three tokens, but the held-out tokens have the shape "
            f"{tuple(tokens.shape)}: give more or longer text."
        )
    tokens = tokens.to(model.device)
    clt = clt.to(device=model.device, dtype=torch.promote_types(clt.W_enc.dtype, torch.float32))
    n_variants = 4 if clt.W_skip is None else 5
    with tqdm(
        total=tokens.numel() * (1 + n_variants) + tokens[:, 1:].numel(),
        unit=" tokens",
        unit_scale=True,
        desc="Held-out text",
        disable=not progress,
    ) as bar:
        outputs, variants, reference = _reconstruct(model, clt, tokens, seed=seed, advance=bar.update)
        check_unembedding(model, tokens[:1, :8])
        runs = {key: _replace(model, variant.clt, tokens, advance=bar.update) for key, variant in variants.items()}
        fidelity = compare_runs(model, tokens, reference, runs, advance=bar.update)
    scores = _score_graphs(model, variants, prompts, attribution_options or {}, progress=progress)
    qualities = {key: _quality(variants[key], outputs, fidelity[key], scores.get(key)) for key in variants}
    own = qualities.pop("clt")
    return CLTReport(
        **own.model_dump(),
        clt=name,
        model=model.name,
        fingerprint=model.fingerprint,
        n_features=clt.n_features,
        window=clt.config.window,
        skip=clt.W_skip is not None,
        n_tokens=tokens[:, 1:].numel(),
        n_outliers=outputs.all.n_tokens[0] - outputs.typical.n_tokens[0],
        ce=fidelity["clt"].ce - fidelity["clt"].delta_ce,
        n_prompts=len(prompts),
        seconds=time.perf_counter() - began,
        baselines=qualities,
    )


def _batches(tokens: Int[Tensor, "row position"]) -> Iterator[Int[Tensor, "batch position"]]:
    rows = max(1, TOKENS_PER_BATCH // tokens.shape[1])
    for start in range(0, len(tokens), rows):
        yield tokens[start : start + rows]


class _Residuals:
    """Sums of what is left of the MLP outputs: over all tokens, and over those of no outlier norm."""

    def __init__(self, clt: CLT) -> None:
        self.all = ResidualSums(clt.n_layers, clt.config.d_model)
        self.typical = ResidualSums(clt.n_layers, clt.config.d_model)

    def add(self, layer: int, residual: Float[Tensor, "token d_model"], typical: Bool[Tensor, " token"]) -> None:
        self.all.add(layer, residual)
        self.typical.add(layer, residual[typical])

    def variant(self, clt: CLT, counts: FeatureCounts | None = None) -> _Variant:
        """Return the variant that leaves these residuals."""
        return _Variant(clt, self.all.total, self.typical.total, counts)

    def with_constant(self, clt: CLT, constant: Float[Tensor, "layer d_model"], *, keep_skip: bool = False) -> _Variant:
        """Return the variant without features whose constant is subtracted from these residuals."""
        ablated = featureless(clt, constant, keep_skip=keep_skip)
        return _Variant(ablated, self.all.around(constant), self.typical.around(constant), None)


def _reconstruct(
    model: LoadedModel, clt: CLT, tokens: Int[Tensor, "row position"], *, seed: int, advance: Advance
) -> tuple[_Residuals, dict[str, _Variant], Float[Tensor, "row position d_model"]]:
    """Run the model once; return the sums of its MLP outputs, all variants, its final norm's outputs."""
    control = shuffled(clt, seed=seed)
    outputs, skip_left, clt_left, control_left = (_Residuals(clt) for _ in range(4))
    clt_counts, control_counts = (FeatureCounts(clt.n_layers, clt.n_features) for _ in range(2))
    outliers = OutlierFilter()
    finals = []
    for batch in _batches(tokens):
        x, y, final = _reads_and_writes(model, clt, batch)
        finals.append(final)
        typical = outliers.typical([*x, *y])
        for candidate, left, counts in ((clt, clt_left, clt_counts), (control, control_left, control_counts)):
            for layer, activations, written in reconstruct_by_layer(candidate, x):
                left.add(layer, y[layer] - written, typical)
                counts.add(layer, activations)
        for layer in range(clt.n_layers):
            outputs.add(layer, y[layer], typical)
            if clt.W_skip is not None:
                skip_left.add(layer, y[layer] - clt.skip(layer, x[layer]), typical)
        advance(batch.numel())

    mean = outputs.all.mean
    variants = {
        "clt": clt_left.variant(clt, clt_counts),
        "mean_ablation": outputs.with_constant(clt, mean),
        "zero_ablation": outputs.with_constant(clt, torch.zeros_like(mean)),
        "shuffled": control_left.variant(control, control_counts),
    }
    if clt.W_skip is not None:
        variants["skip_alone"] = skip_left.with_constant(clt, skip_left.all.mean, keep_skip=True)
    return outputs, variants, torch.cat(finals)


def _reads_and_writes(
    model: LoadedModel, clt: CLT, batch: Int[Tensor, "batch position"]
) -> tuple[list[Float[Tensor, "token d_model"]], list[Float[Tensor, "token d_model"]], Tensor]:
    """Return by layer what the CLT reads and must write at positions ≥ 1, and the final norm's output."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(activation: Tensor, hook: Any) -> None:
            kept[name] = activation[:, 1:].flatten(0, 1).to(clt.W_enc.dtype)

        return hook

    reads, writes = (
        [template.format(layer=layer) for layer in range(clt.n_layers)]
        for template in (clt.config.read_hook, clt.config.write_hook)
    )
    final = run_decoder(model, batch, [(name, keep(name)) for name in (*reads, *writes)])
    return [kept[name] for name in reads], [kept[name] for name in writes], final


def _replace(
    model: LoadedModel, clt: CLT, tokens: Int[Tensor, "row position"], *, advance: Advance
) -> Float[Tensor, "row position d_model"]:
    """Return the final norm's outputs of the replacement model."""
    finals = []
    for batch in _batches(tokens):
        finals.append(run_replacement(model, clt, batch))
        advance(batch.numel())
    return torch.cat(finals)


def _score_graphs(
    model: LoadedModel,
    variants: Mapping[str, _Variant],
    prompts: Sequence[str],
    options: Mapping[str, Any],
    *,
    progress: bool,
) -> dict[str, GraphScores]:
    """Return the graph scores of every variant, none without prompts."""
    if not prompts:
        return {}
    with tqdm(total=len(prompts) * len(variants), unit=" graphs", desc="Graph scores", disable=not progress) as bar:
        return {
            key: graph_scores(model, variant.clt, prompts, advance=bar.update, **options)
            for key, variant in variants.items()
        }


def _quality(variant: _Variant, outputs: _Residuals, fidelity: Fidelity, scores: GraphScores | None) -> Quality:
    fvu, fvu_by_layer = fraction_of_variance_unexplained(variant.unexplained, outputs.all)
    typical, typical_by_layer = fraction_of_variance_unexplained(variant.unexplained_typical, outputs.typical)
    counts = variant.counts
    return Quality(
        fvu=fvu,
        fvu_by_layer=fvu_by_layer,
        fvu_typical=typical,
        fvu_typical_by_layer=typical_by_layer,
        l0=0.0 if counts is None else counts.l0,
        l0_by_layer=[0.0] * len(fvu_by_layer) if counts is None else counts.l0_by_layer,
        dead_by_layer=None if counts is None else counts.dead_by_layer,
        dead_fraction=None if counts is None else counts.dead_fraction,
        kl=fidelity.kl,
        delta_ce=fidelity.delta_ce,
        top1_agreement=fidelity.top1_agreement,
        **({} if scores is None else scores.model_dump()),
    )
