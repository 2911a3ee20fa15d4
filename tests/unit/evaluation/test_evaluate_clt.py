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
from workbench.evaluation import CLTReport, LinearSkip, evaluate_clt, evenly_spaced, fit_linear_skip
from workbench.evaluation.baselines import featureless, shuffled
from workbench.evaluation.bootstrap import Resamples, mean_interval
from workbench.evaluation.quality import differences
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


PROMPTS = (tiny_prompt(length=5), tiny_prompt(length=6, seed=1))


@cache
def linear_skip() -> LinearSkip:
    return fit_linear_skip(model(), rows(200, first_seed=1000), progress=False)


@cache
def report(*, skip: bool = False) -> CLTReport:
    return evaluate_clt(
        model(),
        fitted_clt(skip=skip),
        tokens=rows(),
        prompts=PROMPTS,
        linear_skip=linear_skip(),
        name="fitted",
        progress=False,
    )


def test_a_fitted_clt_is_better_than_every_baseline_that_has_none_of_its_knowledge() -> None:
    own = report()

    # Cross-entropy says nothing here: a random model is no better on random text than its ablations.
    for name in ("mean_ablation", "zero_ablation", "shuffled"):
        baseline = own.baselines[name]
        assert own.fvu < baseline.fvu
        assert own.kl < baseline.kl
        assert own.top1_agreement > baseline.top1_agreement
    assert own.baselines["shuffled"].fvu > 1


def test_the_baselines_are_what_they_say() -> None:
    baselines = report().baselines

    assert list(baselines) == ["linear_skip", "mean_ablation", "zero_ablation", "shuffled"]
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


def test_the_linear_skip_is_a_transcoder_of_nothing_but_its_matrices() -> None:
    baseline, fitted, tokens = report().baselines["linear_skip"], linear_skip(), rows()
    reads, writes = capture_reads_and_writes(model(), tokens)
    x, y = (site[:, :, 1:].flatten(1, 2) for site in (reads, writes))
    left = (y - x @ fitted.W.mT - fitted.b[:, None]).square().sum((1, 2))
    skip = featureless(fitted_clt(), fitted.b, W_skip=fitted.W)
    p, q = (
        unembed(model(), final).log_softmax(-1)[:, 1:]
        for final in (run_decoder(model(), tokens, []), run_replacement(model(), skip, tokens))
    )

    assert baseline.fvu_by_layer == pytest.approx((left / (y - y.mean(1, keepdim=True)).square().sum((1, 2))).tolist())
    assert baseline.kl == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()))
    assert baseline.fvu < report().baselines["mean_ablation"].fvu
    assert baseline.l0 == 0
    assert baseline.average_path_length is not None
    assert baseline.replacement_score is not None


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
    monkeypatch.setattr("workbench.evaluation.variants.OutlierFilter", lambda: OutlierFilter(factor=1.6))
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
    _, writes = capture_reads_and_writes(model(), rows())
    transcoders = {
        "clt": (own, fitted_clt()),
        "shuffled": (own.baselines["shuffled"], shuffled(fitted_clt())),
        "mean": (own.baselines["mean_ablation"], featureless(fitted_clt(), writes[:, :, 1:].mean((1, 2)))),
    }

    for quality, clt in transcoders.values():
        graphs = [attribute(model(), clt, prompt, progress=False) for prompt in PROMPTS]
        scores = [graph.scores() for graph in graphs]
        assert quality.replacement_score == pytest.approx(sum(score.replacement for score in scores) / 2)
        assert quality.completeness_score == pytest.approx(sum(score.completeness for score in scores) / 2)
        assert quality.error_share == pytest.approx(sum(score.error_share for score in scores) / 2)
        assert quality.average_path_length == pytest.approx(sum(graph.average_path_length() for graph in graphs) / 2)
    assert own.n_prompts == 2
    assert [score.prompt for score in own.by_prompt] == list(PROMPTS)
    assert own.row_sum_error is not None
    assert own.row_sum_error < 1e-8


@pytest.mark.parametrize(
    "figure",
    [
        "fvu",
        "fvu_typical",
        "kl",
        "delta_ce",
        "top1_agreement",
        "replacement_score",
        "completeness_score",
        "error_share",
    ],
)
def test_every_interval_holds_its_figure_and_every_difference_its_own(figure: str) -> None:
    own = report()

    for quality in (own, *own.baselines.values()):
        low, high = quality.intervals[figure]
        assert low <= getattr(quality, figure) <= high
    for baseline in own.baselines.values():
        found = baseline.differences[figure]
        assert found.difference == pytest.approx(getattr(own, figure) - getattr(baseline, figure))
        assert found.interval is not None
        assert found.interval[0] <= found.difference <= found.interval[1]


def test_the_interval_of_the_fvu_equals_that_of_resampled_rows() -> None:
    reads, writes = capture_reads_and_writes(model(), rows())
    y, error = writes[:, :, 1:], (writes - fitted_clt().reconstruct(reads))[:, :, 1:]
    resampled = []
    for counts in Resamples.draw(24).counts:
        drawn = torch.arange(24).repeat_interleave(counts.long())
        outputs = y[:, drawn].flatten(1, 2)
        spread = (outputs - outputs.mean(1, keepdim=True)).square().sum((1, 2))
        resampled.append(float((error[:, drawn].square().sum((1, 2, 3)) / spread).mean()))

    expected = torch.tensor(resampled, dtype=torch.float64).quantile(torch.tensor([0.025, 0.975]).double())
    assert report().intervals["fvu"] == pytest.approx(tuple(expected.tolist()))


