"""With the keys and values kept, every step gives what running the whole text anew gives."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.clt import CLT
from workbench.interventions import CleanRun, Edit, Ramp, SupernodeEdit
from workbench.interventions.generation import generate
from workbench.interventions.generation.cached_run import CachedRun
from workbench.interventions.plan import Plan
from workbench.interventions.run import run_plan
from workbench.models import LoadedModel

BOTH: list[Architecture] = ["llama", "gemma3"]
MODES: list[dict[str, Any]] = [
    {"mode": "propagated"},
    {"mode": "constrained", "until": 1},
    {"mode": "direct"},
    {"mode": "propagated", "freeze_attention": True},
]
EDITS: dict[str, list[Any]] = {
    "everywhere": [Edit.everywhere(0, 3, factor=-3)],
    "one position": [Edit(0, 3, 4, value=6)],
    "from a position on": [Edit(1, 2, slice(5, None), value=-5), Edit.everywhere(0, 7, add=2)],
    "new tokens alone": [Edit(0, 4, slice(7, None), value=9)],
    "ramps": [Edit.everywhere(0, 3, value=8, ramp=Ramp(4)), Edit(1, 2, slice(2, None), add=5, ramp=Ramp(3, 1, -1))],
    "as one, with an exception": [
        SupernodeEdit.nodes(["f/0/3/4", "f/1/2/4"], position=slice(None), value=4),
        Edit(0, 3, 5, value=-7),
    ],
}


@cache
def parts(architecture: Architecture) -> tuple[LoadedModel, CLT]:
    model = tiny_model(architecture)
    return model, tiny_clt(model, window=2, skip=True)


@pytest.mark.parametrize("architecture", BOTH)
@pytest.mark.parametrize("options", MODES, ids=lambda m: "-".join(map(str, m.values())))
@pytest.mark.parametrize("edits", EDITS.values(), ids=EDITS.keys())
def test_every_step_gives_what_an_intervention_on_the_text_so_far_gives(
    architecture: Architecture, options: dict[str, Any], edits: list[Any]
) -> None:
    model, clt = parts(architecture)
    prompt = tiny_tokens(length=7)
    text = prompt
    plan = Plan.of(edits, clt, model_name=model.name, token_ids=prompt.tolist(), generating=True)
    cached = CachedRun(
        model,
        clt,
        plan,
        **({"until": None, "freeze_attention": False} | options),  # type: ignore[arg-type]
    )
    changed = 0.0

    for _ in range(4):
        clean_final, edited_final = cached.extend(text[cached.length :])
        clean = CleanRun.of(model, clt, text)
        anew = run_plan(clean, plan, **options)
        logits = model.logits(edited_final)
        torch.testing.assert_close(logits, anew.logits.after, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(model.logits(clean_final), clean.logits, atol=1e-10, rtol=1e-10)
        changed = max(changed, float((logits - clean.logits).abs().max()))
        text = torch.cat([text, logits.argmax()[None]])

    assert changed > 1e-3
    generated = generate(model, clt, prompt, edits, max_new_tokens=4, stop_at_end=False, **options)
    assert generated.steered.token_ids == tuple(text[7:].tolist())


@pytest.mark.parametrize("architecture", BOTH)
def test_in_float32_the_tokens_are_the_same_and_the_logits_agree_to_rounding(architecture: Architecture) -> None:
    model = tiny_model(architecture, dtype=torch.float32)
    clt = tiny_clt(model, window=2)
    prompt = tiny_tokens(length=7)
    edits = [Edit.everywhere(0, 3, value=5)]
    plan = Plan.of(edits, clt, model_name=model.name, token_ids=prompt.tolist(), generating=True)
    cached = CachedRun(model, clt, plan, mode="propagated", until=None, freeze_attention=False)
    text = prompt
    for _ in range(8):
        logits = model.logits(cached.extend(text[cached.length :])[-1])
        anew = run_plan(CleanRun.of(model, clt, text), plan)
        torch.testing.assert_close(logits, anew.logits.after, atol=1e-4, rtol=1e-4)
        assert int(logits.argmax()) == int(anew.logits.after.argmax())
        text = torch.cat([text, logits.argmax()[None]])


@pytest.mark.parametrize("architecture", BOTH)
def test_the_clean_text_is_that_of_the_models_own_generation(architecture: Architecture) -> None:
    model = tiny_model(architecture)
    prompt = tiny_tokens(length=7)
    text = prompt
    for _ in range(8):
        text = torch.cat([text, model.bridge(text[None])[0, -1].argmax()[None]])

    result = generate(model, tiny_clt(model), prompt, max_new_tokens=8, stop_at_end=False)

    assert result.clean.token_ids == tuple(text[7:].tolist())
