from __future__ import annotations

import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.evaluation.bootstrap import Resamples
from workbench.evaluation.reconstruction import (
    FeatureCounts,
    OutlierFilter,
    ResidualSums,
    fraction_of_variance_unexplained,
    reconstruct_by_layer,
)
from workbench.models import capture_reads_and_writes


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sums(values: torch.Tensor, row: torch.Tensor) -> ResidualSums:
    """Feed [layer, token, d_model] in two uneven batches; ``row`` tells which row of text each token is of."""
    n_layers, n_tokens, d_model = values.shape
    found = ResidualSums(int(row.max()) + 1, n_layers, d_model)
    for tokens in torch.arange(n_tokens).split(n_tokens // 2 + 1):
        for layer in range(n_layers):
            found.add(layer, values[layer, tokens], row[tokens])
    return found


def fvu(y: torch.Tensor, reconstruction: torch.Tensor) -> list[float]:
    """Both arguments: [layer, token, d_model]."""
    row = torch.arange(y.shape[1]) // 5
    left, outputs = sums(y - reconstruction, row), sums(y, row)
    return fraction_of_variance_unexplained(left.total_by_row.sum(0), outputs.centred).tolist()


def test_a_perfect_reconstruction_leaves_nothing() -> None:
    y = random(3, 20, 8)

    assert fvu(y, y) == [0, 0, 0]


def test_the_mean_as_prediction_leaves_everything() -> None:
    y = random(3, 20, 8) + 5

    assert fvu(y, y.mean(1, keepdim=True).expand_as(y)) == pytest.approx([1, 1, 1])


def test_fvu_equals_its_definition() -> None:
    y = random(3, 20, 8) * torch.tensor([1.0, 10, 100])[:, None, None] + 2
    guess = y + random(3, 20, 8, seed=1)

    expected = (y - guess).square().sum((1, 2)) / (y - y.mean(1, keepdim=True)).square().sum((1, 2))
    assert fvu(y, guess) == pytest.approx(expected.tolist())


def test_a_layer_without_variance_is_explained_exactly_or_not_at_all() -> None:
    y = torch.stack([torch.ones(20, 8), torch.zeros(20, 8)]).double()

    assert fvu(y, torch.zeros_like(y)) == [1, 0]


def test_centred_residuals_are_those_with_the_best_constant() -> None:
    y = random(1, 20, 8) + 3
    found = sums(y, torch.arange(20) // 5)

    torch.testing.assert_close(found.mean, y.mean(1))
    torch.testing.assert_close(found.centred, (y - y.mean(1, keepdim=True)).square().sum((1, 2)))
    around = found.around_by_row(torch.full((1, 8), 2.0))
    torch.testing.assert_close(around[:, 0], (y[0] - 2).square().sum(1).reshape(4, 5).sum(1))
    torch.testing.assert_close(found.total_by_row[:, 0], y[0].square().sum(1).reshape(4, 5).sum(1))


def test_resampled_rows_give_what_their_tokens_would_give() -> None:
    y = random(2, 20, 8) + 3
    # Rows of unequal length, because tokens of outlier norm are left out of some.
    row = torch.tensor([0] * 3 + [1] * 9 + [2] * 8)
    drawn = torch.tensor([[0.0, 2, 1], [3, 0, 0]]).double()

    spread = sums(y, row).centred_in(Resamples(drawn))

    for resample, counts in enumerate(drawn):
        tokens = y.repeat_interleave(counts[row].long(), dim=1)
        expected = (tokens - tokens.mean(1, keepdim=True)).square().sum((1, 2))
        torch.testing.assert_close(spread[resample], expected)


def test_a_token_of_outlier_norm_at_any_site_is_not_typical() -> None:
    quiet, loud = torch.ones(5, 2), torch.ones(5, 2)
    loud[3] = 100

    outliers = OutlierFilter()

    assert outliers.typical([quiet, loud]).tolist() == [True, True, True, False, True]
    # The medians are kept: a batch of nothing but loud tokens does not become the norm.
    assert outliers.typical([quiet, 100 * quiet]).tolist() == [False] * 5


def test_features_active_on_more_than_a_tenth_of_the_tokens_are_dense() -> None:
    counts = FeatureCounts(n_layers=1, n_features=4)
    activations = torch.zeros(20, 4)
    activations[:2, 0], activations[:3, 1], activations[:, 2] = 1, 1, 1
    counts.add(0, activations)

    assert counts.dense_fraction == 0.5


def test_l0_and_dead_features_of_an_example() -> None:
    counts = FeatureCounts(n_layers=2, n_features=4)
    counts.add(0, torch.tensor([[1.0, 0, 0, 0], [2.0, 3.0, 0, 0]]))
    counts.add(1, torch.tensor([[0.0, 0, 0, 0], [0.0, 0, 0, 5.0]]))
    counts.add(0, torch.tensor([[1.0, 0, 0, 0], [0.0, 0, 0, 0]]))
    counts.add(1, torch.tensor([[0.0, 0, 0, 0], [0.0, 0, 0, 0]]))

    assert counts.l0_by_layer == [1.0, 0.25]
    assert counts.l0 == 1.25
    assert counts.dead_by_layer == [0.5, 0.75]
    assert counts.dead_fraction == 0.625


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_reconstructing_layer_by_layer_equals_reconstructing_at_once(window: int, skip: bool) -> None:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, window=window, skip=skip)
    reads, _ = capture_reads_and_writes(model, tiny_tokens(length=12)[None])
    x = reads[:, 0]

    for layer, activations, written in reconstruct_by_layer(clt, list(x)):
        torch.testing.assert_close(activations, clt.encode(layer, x[layer]))
        torch.testing.assert_close(written, clt.reconstruct(x)[layer])
