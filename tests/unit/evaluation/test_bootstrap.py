from __future__ import annotations

import numpy as np
import pytest
import torch

from workbench.evaluation.bootstrap import Resamples, interval, mean, mean_interval
from workbench.evaluation.quality import paired


def values(n: int = 40, *, seed: int = 0, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_resample_draws_as_many_units_as_there_are() -> None:
    drawn = Resamples.draw(7, seed=3)

    assert drawn.counts.shape == (1000, 7)
    assert (drawn.counts.sum(1) == 7).all()
    assert torch.equal(drawn.counts, Resamples.draw(7, seed=3).counts)
    assert not torch.equal(drawn.counts, Resamples.draw(7, seed=4).counts)


def test_the_interval_equals_drawing_rows_one_by_one() -> None:
    sample = values()
    generator = np.random.default_rng(1)
    means = [sample[generator.integers(0, 40, 40)].mean() for _ in range(20_000)]
    expected = np.quantile(means, [0.025, 0.975])

    found = mean_interval(sample, Resamples.draw(40, n_resamples=20_000))

    # Both are Monte Carlo: the quantiles of 20,000 draws move by about a hundredth of the spread of the means.
    assert found == pytest.approx(tuple(expected), abs=0.03 * float(np.std(means)) * 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_holds_the_estimate(seed: int) -> None:
    sample = values(5, seed=seed).exp()

    low, high = mean_interval(sample, Resamples.draw(5, seed=seed)) or (1.0, 0.0)

    assert low < mean(sample) < high


def test_it_covers_the_truth_about_as_often_as_it_says() -> None:
    drawn = Resamples.draw(40)
    intervals = [mean_interval(values(seed=seed), drawn) for seed in range(400)]

    covered = sum(low <= 0 <= high for low, high in intervals) / 400

    # Percentile intervals of 40 units are a little narrow; the standard error of 400 trials is .011.
    assert 0.89 < covered < 0.98


def test_units_that_are_all_alike_leave_no_doubt() -> None:
    assert mean_interval(torch.full((9,), 0.1), Resamples.draw(9)) == pytest.approx((0.1, 0.1))
    low, high = mean_interval(torch.full((9,), 0.1), Resamples.draw(9)) or (1.0, 0.0)
    assert low <= mean(torch.full((9,), 0.1)) <= high


def test_of_one_unit_nobody_knows_the_spread() -> None:
    assert mean_interval(torch.tensor([3.0]), Resamples.draw(1)) is None


def test_units_without_the_figure_are_left_out() -> None:
    sample = torch.tensor([1.0, float("nan"), 3.0, 5.0], dtype=torch.float64)

    assert mean(sample) == 3
    low, high = mean_interval(sample, Resamples.draw(4)) or (9.0, 0.0)
    assert 1 <= low < 3 < high <= 5
    assert mean_interval(torch.tensor([float("nan"), 1.0]), Resamples.draw(2)) is None
    assert interval(torch.full((5,), float("nan")), 1.0) is None


def test_a_paired_difference_is_free_of_how_hard_the_units_are() -> None:
    hard, noise = values(scale=10), values(seed=1, scale=0.1)
    drawn = Resamples.draw(40)

    found = paired(hard + 0.5 + noise, hard, drawn)

    assert found is not None
    assert found.difference == pytest.approx(0.5 + float(noise.mean()))
    assert found.interval is not None
    assert found.interval == pytest.approx(mean_interval(0.5 + noise, drawn))
    assert found.interval[1] - found.interval[0] < 0.1


def test_nothing_is_said_of_units_that_no_two_figures_share() -> None:
    nothing = torch.full((3,), float("nan"))

    assert paired(values(3), nothing, Resamples.draw(3)) is None
