"""The card in an explorer: from the atlas that there is, or computed when somebody asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_clt, tiny_model, tiny_prompt

import workbench as wb
from workbench.errors import AtlasError, ConfigError
from workbench.widgets import FeatureCard, GraphExplorer
from workbench.widgets.atlas_card import AtlasCards
from workbench.widgets.explorer_card import ExplorerCard


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wb.Session:
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    model = tiny_model("llama")
    return wb.Session(loaded=model, clt=tiny_clt(model), clt_name="tiny")


@pytest.fixture
def explorer(bench: wb.Session) -> Iterator[GraphExplorer]:
    shown = bench.explore(bench.attribute(tiny_prompt(), progress=False))
    yield shown
    shown.close()


def test_without_an_atlas_it_says_so_and_begins_nothing(bench: wb.Session, explorer: GraphExplorer) -> None:
    card = ExplorerCard(explorer, AtlasCards(bench))
    assert card.answer({"layer": 0, "feature": 3}) == {"stage": "none"}
    assert bench.atlas_build is None


def test_a_card_is_computed_when_it_is_asked_for(bench: wb.Session, explorer: GraphExplorer) -> None:
    card = ExplorerCard(explorer, AtlasCards(bench))
    begun: Any = card.answer({"layer": 0, "feature": 3, "atlas": "begin"})
    assert begun["stage"] == "text"
    assert 0 <= begun["done"] <= 1
    build = bench.atlas_build
    assert build is not None
    # Who asks again gets the build at work, not another one.
    card.answer({"layer": 0, "feature": 3, "atlas": "begin"})
    assert bench.atlas_build is build
    assert build.wait(600) is not None
    answer = card.answer({"layer": 0, "feature": 3})
    assert isinstance(card.widget, FeatureCard)
    assert answer == f"anywidget:{card.widget.model_id}"
    assert card.widget.card["n_tokens"] >= 20_000
    card.close()


def test_a_build_that_was_stopped_goes_on(bench: wb.Session, explorer: GraphExplorer) -> None:
    card = ExplorerCard(explorer, AtlasCards(bench))
    key = {"layer": 0, "feature": 3}
    card.answer({**key, "atlas": "begin"})
    stopped: Any = card.answer({**key, "atlas": "stop"})
    assert stopped["stage"] == "stopped"
    card.answer({**key, "atlas": "begin"})
    build = bench.atlas_build
    assert build is not None
    assert build.wait(600) is not None


def test_what_kept_the_build_is_said(
    bench: wb.Session, explorer: GraphExplorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = ExplorerCard(explorer, AtlasCards(bench))
    bench.build_atlas(corpus="nowhere.txt")
    assert bench.atlas_build is not None
    with pytest.raises(wb.WorkbenchError):
        bench.atlas_build.wait(60)
    with pytest.raises(AtlasError, match=r"The cards could not be computed: The corpus 'nowhere.txt' is unknown"):
        card.answer({"layer": 0, "feature": 3})


def test_an_explorer_without_a_session_has_no_cards(explorer: GraphExplorer) -> None:
    with pytest.raises(AtlasError, match="made without a session"):
        ExplorerCard(explorer, None).answer({"layer": 0, "feature": 3})


def test_what_names_no_feature(bench: wb.Session, explorer: GraphExplorer) -> None:
    with pytest.raises(ConfigError, match="names no feature: give layer and feature"):
        ExplorerCard(explorer, AtlasCards(bench)).answer({"layer": "x"})
