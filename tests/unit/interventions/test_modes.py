from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_prompt, tiny_tokens
from torch import Tensor

from workbench.attribution.local_model import freeze
from workbench.clt import CLT
from workbench.interventions import MODES, CleanRun, Edit, Intervention, intervene
from workbench.models import LoadedModel, capture_reads_and_writes

# What a mode needs besides its name, for models of three layers.
ALL_MODES: list[dict[str, Any]] = [{"mode": mode} | ({"until": 2} if mode == "constrained" else {}) for mode in MODES]


def active(model: LoadedModel, clt: CLT, *, layer: int) -> tuple[int, int, float]:
    """Return index, position and activation of the layer's strongest feature where the last position can see it."""
    features = freeze(model, clt, tiny_tokens()).features
    # Gemma's sliding layers see four positions; no attention follows the last layer.
    seen = len(tiny_tokens()) - (1 if layer == model.n_layers - 1 else 3)
    here = (features.layer == layer) & (features.position >= seen)
    at = int(torch.where(here, features.activation, 0).argmax())
    return int(features.feature[at]), int(features.position[at]), float(features.activation[at])


def logits_under(model: LoadedModel, hooks: dict[str, Callable[[Tensor], Tensor]]) -> Tensor:
    """Return the logits at the last position of the whole model under hooks that are written out here."""

    def fwd(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda value, hook: change(value)

    with model.bridge.hooks(fwd_hooks=[(name, fwd(change)) for name, change in hooks.items()]):
        return model.bridge(tiny_tokens()[None])[0, -1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_propagated_adds_the_decoder_rows_to_the_mlp_outputs_and_lets_the_model_respond(
    architecture: Architecture, layer: int
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2)
    feature, position, activation = active(model, clt, layer=layer)

    def add(row: Tensor) -> Callable[[Tensor], Tensor]:
        def change(mlp_out: Tensor) -> Tensor:
            mlp_out = mlp_out.clone()
            mlp_out[0, position] += -2 * activation * row  # from a to −a
            return mlp_out

        return change

    rows = {layer + j: row for j, row in enumerate(clt.W_dec[layer][feature])}
    expected = logits_under(model, {f"blocks.{m}.hook_mlp_out": add(row) for m, row in rows.items()})

    result = intervene(model, clt, tiny_tokens(), [Edit(layer, feature, position, factor=-1)])

    assert result.mode == "propagated"
    torch.testing.assert_close(result.logits.after, expected, atol=1e-10, rtol=1e-10)
    assert not torch.allclose(result.logits.after, result.logits.before, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("until", [0, 1, 2])
def test_constrained_holds_the_mlp_outputs_up_to_a_layer_and_writes_up_to_it_alone(
    architecture: Architecture, until: int
) -> None:
    # The feature writes to all three layers: until=0 is its own layer, until=2 the last one.
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=3)
    feature, position, activation = active(model, clt, layer=0)
    _, writes = capture_reads_and_writes(model, tiny_tokens()[None])

    def hold(layer: int) -> Callable[[Tensor], Tensor]:
        held = writes[layer].clone()
        held[0, position] += (5 - activation) * clt.W_dec[0][feature, layer]
        return lambda mlp_out: held

    expected = logits_under(model, {f"blocks.{m}.hook_mlp_out": hold(m) for m in range(until + 1)})

    result = intervene(
        model, clt, tiny_tokens(), [Edit(0, feature, position, value=5)], mode="constrained", until=until
    )

    assert result.until == until
    torch.testing.assert_close(result.logits.after, expected, atol=1e-10, rtol=1e-10)


def test_constrained_ignores_the_skip() -> None:
    # The skip is a part of the replacement model; the MLPs that are held are the real ones.
    model = tiny_model("llama")
    with_skip, without = tiny_clt(model, skip=True), tiny_clt(model, skip=False)
    feature, position, _ = active(model, without, layer=0)

    results = [
        intervene(model, clt, tiny_tokens(), [Edit(0, feature, position, factor=0)], mode="constrained", until=1)
        for clt in (with_skip, without)
    ]

    assert torch.equal(results[0].logits.after, results[1].logits.after)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mode", ALL_MODES[1:], ids=lambda m: m["mode"])
def test_a_feature_of_the_last_layer_reaches_the_logits_through_the_final_norm_alone(
    architecture: Architecture, mode: dict[str, Any]
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model)
    residual: list[Tensor] = []
    logits_under(model, {"blocks.2.hook_out": lambda x: residual.append(x.clone()) or x})
    residual[0][0, -1] += 4 * clt.W_dec[2][7, 0]
    expected = model.bridge.ln_final(residual[0])[0, -1] @ model.W_U + model.bridge.b_U

    result = intervene(model, clt, tiny_tokens(), [Edit(2, 7, -1, add=4)], **mode)

    torch.testing.assert_close(result.logits.after, expected, atol=1e-10, rtol=1e-10)
    assert result.features.empty


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda m: m["mode"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_an_edit_that_changes_no_activation_changes_nothing_at_all(mode: dict[str, Any], dtype: torch.dtype) -> None:
    model = tiny_model("gemma3", dtype=dtype)
    clt = tiny_clt(tiny_model("gemma3")).to(dtype=dtype)
    clt = replace(clt, config=clt.config.model_copy(update={"fingerprint": ""}))  # of the same model in float64
    clean = CleanRun.of(model, clt, tiny_tokens())
    feature = next(feature for feature in range(12) if clean.activation(1, feature, 3))
    value = clean.activation(1, feature, 3)

    for edits in (
        [],
        [Edit(1, feature, 3, factor=1)],
        [Edit(1, feature, 3, value=value)],
        [Edit(1, feature, 3, add=0)],
    ):
        result = clean.intervene(edits, **mode)
        assert torch.equal(result.logits.after, result.logits.before)
        assert result.kl == 0
        assert result.features.empty
        assert (result.tokens["before"] == result.tokens["after"]).all()


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda m: m["mode"])
def test_the_clean_activation_of_a_graph_changes_nothing(mode: dict[str, Any]) -> None:
    # A float32 model, because the tables of a graph are in float32.
    model = tiny_model("llama", dtype=torch.float32)
    clt = tiny_clt(model)
    features = freeze(model, clt, tiny_tokens()).features
    columns = (features.layer, features.feature, features.position, features.activation)
    edits = [Edit(*where, value=activation) for *where, activation in zip(*columns, strict=True)]

    result = intervene(model, clt, tiny_tokens(), edits, **mode)

    assert len(edits) > 20
    assert torch.equal(result.logits.after, result.logits.before)


@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda m: m["mode"])
def test_position_minus_one_is_the_last_token(mode: dict[str, Any]) -> None:
    model = tiny_model("qwen3")
    clt = tiny_clt(model)

    last, minus_one = (
        intervene(model, clt, tiny_tokens(length=6), [Edit(0, 2, position, value=3)], **mode) for position in (5, -1)
    )

    assert torch.equal(last.logits.after, minus_one.logits.after)
    assert minus_one.edits == (Edit(0, 2, 5, value=3),)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mode", ALL_MODES, ids=lambda m: m["mode"])
def test_starting_at_the_edited_layer_gives_what_a_whole_pass_gives(
    architecture: Architecture, mode: dict[str, Any]
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2, skip=True)
    clean = CleanRun.of(model, clt, tiny_tokens())
    assert len(clean.calls) == 3
    whole = CleanRun(model, clt, clean.tokens, clean.reads, clean.writes, clean.final, calls=())

    for layer in range(3):
        edits = [Edit(layer, 5, 4, value=3), Edit(2, 6, -1, value=-2)]
        fast, slow = (run.intervene(edits, **mode) for run in (clean, whole))
        torch.testing.assert_close(fast.logits.after, slow.logits.after, atol=1e-12, rtol=1e-12)
        torch.testing.assert_close(fast.reads_after, slow.reads_after, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_before_the_first_edit_are_not_run_again(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2)
    clean = CleanRun.of(model, clt, tiny_tokens())
    seen: list[int] = []

    with model.bridge.hooks(fwd_hooks=[("blocks.2.hook_mlp_out", lambda y, hook: seen.append(y.shape[1]))]):
        after = clean.intervene([Edit(0, 5, 4, value=3)]).reads_after

    assert seen[-1] == len(tiny_tokens()) - 4
    for layer in range(3):
        assert torch.equal(after[layer][:4], clean.reads[layer][:4])


def test_blocks_that_do_not_give_the_clean_run_from_a_position_on_are_run_whole() -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model)
    clean = CleanRun.of(model, clt, tiny_tokens())
    # As if attention had seen something else than keys and values of the positions before.
    other = CleanRun(model, clt, clean.tokens, clean.reads, clean.writes, 2 * clean.final, clean.calls)

    assert clean.first_run(4) == 4
    assert other.first_run(4) == 0


def test_what_a_run_hooks_is_gone_after_it_and_after_an_error_in_it() -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model)
    clean = CleanRun.of(model, clt, tiny_tokens())
    before = model.bridge(tiny_tokens()[None])

    for mode in ALL_MODES:
        clean.intervene([Edit(0, 1, 2, value=9)], **mode)
    broken = CleanRun(model, clt, clean.tokens, clean.reads, clean.writes[:, :3], clean.final, clean.calls)
    with pytest.raises(RuntimeError):
        broken.intervene([Edit(0, 1, 2, value=9)], mode="direct")

    assert torch.equal(model.bridge(tiny_tokens()[None]), before)


def test_a_prompt_may_be_text_or_tokens_and_its_clean_run_may_be_given() -> None:
    model = tiny_model("gpt2")
    clt = tiny_clt(model)
    edits = [Edit(0, 1, 2, value=9)]
    clean = CleanRun.of(model, clt, tiny_prompt())

    results: list[Intervention] = [
        intervene(model, clt, tiny_prompt(), edits),
        intervene(model, clt, tiny_tokens(), edits),
        intervene(model, clt, tiny_prompt(), edits, clean=clean),
        clean.intervene(edits),
    ]

    assert all(torch.equal(result.logits.after, results[0].logits.after) for result in results)
    assert results[2].clean is clean
