"""The CLTs that come with the workbench must beat what they replace nothing with."""

from __future__ import annotations

import pytest

from workbench.clt import default_clt, load_clt
from workbench.corpus import resolve_corpus
from workbench.evaluation import CLTReport, evaluate_clt, held_out_tokens, read_prompts
from workbench.models import LoadedModel


@pytest.fixture(scope="module")
def report(smollm2: LoadedModel) -> CLTReport:
    clt = load_clt(default_clt(smollm2.name), model=smollm2)
    tokens = held_out_tokens(smollm2, resolve_corpus("bundled"), n_tokens=1_000)
    return evaluate_clt(smollm2, clt, tokens=tokens, prompts=read_prompts(limit=3), name=smollm2.name)


def test_the_shipped_clt_clearly_beats_ablation_and_the_shuffled_control(report: CLTReport) -> None:
    for name in ("mean_ablation", "zero_ablation", "shuffled"):
        baseline = report.baselines[name]
        assert report.fvu_typical < 0.8 * baseline.fvu_typical
        assert report.kl < 0.7 * baseline.kl
        assert report.delta_ce < 0.7 * baseline.delta_ce
        assert report.top1_agreement > baseline.top1_agreement + 0.1


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
