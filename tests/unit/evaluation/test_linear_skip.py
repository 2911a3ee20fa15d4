from __future__ import annotations

import pytest
import torch
from helpers import tiny_model, tiny_prompt, tiny_tokens

from workbench.corpus import TextCorpus, is_held_out
from workbench.errors import ConfigError
from workbench.evaluation import fit_linear_skip, training_tokens
from workbench.evaluation.linear_skip import Moments
from workbench.models import capture_reads_and_writes


def sites(n: int = 60, d: int = 5, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64) + 2
    y = x @ torch.randn(d, d, generator=generator, dtype=torch.float64) - 1
    return x, y + 0.3 * torch.randn(n, d, generator=generator, dtype=torch.float64)


def moments(x: torch.Tensor, y: torch.Tensor) -> Moments:
    found = Moments(x.shape[1])
    for part in torch.arange(len(x)).split(7):
        found.add(x[part], y[part])
    return found


@pytest.mark.parametrize("strength", [0.0, 0.01, 3.0])
def test_ridge_from_moments_equals_least_squares_with_penalty_rows(strength: float) -> None:
    x, y = sites()
    centred = x - x.mean(0)
    penalty = (strength * len(x)) ** 0.5 * torch.eye(5, dtype=torch.float64)
    expected = torch.linalg.lstsq(
        torch.cat([centred, penalty]), torch.cat([y - y.mean(0), torch.zeros(5, 5, dtype=torch.float64)])
    ).solution

    torch.testing.assert_close(moments(x, y).ridge(strength), expected)


def test_moments_tell_the_residual_of_any_matrix_on_other_tokens() -> None:
    x, y = sites(seed=1)
    B = torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    at, to = torch.arange(5).double(), torch.ones(5).double()

    expected = float(((y - to) - (x - at) @ B).square().sum())
    assert moments(x, y).unexplained(B, at, to) == pytest.approx(expected)


def test_moments_of_two_parts_add_up() -> None:
    x, y = sites()
    both = moments(x[:20], y[:20]) + moments(x[20:], y[20:])

    torch.testing.assert_close(both.ridge(0.1), moments(x, y).ridge(0.1))


def test_the_fit_equals_least_squares_on_what_the_model_reads_and_writes() -> None:
    model = tiny_model("gemma3")
    rows = torch.stack([tiny_tokens(length=16, seed=seed) for seed in range(64)])

    fitted = fit_linear_skip(model, rows, progress=False)

    x, y = (site[:, :, 1:].flatten(1, 2) for site in capture_reads_and_writes(model, rows))
    assert fitted.n_tokens == 64 * 15
    for layer in range(model.n_layers):
        centre = x[layer].mean(0)
        penalty = (float(fitted.ridge[layer]) * fitted.n_tokens) ** 0.5 * torch.eye(model.d_model).double()
        expected = torch.linalg.lstsq(
            torch.cat([x[layer] - centre, penalty]),
            torch.cat([y[layer] - y[layer].mean(0), torch.zeros_like(penalty)]),
        ).solution
        torch.testing.assert_close(fitted.W[layer], expected.T)
        torch.testing.assert_close(fitted.b[layer], y[layer].mean(0) - centre @ expected)


def test_it_explains_text_that_it_was_not_fitted_to() -> None:
    model = tiny_model("llama")
    fitted = fit_linear_skip(
        model, torch.stack([tiny_tokens(length=16, seed=seed) for seed in range(300)]), progress=False
    )
    fresh = torch.stack([tiny_tokens(length=16, seed=seed) for seed in range(1000, 1030)])
    x, y = (site[:, :, 1:].flatten(1, 2) for site in capture_reads_and_writes(model, fresh))

    left = (y - x @ fitted.W.mT - fitted.b[:, None]).square().sum((1, 2))
    assert (left < 0.9 * (y - y.mean(1, keepdim=True)).square().sum((1, 2))).all()


def test_training_tokens_are_never_held_out() -> None:
    model = tiny_model("llama")
    # The held-out documents hold "w7" and nothing else, so that a row with any of it is from the wrong part.
    sevens = [text for text in (" ".join(["w7"] * n) for n in range(1, 400)) if is_held_out(text)]
    words = [text for text in (tiny_prompt(length=20, seed=seed) for seed in range(400)) if not is_held_out(text)]
    others = [text for text in words if "w7" not in text.split()]

    rows = training_tokens(model, TextCorpus("words", sevens + others), row_length=16, n_tokens=100)

    assert rows.shape == (7, 16)
    assert not (rows == model.tokenizer.convert_tokens_to_ids("w7")).any()


def test_a_small_corpus_gives_what_it_has() -> None:
    texts = [tiny_prompt(length=20, seed=seed) for seed in range(10)]

    assert 0 < len(training_tokens(tiny_model("llama"), TextCorpus("words", texts), row_length=16)) < 20


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8 rows of training text"):
        fit_linear_skip(tiny_model("llama"), torch.stack([tiny_tokens()] * 7), progress=False)
