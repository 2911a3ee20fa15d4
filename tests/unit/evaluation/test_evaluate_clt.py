from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt, tiny_tokens

from workbench.attribution import attribute
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError, PromptError
from workbench.evaluation import CLTReport, evaluate_clt
from workbench.evaluation.baselines import featureless, shuffled
from workbench.evaluation.reconstruction import OutlierFilter
from workbench.evaluation.replacement import run_replacement
from workbench.models import LoadedModel, capture_reads_and_writes, run_decoder, unembed


def rows(n: int = 24, *, first_seed: int = 0) -> torch.Tensor:
    return torch.stack([tiny_tokens(length=16, seed=first_seed + row) for row in range(n)])


@cache
def model() -> LoadedModel:
    return tiny_model("llama")


@cache
def fitted_clt(*, skip: bool = False) -> CLT:
    """A transcoder with random features whose decoders (and skip) are fitted to text by least squares."""
    clt = tiny_clt(model(), n_features=64, window=1, skip=skip)
    reads, writes = capture_reads_and_writes(model(), rows(200, first_seed=1000))
    x, y = reads[:, :, 1:].flatten(1, 2), writes[:, :, 1:].flatten(1, 2)
    n_tokens = x.shape[1]
    decoders, biases, skips = [], [], []
    for layer in range(3):
        columns = [clt.encode(layer, x[layer]), torch.ones(n_tokens, 1, dtype=x.dtype)]
        solution = torch.linalg.lstsq(torch.cat([*columns, *([x[layer]] if skip else [])], dim=1), y[layer]).solution
        decoders.append(solution[:64, None])
        biases.append(solution[64])
        skips.append(solution[65:].T)
    return replace(clt, W_dec=tuple(decoders), b_dec=torch.stack(biases), W_skip=torch.stack(skips) if skip else None)


@cache
def report(*, skip: bool = False) -> CLTReport:
    prompts = (tiny_prompt(length=5), tiny_prompt(length=6, seed=1))
    return evaluate_clt(model(), fitted_clt(skip=skip), tokens=rows(), prompts=prompts, name="fitted", progress=False)


def test_a_fitted_clt_is_better_than_every_baseline_that_has_none_of_its_knowledge() -> None:
    own = report()

    # Cross-entropy says nothing here: a random model is no better on random text than its ablations.
    for baseline in own.baselines.values():
        assert own.fvu < baseline.fvu
        assert own.kl < baseline.kl
        assert own.top1_agreement > baseline.top1_agreement
    assert own.baselines["shuffled"].fvu > 1


def test_the_baselines_are_what_they_say() -> None:
    baselines = report().baselines

    assert set(baselines) == {"mean_ablation", "zero_ablation", "shuffled"}
    assert baselines["mean_ablation"].fvu_by_layer == pytest.approx([1, 1, 1])
    assert all(value >= 1 for value in baselines["zero_ablation"].fvu_by_layer)
    assert baselines["mean_ablation"].l0 == 0
    assert baselines["mean_ablation"].dead_fraction is None
    assert baselines["shuffled"].l0 == report().l0
    assert baselines["shuffled"].dead_fraction == report().dead_fraction


def test_the_skip_alone_stands_beside_a_clt_with_a_skip() -> None:
    own = report(skip=True)

    assert own.fvu < own.baselines["skip_alone"].fvu < own.baselines["mean_ablation"].fvu
    assert own.baselines["skip_alone"].l0 == 0


def test_the_figures_on_text_equal_their_definitions() -> None:
    own, clt, tokens = report(), fitted_clt(), rows()
    reads, writes = capture_reads_and_writes(model(), tokens)
    y, error = writes[:, :, 1:], (writes - clt.reconstruct(reads))[:, :, 1:]
    spread = y - y.mean((1, 2), keepdim=True)
    fvu = error.square().sum((1, 2, 3)) / spread.square().sum((1, 2, 3))
    active = torch.stack([(activation > 0)[:, 1:].flatten(0, 1) for activation in clt.encode_all(reads)])
    p, q = (
        unembed(model(), final).log_softmax(-1)
        for final in (run_decoder(model(), tokens, []), run_replacement(model(), clt, tokens))
    )

    assert own.n_tokens == 24 * 15
    assert own.fvu_by_layer == pytest.approx(fvu.tolist())
    assert own.fvu == pytest.approx(float(fvu.mean()))
    assert own.l0_by_layer == pytest.approx(active.double().sum(-1).mean(-1).tolist())
    assert own.l0 == pytest.approx(sum(own.l0_by_layer))
    assert own.dead_fraction == pytest.approx(float((~active.any(1)).double().mean()))
    assert own.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1)[:, 1:].mean()))
    losses = [-log[:, 1:-1].gather(-1, tokens[:, 2:, None]).mean() for log in (p, q)]
    assert own.ce == pytest.approx(float(losses[0]))
    assert own.delta_ce == pytest.approx(float(losses[1] - losses[0]))
    assert own.top1_agreement == pytest.approx(float((p.argmax(-1) == q.argmax(-1))[:, 1:].double().mean()))


