"""Searching features, against dense activations and cosines."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from workbench.clt import CLT
from workbench.errors import ConfigError, PromptError
from workbench.features.atlas import Atlas
from workbench.features.logit_effects import total_decoder
from workbench.models import LoadedModel, capture, tokenize

TEXT = "w3 w7 w12 w5 w9"


def dense(model: LoadedModel, clt: CLT, text: str) -> np.ndarray:
    """Return the activations of a text, [layer, position, feature], zero at position 0."""
    names = [clt.config.read_hook.format(layer=layer) for layer in range(clt.n_layers)]
    kept = capture(model, tokenize(model, text)[None], names)
    values = torch.stack([clt.encode(layer, kept[name])[0] for layer, name in enumerate(names)]).numpy()
    values[:, 0] = 0
    return np.asarray(values)


def test_what_fires_on_a_text_comes_strongest_first(built: Atlas, model: LoadedModel, clt: CLT) -> None:
    found = built.find_text(TEXT)
    values = dense(model, clt, TEXT)
    layer, position, feature = values.nonzero()
    order = np.argsort(-values[layer, position, feature], kind="stable")
    assert found["activation"].is_monotonic_decreasing
    assert set(zip(found["layer"], found["position"], found["feature"], strict=True)) == set(
        zip(layer[order], position[order], feature[order], strict=True)
    )
    row = found.iloc[0]
    assert row["activation"] == pytest.approx(values.max())
    assert row["token"] == TEXT.split()[row["position"] - 1]
    card = built.card(row["layer"], row["feature"])
    assert (row["label"], row["relative"]) == (card.label, pytest.approx(row["activation"] / card.max_activation))
    assert len(built.find_text(TEXT, k=3)) == 3


def test_an_empty_text_is_refused(built: Atlas) -> None:
    with pytest.raises(PromptError, match="The prompt is empty"):
        built.find_text("")


def test_a_features_activations_on_a_text_of_ones_own(built: Atlas, model: LoadedModel, clt: CLT) -> None:
    found = built.activations(TEXT, 2, 7)
    assert found["tokens"] == ["<s>", *TEXT.split()]
    assert found["activations"] == pytest.approx(dense(model, clt, TEXT)[2, :, 7].tolist())


def test_by_label(atlas: Atlas) -> None:
    atlas.set_label(0, 1, "Capital cities")
    atlas.set_label(2, 2, "capital")
    found = atlas.find_label("CAPITAL")
    assert list(zip(found["layer"], found["feature"], strict=True)) == [(2, 2), (0, 1)]
    assert list(atlas.find_label("cities capital")["feature"]) == [1]
    assert atlas.find_label("nothing has this").empty
    with pytest.raises(ConfigError, match="The query is empty"):
        atlas.find_label(" ")


def cosines(vectors: torch.Tensor, direction: torch.Tensor) -> np.ndarray:
    return torch.cosine_similarity(vectors, direction[None], dim=-1).numpy()


def decoders(clt: CLT) -> torch.Tensor:
    index = torch.arange(clt.n_layers * clt.n_features)
    return total_decoder(clt, index // clt.n_features, index % clt.n_features)


def test_by_a_direction(built: Atlas, clt: CLT) -> None:
    direction = torch.randn(16, generator=torch.Generator().manual_seed(0))
    expected = cosines(decoders(clt), direction)
    found = built.find_direction(direction, k=5)
    order = np.argsort(-abs(expected))[:5]
    assert found["cosine"].tolist() == pytest.approx(expected[order].tolist(), rel=1e-4)
    assert (found["layer"] * clt.n_features + found["feature"]).tolist() == order.tolist()


def test_by_a_tokens_unembedding(built: Atlas, model: LoadedModel, clt: CLT) -> None:
    """The decoder that points most along a token's unembedding raises its logit."""
    weight = model.bridge.ln_final.original_component.weight.detach()
    expected = cosines(decoders(clt), weight * model.W_U[:, 7])
    found = built.find_direction("w7", k=1)
    assert found["cosine"][0] == pytest.approx(expected[np.argmax(abs(expected))], rel=1e-4)


