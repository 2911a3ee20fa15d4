"""What the tests of all formats share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from helpers import tiny_clt, tiny_model

from workbench.clt import CLT
from workbench.models import LoadedModel


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    return tiny_model("llama", dtype=torch.float32)


@pytest.fixture(scope="session")
def gemma() -> LoadedModel:
    return tiny_model("gemma3", dtype=torch.float32)


@pytest.fixture
def clt(model: LoadedModel) -> CLT:
    return tiny_clt(model, window=2, skip=True)


@pytest.fixture
def assert_same_function() -> Callable[[CLT, CLT], None]:
    """Assert that two transcoders have equal features and equal reconstructions on random inputs."""

    def check(one: CLT, other: CLT) -> None:
        x = torch.randn(one.n_layers, 64, one.config.d_model, generator=torch.Generator().manual_seed(0))
        features = one.encode_all(x)
        assert all((a > 0).any() for a in features), "no feature fires, so nothing is compared"
        for layer, (mine, theirs) in enumerate(zip(features, other.encode_all(x), strict=True)):
            torch.testing.assert_close(mine, theirs, msg=lambda text, at=layer: f"layer {at}: {text}")
        torch.testing.assert_close(one.reconstruct(x), other.reconstruct(x))

    return check