def test_outlier_tokens_count_in_the_fvu_but_not_in_the_typical_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # At this factor ordinary tokens of the tiny model are outliers; at the real one none is.
    monkeypatch.setattr("workbench.evaluation.evaluate.OutlierFilter", lambda: OutlierFilter(factor=1.6))
    own = evaluate_clt(model(), fitted_clt(), tokens=rows(), progress=False)
    reads, writes = (site[:, :, 1:].flatten(1, 2) for site in capture_reads_and_writes(model(), rows()))
    norms = torch.cat([reads, writes]).norm(dim=-1)
    typical = (norms <= 1.6 * norms.median(1, keepdim=True).values).all(0)
    y, error = writes[:, typical], (writes - fitted_clt().reconstruct(reads))[:, typical]
    expected = error.square().sum((1, 2)) / (y - y.mean(1, keepdim=True)).square().sum((1, 2))

    assert own.n_outliers == int((~typical).sum()) > 0
    assert own.fvu_typical_by_layer == pytest.approx(expected.tolist())
    assert own.fvu_by_layer == pytest.approx(report().fvu_by_layer)
    assert report().n_outliers == 0
    assert report().fvu_typical == pytest.approx(report().fvu)


def test_mean_ablation_equals_a_direct_computation() -> None:
    tokens = rows()
    _, writes = capture_reads_and_writes(model(), tokens)
    mean = writes[:, :, 1:].mean((1, 2))

    def ablate(layer: int):
        return lambda y, hook: torch.cat([y[:, :1], mean[layer].expand_as(y[:, 1:])], dim=1)

    final = run_decoder(model(), tokens, [(f"blocks.{layer}.hook_mlp_out", ablate(layer)) for layer in range(3)])
    p, q = (unembed(model(), run).log_softmax(-1)[:, 1:] for run in (run_decoder(model(), tokens, []), final))

    expected = float((p.exp() * (p - q)).sum(-1).mean())
    assert report().baselines["mean_ablation"].kl == pytest.approx(expected)


def test_graph_scores_are_means_over_the_prompts_graphs() -> None:
    own = report()
    prompts = (tiny_prompt(length=5), tiny_prompt(length=6, seed=1))
    _, writes = capture_reads_and_writes(model(), rows())
    transcoders = {
        "clt": (own, fitted_clt()),
        "shuffled": (own.baselines["shuffled"], shuffled(fitted_clt())),
        "mean": (own.baselines["mean_ablation"], featureless(fitted_clt(), writes[:, :, 1:].mean((1, 2)))),
    }

    for quality, clt in transcoders.values():
        scores = [attribute(model(), clt, prompt, progress=False).scores() for prompt in prompts]
        assert quality.replacement_score == pytest.approx(sum(score.replacement for score in scores) / 2)
        assert quality.completeness_score == pytest.approx(sum(score.completeness for score in scores) / 2)
        assert quality.error_share == pytest.approx(sum(score.error_share for score in scores) / 2)
    assert own.n_prompts == 2
    assert own.row_sum_error is not None
    assert own.row_sum_error < 1e-8


def test_without_prompts_there_are_no_graph_scores() -> None:
    own = evaluate_clt(model(), fitted_clt(), tokens=rows(4), progress=False)

    assert own.replacement_score is None
    assert own.baselines["shuffled"].replacement_score is None


def test_batches_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.evaluation.evaluate.TOKENS_PER_BATCH", 48)

    own = evaluate_clt(model(), fitted_clt(), tokens=rows(), progress=False)

    assert own.fvu_by_layer == pytest.approx(report().fvu_by_layer)
    assert own.kl == pytest.approx(report().kl)


def test_the_report_survives_json() -> None:
    assert CLTReport.model_validate(json.loads(json.dumps(report().model_dump()))) == report()


def test_progress_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_clt(model(), fitted_clt(), tokens=rows(2), progress=True)

    out, err = capsys.readouterr()
    assert out == ""
    assert "Held-out text: 100%" in err


def test_a_clt_of_another_model_is_refused() -> None:
    with pytest.raises(CLTError, match="choose the CLT of this model"):
        evaluate_clt(tiny_model("llama", seed=1), fitted_clt(), tokens=rows(2), progress=False)


@pytest.mark.parametrize("tokens", [rows(2)[:, :2], rows(2)[:0], rows(2)[0]], ids=["short rows", "no rows", "no batch"])
def test_rows_that_predict_nothing_are_refused(tokens: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="needs rows of at least three tokens"):
        evaluate_clt(model(), fitted_clt(), tokens=tokens, progress=False)


def test_a_prompt_that_is_too_long_is_refused() -> None:
    with pytest.raises(PromptError, match="limit is 64"):
        evaluate_clt(model(), fitted_clt(), tokens=rows(2), prompts=[tiny_prompt(length=70)], progress=False)
