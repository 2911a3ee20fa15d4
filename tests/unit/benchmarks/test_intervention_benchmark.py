"""What the benchmark of interventions prints and refuses; `integration/test_interventions.py` runs it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench.benchmarks import intervention as benchmark
from workbench.benchmarks.browser import chromium
from workbench.benchmarks.intervention_screen import screen_milliseconds
from workbench.cli.app import run
from workbench.errors import ConfigError
from workbench.interventions import CleanRun, Edit


def result(**options: Any) -> dict[str, Any]:
    """Return what a measurement of one case looks like."""
    case = {"layer": 15, "position": 19, "where": "last", "mode": "propagated"}
    times = {"p50_ms": 80.1, "p95_ms": 95.0, "forward_ms": 200.0, "ratio_to_forward": 0.401}
    facts = {"cores": 2, "threads": 2, "matmul_gflops": 100.0, "load": [0.1, 0.1, 0.1]}
    screen = 150.5 if options["screen"] else None
    return {
        **{"machine": facts, "model": "tiny", "tokens": 20, "cases": [case | times]},
        **{"screen_layer": 15, "screen_p50_ms": screen, "screen_p95_ms": screen},
    }


@pytest.mark.parametrize(("options", "screen"), [([], 150.5), (["--no-screen"], None)])
def test_the_command_prints_cases_tokens_and_the_time_to_the_screen(
    options: list[str], screen: float | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "run", result)
    assert run(["bench", "intervention", "--json", *options]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["tokens"], printed["screen_p95_ms"]) == (20, screen)
    assert {"layer", "position", "p50_ms", "p95_ms", "ratio_to_forward"} <= printed["cases"][0].keys()
    assert run(["bench", "intervention", *options]) == 0
    assert ("To the screen, layer 15: p50 150.5 ms" in capsys.readouterr().out) == (screen is not None)


def test_the_slider_is_on_the_strongest_feature_and_edits_it() -> None:
    model = tiny_model("llama")
    clean = CleanRun.of(model, tiny_clt(model), tiny_tokens())
    strongest = int(clean.activations(1)[8].argmax())
    sliders = benchmark.strongest_slider(clean, 1, 8)
    try:
        node = f"f/1/{strongest}/8"
        assert list(sliders.values) == [node]
        sliders.values = {node: 0.0}
        assert sliders.wait(60)
        expected = clean.intervene([Edit(1, strongest, 8, factor=0)]).probabilities
        shown = sliders.tokens
        assert shown["after"].to_numpy() == pytest.approx(expected[shown["token_id"].tolist()].numpy(), abs=1e-6)
    finally:
        sliders.close()


def test_without_a_browser_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "find_browser", lambda: None)
    with pytest.raises(ConfigError, match="No browser was found"):
        screen_milliseconds("tiny", 1, 8, 2)
