from __future__ import annotations

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_model, tiny_tokens

from workbench.errors import ModelError
from workbench.evaluation import fidelity
from workbench.evaluation.fidelity import check_unembedding, compare_runs
from workbench.models import run_decoder, unembed


def rows() -> torch.Tensor:
    return torch.stack([tiny_tokens(length=9, seed=seed) for seed in range(3)])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_unembedding_the_final_norm_gives_the_models_logits(architecture: Architecture) -> None:
    model = tiny_model(architecture)

    logits = unembed(model, run_decoder(model, rows(), []))

    torch.testing.assert_close(logits, model.bridge(rows()), atol=1e-9, rtol=1e-9)
    check_unembedding(model, rows())


def test_a_soft_cap_is_part_of_the_logits() -> None:
    model = tiny_model("gemma3", final_logit_softcapping=2.0)
    expected = model.bridge.original_model(input_ids=rows()).logits

    torch.testing.assert_close(unembed(model, run_decoder(model, rows(), [])), expected, atol=1e-9, rtol=1e-9)
    assert float(expected.abs().max()) < 2.0


def test_a_model_that_does_more_than_unembed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    monkeypatch.setattr(fidelity, "unembed", lambda model, final: 2 * unembed(model, final))

    with pytest.raises(ModelError, match="not its unembedding of the final norm"):
        check_unembedding(model, rows())


@pytest.mark.parametrize("block", [7, 10_000], ids=["blocks that do not divide the positions", "one block"])
def test_kl_ce_and_agreement_equal_their_definitions(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("qwen3")
    monkeypatch.setattr(fidelity, "LOGITS_PER_BLOCK", block * model.d_vocab)
    tokens = rows()
    own = run_decoder(model, tokens, [])
    other = own + 0.5 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0), dtype=own.dtype)

    result = compare_runs(model, tokens, own, {"other": other})["other"]

    p, q = (unembed(model, final).log_softmax(-1) for final in (own, other))
    divergence = torch.nn.functional.kl_div(q[:, 1:], p[:, 1:], log_target=True, reduction="none").sum(-1).mean()
    ce_own, ce_other = (
        torch.nn.functional.cross_entropy(logs[:, 1:-1].flatten(0, 1), tokens[:, 2:].flatten()) for logs in (p, q)
    )
    agreement = (p.argmax(-1) == q.argmax(-1))[:, 1:].double().mean()
    assert float(result.kl.mean()) == pytest.approx(float(divergence))
    assert float(result.delta_ce.mean()) == pytest.approx(float(ce_other - ce_own))
    assert float(result.ce.mean()) == pytest.approx(float(ce_other))
    assert float(result.top1_agreement.mean()) == pytest.approx(float(agreement))
    assert 0 < float(result.top1_agreement.mean()) < 1


@pytest.mark.parametrize("block", [5, 10_000], ids=["blocks across rows", "one block"])
def test_every_row_has_the_figures_that_it_has_alone(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    monkeypatch.setattr(fidelity, "LOGITS_PER_BLOCK", block * model.d_vocab)
    own = run_decoder(model, rows(), [])
    other = own + 0.5 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0), dtype=own.dtype)

    together = compare_runs(model, rows(), own, {"other": other})["other"]

    for index in range(3):
        row = slice(index, index + 1)
        alone = compare_runs(model, rows()[row], own[row], {"other": other[row]})["other"]
        for figure in ("kl", "delta_ce", "top1_agreement", "ce"):
            torch.testing.assert_close(getattr(together, figure)[row], getattr(alone, figure))


def test_a_run_that_is_the_model_is_at_no_distance() -> None:
    model = tiny_model("llama")
    own = run_decoder(model, rows(), [])

    result = compare_runs(model, rows(), own, {"itself": own})["itself"]

    assert result.kl.tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert result.delta_ce.tolist() == [0, 0, 0]
    assert result.top1_agreement.tolist() == [1, 1, 1]


def test_the_progress_bar_reaches_its_total(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model("llama")
    monkeypatch.setattr(fidelity, "LOGITS_PER_BLOCK", 7 * model.d_vocab)
    done: list[int] = []

    compare_runs(model, rows(), run_decoder(model, rows(), []), {}, advance=done.append)

    assert sum(done) == rows()[:, 1:].numel()
