"""What a feature promotes is what writing its decoder to the final residual stream would raise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model
from torch import Tensor

from workbench.features import promoted_tokens


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_promoted_tokens_are_those_whose_logits_rise_most(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2)
    layer, feature = torch.tensor([0, 1, 2]), torch.tensor([3, 0, 7])

    promoted = promoted_tokens(model, clt, layer, feature, k=4)

    # The reference is the model's own final norm, its denominator held at that of an arbitrary base vector.
    base = torch.randn(1, 1, model.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    held: dict[str, Tensor] = {}

    def hold(value: Tensor, hook: Any) -> Tensor:
        return held.setdefault("scale", value)

    with model.bridge.hooks(fwd_hooks=[("ln_final.hook_scale", hold)]):
        clean = model.bridge.ln_final(base)
        for at in range(3):
            written = clt.W_dec[int(layer[at])][int(feature[at])].sum(dim=0)
            rise = (model.bridge.ln_final(base + written) - clean)[0, 0] @ model.W_U
            assert promoted[at] == [model.tokenizer.decode([token]) for token in rise.topk(4).indices.tolist()]