def test_by_another_features_vectors(built: Atlas, model: LoadedModel, clt: CLT) -> None:
    own = built.find_direction((1, 3), k=1)
    assert (own["layer"][0], own["feature"][0], own["cosine"][0]) == (1, 3, pytest.approx(1))
    weight = torch.stack([block.ln2.original_component.weight.detach() for block in model.bridge.blocks])
    encoders = (clt.W_enc * weight[:, None]).flatten(0, 1)
    expected = cosines(encoders, decoders(clt)[13])
    found = built.find_direction((1, 3), which="encoder", of="decoder", k=30)
    assert sorted(found["cosine"]) == pytest.approx(sorted(expected.tolist()), abs=1e-5)


@pytest.mark.parametrize(
    ("direction", "options", "error", "message"),
    [
        (torch.ones(3), {}, ConfigError, r"The direction has shape \(3,\): give one vector of 16 numbers"),
        (torch.zeros(16), {}, ConfigError, "The direction is zero or holds a NaN"),
        ("w3 w4", {}, PromptError, "is 2 tokens of 'tiny-llama'"),
        ((9, 0), {}, ConfigError, "There is no feature 0 in layer 9"),
        ("w3", {"which": "both"}, ConfigError, "'both' is unknown: give 'encoder' or 'decoder'"),
    ],
)
def test_what_is_no_direction(
    built: Atlas, direction: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        built.find_direction(direction, **options)


ON, OFF = ["w3 w7 w12", "w3 w9 w12", "w3 w20 w12"], ["w14 w7 w30", "w15 w9 w30"]


def strongest(model: LoadedModel, clt: CLT, prompts: list[str], at: int | None) -> np.ndarray:
    values = [dense(model, clt, prompt) for prompt in prompts]
    return np.stack([(one.max(axis=1) if at is None else one[:, at]).ravel() for one in values])


@pytest.mark.parametrize(("at", "position"), [(None, None), (-1, -1), ("w12", 3)])
def test_by_what_fires_on_all_of_these_and_none_of_those(
    built: Atlas, model: LoadedModel, clt: CLT, at: int | str | None, position: int | None
) -> None:
    off = OFF if at != "w12" else ["w14 w7 w12"]
    found = built.find_contrast(ON, off, at=at)
    on_values = strongest(model, clt, ON, position)
    off_values = strongest(model, clt, off, position)
    expected = np.flatnonzero((on_values > 0).all(axis=0) & ~(off_values > 0).any(axis=0))
    assert sorted(found["layer"] * clt.n_features + found["feature"]) == expected.tolist()
    assert len(expected)
    row = found.iloc[0]
    assert row["activation_on"] == pytest.approx(on_values[:, row["layer"] * 10 + row["feature"]].mean(), rel=1e-5)
    assert (row["share_on"], row["share_off"], row["activation_off"]) == (1, 0, 0)


def test_a_contrast_may_be_partial(built: Atlas, model: LoadedModel, clt: CLT) -> None:
    found = built.find_contrast(ON, OFF, at_least=2 / 3, at_most=0.5)
    on, off = strongest(model, clt, ON, None) > 0, strongest(model, clt, OFF, None) > 0
    assert len(found) == ((on.sum(axis=0) >= 2) & (off.sum(axis=0) <= 1)).sum()


@pytest.mark.parametrize(
    ("fires_on", "at", "message"),
    [
        ([], None, "There is no list of prompts to fire on"),
        ("w3 w4", None, "There is no list of prompts to fire on"),
        (["w3"], 5, "has 2 tokens with its start token: there is no position 5"),
        (["w3"], "w4", "has no token 'w4': choose one of"),
    ],
)
def test_what_is_no_contrast(built: Atlas, fires_on: Any, at: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        built.find_contrast(fires_on, at=at)


def test_by_density_layer_and_kind(built: Atlas) -> None:
    found = built.find(layer=(1, 2), density=(0.1, 0.3))
    table = built.table()
    assert len(found) == (table["layer"].between(1, 2) & table["density"].between(0.1, 0.3)).sum() > 0
    assert (built.find(layer=1, kind="silent")["feature"] == 4).all()
    with pytest.raises(ConfigError, match=r"The bounds of density are \(1, 0\): give the lower one first"):
        built.find(density=(1, 0))
    with pytest.raises(ConfigError, match=r"No feature has the kind 'vague': choose from .*silent"):
        built.find(kind="vague")
