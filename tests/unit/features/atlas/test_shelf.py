"""Where a session gets its atlas from, and the build that runs beside it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from atlas_brute_force import CORPUS, PLAN
from helpers import tiny_prompt

import workbench as wb
from workbench.clt import CLT, save_clt
from workbench.errors import AtlasError, ConfigError
from workbench.features.atlas import Atlas
from workbench.features.atlas.identity import clt_hash
from workbench.features.atlas.places import atlas_folder
from workbench.features.atlas.shelf import AtlasBuild, Shelf
from workbench.models import LoadedModel
from workbench.widgets import InterventionSliders

OPTIONS: dict[str, Any] = {"corpus": CORPUS, "plan": PLAN, "progress": False}


@pytest.fixture
def bench(model: LoadedModel, clt: CLT) -> wb.Session:
    return wb.Session(loaded=model, clt=clt, clt_name="tiny")


def put_full_atlas(built: Atlas) -> None:
    path = atlas_folder(clt_hash(built.clt)) / "atlas.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(built.file.path.read_bytes())


def held_build(release: threading.Event) -> Callable[..., None]:
    """Return a build that waits until it is released or stopped."""

    def build(*, stop: Callable[[], bool], observe: Callable[[str, float], object]) -> None:
        observe("text", 0.25)
        while not stop() and not release.wait(0.01):
            pass

    return build


def test_a_full_atlas_in_the_cache_is_opened(bench: wb.Session, built: Atlas) -> None:
    put_full_atlas(built)
    assert bench.atlas.card(0, 3).to_json() == built.card(0, 3).to_json()
    assert bench.atlas is bench.atlas
    assert bench.atlas_build is None


def test_without_any_atlas_a_build_begins_and_the_message_says_so(
    bench: wb.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    monkeypatch.setattr(Shelf, "start", lambda shelf: setattr(shelf, "build", AtlasBuild(held_build(release))))
    with pytest.raises(AtlasError, match=r"The atlas of 'tiny' is being built in the background \(AtlasBuild\(text"):
        assert bench.atlas
    build = bench.atlas_build
    assert build is not None
    assert build.running
    build.stop(wait=60)
    with pytest.raises(AtlasError, match=r"was stopped: bench.build_atlas\(\) goes on with it"):
        assert bench.atlas


def test_a_build_in_the_background_gives_the_session_its_atlas(bench: wb.Session, built: Atlas) -> None:
    build = bench.build_atlas(**OPTIONS, clt_name="tiny")
    assert bench.build_atlas() is build
    # The session answers meanwhile.
    bench.intervene(tiny_prompt(), [])
    assert build.wait(600) is not None
    assert build.stage == "done"
    assert bench.atlas.table().equals(built.table())


def test_a_build_that_failed_says_why(bench: wb.Session, caplog: pytest.LogCaptureFixture) -> None:
    build = bench.build_atlas(corpus="nowhere.txt")
    with pytest.raises(wb.WorkbenchError, match=r"The corpus 'nowhere.txt' is unknown"):
        build.wait(60)
    assert build.stage == "failed"
    with pytest.raises(AtlasError, match=r"could not be built: The corpus 'nowhere.txt' is unknown"):
        assert bench.atlas
    assert "was not built" in caplog.text


def test_sessions_can_be_kept_from_building(bench: wb.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_ATLAS_BUILD", "0")
    with pytest.raises(AtlasError, match=r"There is no atlas of the CLT 'tiny': build it with bench.build_atlas\(\)"):
        assert bench.atlas
    assert bench.atlas_build is None


def test_a_small_atlas_serves_until_there_is_another_one(bench: wb.Session, built: Atlas) -> None:
    small = bench.build_atlas(small=True, **OPTIONS, tokens=500).wait(600)
    assert small is not None
    found = bench.find_atlas()
    assert found is not None
    assert found.info["n_tokens"] < built.info["n_tokens"]
    # No other one is begun by asking for this one, and a label is given to the CLT.
    assert bench.atlas is found
    found.set_label(0, 3, "mine")
    put_full_atlas(built)
    assert bench.atlas.info["n_tokens"] == built.info["n_tokens"]
    assert bench.atlas.card(0, 3).label == "mine"


def test_a_compact_atlas_beside_the_clt_serves_until_the_full_one_is_there(
    model: LoadedModel, clt: CLT, built: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_ATLAS_BUILD", "0")
    save_clt(clt, tmp_path / "clt")
    built.write_compact(tmp_path / "clt" / "atlas.parquet")
    bench = wb.Session(loaded=model, clt=clt, clt_name=str(tmp_path / "clt"))
    assert not bench.atlas.complete
    bench.atlas.set_label(0, 3, "mine")
    put_full_atlas(built)
    assert bench.atlas.complete
    # The label was given to the CLT, not to one of its atlases.
    assert bench.atlas.card(0, 3).label == "mine"


def test_graphs_are_labelled_by_the_atlas(bench: wb.Session, built: Atlas) -> None:
    graph = bench.attribute(tiny_prompt(), progress=False)
    promoted = bench.label(graph.prune())
    put_full_atlas(built)
    labelled = bench.label(graph.prune())
    features = labelled.nodes[labelled.nodes["kind"] == "feature"]
    assert promoted.nodes["label"].str.startswith("→ ").any()
    expected = [built.labels()[key] for key in zip(features["layer"], features["feature"], strict=True)]
    assert features["label"].tolist() == expected


def test_sliders_are_labelled_by_the_atlas(bench: wb.Session, built: Atlas) -> None:
    put_full_atlas(built)
    graph = bench.attribute(tiny_prompt(), progress=False)
    expected = bench.label(graph).nodes.query("kind == 'feature'").head(3)
    assert (expected["label"] != "").any()
    for given in (expected["node_id"].tolist(), graph.select(expected["node_id"])):
        sliders = bench.sliders(graph, nodes=given)
        assert [row["label"] for row in sliders.nodes] == expected["label"].tolist()
        sliders.close()


def test_an_explorer_shows_one_card_feature_after_feature(bench: wb.Session, built: Atlas) -> None:
    explorer = bench.explore(bench.attribute(tiny_prompt(), progress=False))
    asked = {"layer": 0, "feature": 3}
    assert explorer.methods()["card"](asked) == {"stage": "none"}
    put_full_atlas(built)
    found = explorer.methods()["card"](asked)
    card = explorer._card.widget  # type: ignore[union-attr]
    assert card is not None
    assert found == f"anywidget:{card.model_id}"
    assert card.card["label"] == built.card(0, 3).label
    assert explorer.methods()["card"]({"layer": 1, "feature": 2}) == found
    assert (card.card["layer"], card.card["feature"]) == (1, 2)
    with pytest.raises(ConfigError, match="names no feature"):
        explorer.methods()["card"]({"layer": 1})
    # A name goes from the card to the explorer and back.
    features = explorer.graph.nodes[explorer.graph.nodes["kind"] == "feature"].iloc[0]
    layer, feature, node = int(features["layer"]), int(features["feature"]), str(features["node_id"])
    explorer.methods()["card"]({"layer": layer, "feature": feature})
    card.label = "from the card"
    assert explorer.labels[node] == "from the card"
    explorer.labels = {node: "from the graph"}
    assert card.label == "from the graph"
    # A neighbour that is in the graph is selected there.
    card.selected_feature = (layer, feature)
    assert explorer.selected["feature"].tolist() == [feature]
    explorer.close()


def test_a_damaged_atlas_does_not_keep_a_graph_from_its_labels(
    bench: wb.Session, built: Atlas, caplog: pytest.LogCaptureFixture
) -> None:
    put_full_atlas(built)
    path = atlas_folder(clt_hash(built.clt)) / "atlas.parquet"
    path.write_bytes(path.read_bytes()[:-50])
    with caplog.at_level(logging.WARNING):
        labelled = bench.label(bench.attribute(tiny_prompt(), progress=False).prune())
    assert labelled.nodes["label"].str.startswith("→ ").any()
    assert "is damaged" in caplog.text
    with pytest.raises(AtlasError, match="is damaged"):
        assert bench.atlas
    # The card tab says so, too, and offers no build that would not be found beside it.
    explorer = bench.explore(labelled)
    with pytest.raises(AtlasError, match="is damaged"):
        explorer.methods()["card"]({"layer": 0, "feature": 3})
    explorer.close()


def test_the_card_of_a_session_tries_texts_steers_and_takes_labels(bench: wb.Session, built: Atlas) -> None:
    put_full_atlas(built)
    widget = bench.feature_card(0, 3)
    assert widget.card["label"] == widget.label == built.card(0, 3).label
    widget.label = "mine"
    assert bench.atlas.card(0, 3).label == "mine"
    assert widget._try_text is not None
    assert widget._steer is not None
    assert widget._try_text("w3 w4") == bench.atlas.activations("w3 w4", 0, 3)
    sliders = widget._steer("")
    assert isinstance(sliders, InterventionSliders)
    assert all(node.startswith("f/0/3/") for node in sliders.values)
    sliders.close()
    widget.close()


def test_a_feature_that_never_fired_is_steered_on_no_example(bench: wb.Session, built: Atlas) -> None:
    put_full_atlas(built)
    widget = bench.feature_card(1, 4)
    assert widget._steer is not None
    with pytest.raises(wb.WorkbenchError, match="This feature never fired on the atlas's text"):
        widget._steer("")
    with pytest.raises(wb.WorkbenchError, match="The feature 1/4 does not fire on this text"):
        widget._steer("w3 w4")
    widget.close()


def test_explorers_know_how_often_features_fire(bench: wb.Session, built: Atlas) -> None:
    graph = bench.attribute(tiny_prompt(), progress=False)
    without = bench.explore(graph)
    assert all(value != value for value in without._nodes["density"])
    put_full_atlas(built)
    explorer = bench.explore(graph)
    shown = explorer.graph.nodes.assign(density=explorer._nodes["density"])
    features = shown[shown["kind"] == "feature"].merge(built.table(), on=["layer", "feature"], suffixes=("", "_atlas"))
    assert features["density"].tolist() == pytest.approx(features["density_atlas"].tolist())
    without.close()
    explorer.close()
