from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.errors import ResourceError
from workbench.evaluation import Baseline, CLTReport, Difference, write_model_card


def quality(**changes: Any) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "fvu": 0.25,
        "fvu_by_layer": [0.2, 0.3],
        "fvu_typical": 0.125,
        "fvu_typical_by_layer": [0.1, 0.15],
        "l0": 24.0,
        "l0_by_layer": [11.0, 13.0],
        "dead_by_layer": [0.0, 0.125],
        "dead_fraction": 0.0625,
        "dense_fraction": 0.03125,
        "kl": 1.5,
        "delta_ce": 1.25,
        "top1_agreement": 0.5,
        "replacement_score": 0.45,
        "completeness_score": 0.8125,
        "error_share": 0.21,
        "average_path_length": 3.5,
        "row_sum_error": 1e-6,
    }
    return figures | changes


def report(**changes: Any) -> CLTReport:
    ablated = Baseline(**quality(fvu=1.0, l0=0.0, dead_fraction=None, dead_by_layer=None, kl=7.5))
    further = {
        "kl": Difference(difference=-5.0, interval=(-5.5, -4.5)),
        "fvu": Difference(difference=-1.5, interval=None),
    }
    shuffled = Baseline(**quality(fvu=1.75, kl=6.5), differences=further)
    about: dict[str, Any] = {
        "clt": "gemma-3-270m",
        "model": "gemma-3-270m",
        "fingerprint": "abc123",
        "n_features": 512,
        "window": 2,
        "skip": False,
        "n_tokens": 4095,
        "n_rows": 65,
        "n_outliers": 3,
        "ce": 3.25,
        "n_prompts": 10,
        "seconds": 60.0,
        "by_row": {},
        "by_prompt": [],
        "intervals": {"kl": (1.25, 1.75), "replacement_score": (0.4, 0.5)},
        "baselines": {"mean_ablation": ablated, "shuffled": shuffled},
    }
    return CLTReport(**(quality() | about | changes))


SCORES = ("replacement_score", "completeness_score", "error_share", "average_path_length")


def card(tmp_path: Path, metadata: dict[str, Any] | None = None, **changes: Any) -> str:
    path = tmp_path / "README.md"
    write_model_card(report(**changes), metadata or {}, path)
    return path.read_text(encoding="utf-8")


def test_the_clt_and_its_baselines_stand_in_one_table(tmp_path: Path) -> None:
    text = card(tmp_path)

    assert "| **this CLT** | 0.250 | 0.125 | 24.0 | 1.500 | 1.250 | 0.500 | 0.450 | 0.812 | 0.210 | 3.50 |" in text
    assert "| mean ablation | 1.000 | 0.125 | 0.0 | 7.500 |" in text
    assert "| shuffled control | 1.750 | 0.125 | 24.0 | 6.500 |" in text
    assert "4,095 held-out tokens (3 of outlier norm)" in text
    assert "10 prompts" in text
    assert "Dead features on these tokens: 6.2%. Dense features: 3.1%." in text


def test_intervals_and_differences_stand_beside_the_figures(tmp_path: Path) -> None:
    text = card(tmp_path)

    assert "| 95 % interval | – | – | – | 1.250 … 1.750 | – | – | 0.400 … 0.500 | – | – | – |" in text
    assert "| − shuffled control | −1.500 | −5.000 (−5.500 … −4.500) | – | – | – | – |" in text
    assert "− mean ablation" not in text


def test_every_layer_has_its_row(tmp_path: Path) -> None:
    text = card(tmp_path)

    assert "| 0 | 0.200 | 0.100 | 11.0 | 0.0% |" in text
    assert "| 1 | 0.300 | 0.150 | 13.0 | 12.5% |" in text


def test_the_recipe_is_told_and_its_nested_values_too(tmp_path: Path) -> None:
    text = card(tmp_path, {"recipe": {"lr": 0.003, "skip": False, "corpus": "a|b"}, "token_passes": 1_000_448})

    assert "| `recipe.lr` | 0.003 |" in text
    assert "| `recipe.skip` | no |" in text
    assert r"| `recipe.corpus` | a\|b |" in text
    assert "| `token_passes` | 1,000,448 |" in text


def test_the_trainers_own_figures_do_not_stand_beside_those_of_the_report(tmp_path: Path) -> None:
    assert "`fvu`" not in card(tmp_path, {"fvu": 0.99, "steps": 5})


def test_graph_scores_that_were_not_measured_are_dashes(tmp_path: Path) -> None:
    text = card(tmp_path, n_prompts=0, **dict.fromkeys(SCORES))

    assert "| **this CLT** | 0.250 | 0.125 | 24.0 | 1.500 | 1.250 | 0.500 | – | – | – | – |" in text
    assert "prompts." not in text.split("## By layer")[0]


def test_gemmas_notice_travels_with_its_clts(tmp_path: Path) -> None:
    assert "> Gemma is provided under and subject to the Gemma Terms of Use" in card(tmp_path)


@pytest.mark.parametrize(
    ("model", "licence"),
    [
        ("smollm2-135m-instruct", "under the Apache-2.0"),
        ("someone/model", "the licence of that model applies"),
    ],
)
def test_the_licence_is_that_of_the_model(tmp_path: Path, model: str, licence: str) -> None:
    text = card(tmp_path, model=model)

    assert licence in text
    assert "Gemma" not in text


def test_a_card_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    with pytest.raises(ResourceError, match="Cannot write"):
        write_model_card(report(), {}, tmp_path / "file" / "README.md")
