from __future__ import annotations

import torch
from helpers import tiny_clt, tiny_model

from workbench.evaluation.baselines import featureless, shuffled


def random_reads(n_layers: int = 3, d_model: int = 16) -> torch.Tensor:
    return torch.randn((n_layers, 50, d_model), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_shuffling_keeps_the_features_and_the_decoder_rows_but_not_their_pairs() -> None:
    clt = tiny_clt(tiny_model("llama"), window=2)
    control = shuffled(clt)
    x = random_reads()

    for layer in range(3):
        own, permuted = clt.encode(layer, x[layer]), control.encode(layer, x[layer])
        # The same columns in another order: every feature fires as before.
        assert torch.equal(own.sort(dim=-1).values, permuted.sort(dim=-1).values)
        assert not torch.equal(own, permuted)
    assert all(torch.equal(before, after) for before, after in zip(clt.W_dec, control.W_dec, strict=True))
    assert torch.equal(clt.b_dec, control.b_dec)


def test_shuffling_is_reproducible_and_seeded() -> None:
    clt = tiny_clt(tiny_model("llama"))

    assert torch.equal(shuffled(clt, seed=1).W_enc, shuffled(clt, seed=1).W_enc)
    assert not torch.equal(shuffled(clt, seed=1).W_enc, shuffled(clt, seed=2).W_enc)


def test_a_featureless_transcoder_writes_its_constant() -> None:
    clt = tiny_clt(tiny_model("llama"), window=2, skip=True)
    constant = torch.arange(48, dtype=torch.float64).view(3, 16)

    written = featureless(clt, constant).reconstruct(random_reads())

    torch.testing.assert_close(written, constant[:, None].expand(3, 50, 16))


def test_the_skip_alone_writes_skip_and_constant() -> None:
    clt = tiny_clt(tiny_model("llama"), window=2, skip=True)
    constant = torch.ones(3, 16, dtype=torch.float64)
    x = random_reads()

    written = featureless(clt, constant, W_skip=clt.W_skip).reconstruct(x)

    torch.testing.assert_close(written, torch.stack([clt.skip(layer, x[layer]) for layer in range(3)]) + 1)
