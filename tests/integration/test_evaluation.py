"""The CLTs that come with the workbench must beat what they replace nothing with."""

from __future__ import annotations

import pytest

from workbench.clt import default_clt, load_clt
from workbench.corpus import resolve_corpus
from workbench.evaluation import (
    CLTReport,
    evaluate_clt,
    evenly_spaced,
    fit_linear_skip,
    held_out_tokens,
    read_prompts,
    training_tokens,
)
from workbench.models import LoadedModel


@pytest.fixture(scope="module")
def report(smollm2: LoadedModel) -> CLTReport:
    clt = load_clt(default_clt(smollm2.name), model=smollm2)
    corpus = resolve_corpus("bundled")
    # A quarter of what the command takes, which leaves the linear skip a little weaker than it can be.
    linear_skip = fit_linear_skip(smollm2, training_tokens(smollm2, corpus, row_length=64, n_tokens=4_096))
    return evaluate_clt(
        smollm2,
        clt,
        tokens=held_out_tokens(smollm2, corpus, n_tokens=1_000),
        prompts=evenly_spaced(read_prompts(), 3),
        linear_skip=linear_skip,
        name=smollm2.name,
    )


def test_the_shipped_clt_clearly_beats_ablation_and_the_shuffled_control(report: CLTReport) -> None:
    for name in ("mean_ablation", "zero_ablation", "shuffled"):
        baseline = report.baselines[name]
        assert report.fvu_typical < 0.8 * baseline.fvu_typical
        assert report.kl < 0.7 * baseline.kl
        assert report.delta_ce < 0.7 * baseline.delta_ce
        assert report.top1_agreement > baseline.top1_agreement + 0.1


def test_it_beats_a_matrix_a_layer_and_the_doubt_about_that_is_small(report: CLTReport) -> None:
    skip = report.baselines["linear_skip"]

    # A matrix explains much, which is why it stands beside every CLT.
    assert skip.fvu_typical < 0.8 * report.baselines["mean_ablation"].fvu_typical
    for figure in ("fvu_typical", "kl", "delta_ce"):
        interval = skip.differences[figure].interval
        assert interval is not None
        assert interval[1] < 0
    agreement, replacement = (skip.differences[name].interval for name in ("top1_agreement", "replacement_score"))
    assert agreement is not None
    assert replacement is not None
    assert min(agreement[0], replacement[0]) > 0
    assert skip.average_path_length == pytest.approx(1)
    assert report.average_path_length is not None
    assert report.average_path_length > 2


def test_its_graphs_owe_less_to_errors_than_those_of_the_controls(report: CLTReport) -> None:
    assert report.row_sum_error is not None
    assert report.row_sum_error < 1e-4
    assert report.completeness_score is not None
    for name in ("mean_ablation", "shuffled"):
        score = report.baselines[name].completeness_score
        assert score is not None
        assert report.completeness_score > score


def test_its_features_are_sparse_and_alive(report: CLTReport) -> None:
    assert 0 < report.l0 < 30 * 64
    assert report.dead_fraction is not None
    assert report.dead_fraction < 0.5
