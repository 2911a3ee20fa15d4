"""Widgets run their callbacks on another thread than the notebook's cells."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.interventions import CleanRun, Edit
from workbench.models import LoadedModel, run_decoder


def taken_by_another_thread(model: LoadedModel) -> bool:
    """Tell whether a thread of its own would have to wait for the model."""

    def attempt() -> bool:
        free = model.lock.acquire(blocking=False)
        if free:
            model.lock.release()
        return not free

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(attempt).result()


def test_the_model_is_locked_while_hooks_are_set() -> None:
    model = tiny_model("llama")
    seen: list[bool] = []

    def look(activation: torch.Tensor, hook: Any) -> None:
        seen.append(taken_by_another_thread(model))

    run_decoder(model, tiny_tokens()[None], [("blocks.0.hook_mlp_out", look)])
    clean = CleanRun.of(model, tiny_clt(model), tiny_tokens())
    clean.run_from(1, [("blocks.1.hook_mlp_out", look)])

    assert seen == [True, True]
    assert not taken_by_another_thread(model)


def test_a_run_may_start_within_another_ones_hook() -> None:
    model = tiny_model("llama")
    seen: list[torch.Tensor] = []

    def nested(activation: torch.Tensor, hook: Any) -> None:
        with model.lock:
            seen.append(activation)

    run_decoder(model, tiny_tokens()[None], [("blocks.0.hook_mlp_out", nested)])
    assert len(seen) == 1


def test_two_threads_at_once_give_what_one_after_the_other_gives() -> None:
    model = tiny_model("gemma3")
    clean = CleanRun.of(model, tiny_clt(model, window=2, skip=True), tiny_tokens())
    jobs: list[tuple[Edit, dict[str, Any]]] = [
        (Edit(layer, 3, position, value=value), mode)
        for position in range(3, 9)
        for layer, value in ((0, 5.0), (1, -7.0))
        for mode in ({"mode": "direct"}, {"mode": "propagated"}, {"mode": "constrained", "until": 1})
    ]

    def run(job: tuple[Edit, dict[str, Any]]) -> tuple[torch.Tensor, torch.Tensor]:
        edit, mode = job
        result = clean.intervene([edit], **mode)
        fresh = CleanRun.of(model, clean.clt, tiny_tokens(seed=edit.position)).intervene([edit], **mode)
        return result.logits.after, fresh.logits.after

    one_by_one = [run(job) for job in jobs]
    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(run, jobs))

    for (expected, expected_fresh), (got, got_fresh) in zip(one_by_one, at_once, strict=True):
        assert torch.equal(got, expected)
        assert torch.equal(got_fresh, expected_fresh)
