"""The benchmark of attribution says what it measured, in a form that other programs can read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workbench.benchmarks import attribution as benchmark
from workbench.benchmarks.machine import machine
from workbench.cli.app import run
from workbench.errors import ResourceError


def fake(case: dict[str, Any]) -> dict[str, Any]:
    if case["part"] == "cap":
        return {"rows": []}
    if case["part"] == "uncapped":
        theirs = {"version": "0.5.0", "seconds": 40.0, "peak_memory_mb": 9000.0, "largest_difference": 1e-6}
        return {
            "seconds": 2.0,
            "active_features": 3,
            "peak_memory_mb": 5.0,
            "fraction_of_matmul_rate": 0.5,
            "ratio_to_circuit_tracer": 20.0 if case["circuit_tracer"] else None,
            "circuit_tracer": theirs if case["circuit_tracer"] else None,
        }
    n = case["tokens"]
    numbers = {"seconds": 0.01 * n**1.5, "peak_memory_mb": 5.0, "nodes": n, "edges": n, "left_out_influence": 0.0}
    return {"model": case["model"], "tokens": n, **numbers}


def test_the_command_prints_one_object_with_every_part(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_in_a_fresh_process", fake)
    assert run(["bench", "attribution", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"machine", "uncapped_9_tokens", "by_length", "growth_exponent", "by_cap"}
    assert found["machine"]["matmul_gflops"] > 0
    assert {row["tokens"] for row in found["by_length"]} == {8, 16, 32, 64, 128}
    assert found["growth_exponent"] == {"smollm2-135m-instruct": 1.5, "gemma-3-270m": 1.5}


def test_circuit_tracer_is_run_and_shown_where_its_environment_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_in_a_fresh_process", fake)
    monkeypatch.setattr(benchmark, "python_of", lambda venv: venv)
    arguments = ["bench", "attribution", "--part", "uncapped"]
    assert run([*arguments, "--circuit-tracer", "there"]) == 0
    out = capsys.readouterr().out
    assert "circuit-tracer 0.5.0 by turns: 40.0 s, 9.00 GB, 20.0 times as long" in out
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["uncapped_9_tokens"]["ratio_to_circuit_tracer"] is None


def test_one_part_can_be_chosen_and_is_shown_as_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark, "_in_a_fresh_process", fake)
    arguments = [
        "bench",
        "attribution",
        "--part",
        "length",
        "--model",
        "gemma-3-270m",
        "--length",
        "8",
        "--length",
        "16",
    ]
    assert run(arguments) == 0
    out = capsys.readouterr().out
    assert "seconds grow like tokens^1.5" in out
    assert "smollm2" not in out


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "attribution", "--part", "speed"]) == 2
    assert "no part 'speed': choose from uncapped, length, cap" in capsys.readouterr().err


def test_a_case_that_fails_in_its_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceError, match=r"case .*no-such-model.* failed: .*no-such-model"):
        benchmark.run(["length"], models=["no-such-model"], lengths=[8])


def test_the_growth_of_a_single_length_is_unknown() -> None:
    assert benchmark.growth_exponent([{"tokens": 8, "seconds": 1.0}]) is None


def test_the_machine_is_described() -> None:
    facts = machine()
    assert facts["cores"] >= 1
    assert facts["threads"] >= 1
    assert facts["matmul_gflops"] > 0.1
