"""How near training comes to what the machine can do, and how it stands beside other trainers."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from workbench.benchmarks.training import run as run_benchmark

pytestmark = pytest.mark.benchmark


def test_training_reaches_sixty_percent_of_the_limit(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    found = run_benchmark(["smollm2-135m-instruct"], features=[1024], windows=["4"])
    row = found["runs"][0]
    with capsys.disabled():
        print(  # noqa: T201 - a benchmark's result is its output
            f"\ntraining {row['model']}, {row['features']} features, window {row['window']}: "
            f"{row['tokens_per_second']:.0f} tokens/s, {row['fraction_of_limit']:.0%} of the limit; "
            f"harvest {found['harvest_tokens_per_second'][row['model']]:.0f} tokens/s"
        )
    record_property("tokens_per_second", row["tokens_per_second"])
    record_property("fraction_of_limit", row["fraction_of_limit"])
    assert row["fraction_of_limit"] >= 0.6


@pytest.mark.skipif(
    "WORKBENCH_RIVALS" not in os.environ,
    reason="set WORKBENCH_RIVALS to NAME=VENV pairs, separated by commas, of trainers and their virtual environments",
)
def test_training_is_faster_than_every_rival_of_the_same_shape(capsys: pytest.CaptureFixture[str]) -> None:
    rivals = dict(pair.split("=", 1) for pair in os.environ["WORKBENCH_RIVALS"].split(","))
    found = run_benchmark(["gemma-3-270m"], features=[1024], windows=["1"], rivals=rivals)["rivals"]
    with capsys.disabled():
        for row in found:
            print(f"\n{row}")  # noqa: T201 - a benchmark's result is its output
    assert [row["rival"] for row in found] == list(rivals)
    assert min(row["ratio"] for row in found) >= 1.5