def test_the_interval_of_the_kl_equals_that_of_resampled_rows() -> None:
    own = report()
    by_row = torch.tensor(own.by_row["kl"], dtype=torch.float64)

    assert own.kl == pytest.approx(float(by_row.mean()))
    means = Resamples.draw(24).counts @ by_row / 24
    expected = means.quantile(torch.tensor([0.025, 0.975]).double())
    assert own.intervals["kl"] == pytest.approx(tuple(expected.tolist()))


def test_the_shuffled_control_is_scored_on_some_prompts_and_compared_on_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workbench.evaluation.evaluate.SHUFFLED_PROMPTS", 2)
    prompts = [tiny_prompt(length=5, seed=seed) for seed in range(4)]

    own = evaluate_clt(model(), fitted_clt(), tokens=rows(4), prompts=prompts, progress=False)

    control = own.baselines["shuffled"]
    assert (own.n_prompts, own.baselines["mean_ablation"].n_prompts, control.n_prompts) == (4, 4, 2)
    both = [score.replacement_score for score in own.by_prompt if score.prompt in (prompts[0], prompts[2])]
    assert control.replacement_score is not None
    expected = sum(both) / 2 - control.replacement_score
    assert control.differences["replacement_score"].difference == pytest.approx(expected)


def test_only_the_baselines_asked_for_are_measured() -> None:
    own = evaluate_clt(model(), fitted_clt(), tokens=rows(4), baselines=("mean_ablation", "skip_alone"), progress=False)

    assert list(own.baselines) == ["mean_ablation"]
    assert own.kl == pytest.approx(evaluate_clt(model(), fitted_clt(), tokens=rows(4), progress=False).kl)


def test_two_reports_are_compared_on_the_rows_and_prompts_that_they_share() -> None:
    other = evaluate_clt(
        model(), fitted_clt(skip=True), tokens=rows(), prompts=PROMPTS[1:], name="skip", progress=False
    )

    found = differences(report(), other)

    assert found["kl"].difference == pytest.approx(report().kl - other.kl)
    by_row = torch.tensor([report().by_row["kl"], other.by_row["kl"]], dtype=torch.float64)
    assert found["kl"].interval == pytest.approx(mean_interval(by_row[0] - by_row[1], Resamples.draw(24)))
    shared = report().by_prompt[1].replacement_score - other.by_prompt[0].replacement_score
    assert found["replacement_score"].difference == pytest.approx(shared)
    # Of a single prompt nobody knows how far others would be off.
    assert found["replacement_score"].interval is None
    assert "replacement_score" not in other.intervals


def test_prompts_are_taken_from_all_over_the_list() -> None:
    assert evenly_spaced(list("abcdefgh"), 4) == ["a", "c", "e", "g"]
    assert evenly_spaced(["a", "b"], 5) == ["a", "b"]
    assert evenly_spaced(["a", "b"], 0) == []


def test_without_prompts_there_are_no_graph_scores() -> None:
    own = evaluate_clt(model(), fitted_clt(), tokens=rows(4), progress=False)

    assert own.replacement_score is None
    assert own.baselines["shuffled"].replacement_score is None


def test_batches_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.evaluation.capture.TOKENS_PER_BATCH", 48)

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


def test_a_linear_skip_of_another_model_or_of_other_hooks_is_refused() -> None:
    for change in ({"fingerprint": "other"}, {"read_hook": "blocks.{layer}.hook_resid_mid"}):
        with pytest.raises(CLTError, match="fit one with the read_hook and write_hook of this CLT"):
            evaluate_clt(
                model(), fitted_clt(), tokens=rows(2), linear_skip=replace(linear_skip(), **change), progress=False
            )


def test_an_unknown_baseline_is_refused() -> None:
    with pytest.raises(ConfigError, match="no baseline 'mean': choose from skip_alone, linear_skip"):
        evaluate_clt(model(), fitted_clt(), tokens=rows(2), baselines=["mean"], progress=False)


@pytest.mark.parametrize(
    "tokens",
    [rows(2)[:, :2], rows(2)[:0], rows(1), rows(2)[0]],
    ids=["short rows", "no rows", "one row", "no batch"],
)
def test_rows_that_predict_nothing_or_leave_no_spread_are_refused(tokens: torch.Tensor) -> None:
    with pytest.raises(ConfigError, match="at least two rows of at least three held-out tokens"):
        evaluate_clt(model(), fitted_clt(), tokens=tokens, progress=False)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([tiny_prompt(), tiny_prompt(length=70)], "Prompt 2 .* limit is 64"),
        ([""], "Prompt 1 .* is empty"),
        ([tiny_prompt(), "w7"], "Prompt 2 \\('w7'\\) is a single token"),
        (["w7 w8", "w9 w8", "w7  w8"], "Prompts 1 and 3 are the same"),
    ],
    ids=["too long", "empty", "one token", "the same tokens twice"],
)
def test_a_prompt_that_cannot_be_scored_is_refused_before_anything_is_measured(
    prompts: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PromptError, match=message):
        evaluate_clt(model(), fitted_clt(), tokens=rows(2), prompts=prompts)
    assert "Held-out text" not in capsys.readouterr().err
