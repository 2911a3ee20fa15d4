"""What is read back from disk: lazily, fast, and only if it is whole and of this model and CLT."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers import tiny_clt, tiny_model

from workbench.attribution import Graph, attribute
from workbench.clt import CLT
from workbench.errors import AtlasError, ConfigError, ModelError, ResourceError
from workbench.features.atlas import Atlas, Card
from workbench.features.atlas import atlas as atlas_module
from workbench.features.atlas.store import AtlasFile, write_atlas
from workbench.models import LoadedModel

PROMPT = "w3 w7 w12 w5"


@pytest.fixture
def copy(built: Atlas, tmp_path: Path) -> Path:
    """The file of the atlas, to be damaged."""
    path = tmp_path / "copy" / "atlas.parquet"
    path.parent.mkdir()
    path.write_bytes(built.file.path.read_bytes())
    return path


@pytest.mark.parametrize("damage", ["truncated", "empty", "another file", "a flipped byte"])
def test_a_damaged_file_is_told_and_how_to_rebuild_it(copy: Path, built: Atlas, damage: str) -> None:
    content = bytearray(copy.read_bytes())
    if damage == "a flipped byte":
        start = pq.ParquetFile(copy).metadata.row_group(0).column(0).data_page_offset
        for place in range(start + 20, start + 60):
            content[place] ^= 0xFF
    contents = {"truncated": content[:-1000], "empty": b"", "another file": b"{}", "a flipped byte": content}
    copy.write_bytes(contents[damage])
    with pytest.raises(AtlasError, match=r"is damaged .*: delete it and build it again with `workbench atlas CLT"):
        Atlas.open(copy, model=built.model, clt=built.clt).card(0, 0)


def test_an_atlas_of_another_clt_is_refused(built: Atlas) -> None:
    other = replace(built.clt, b_enc=built.clt.b_enc + 1e-3)
    with pytest.raises(AtlasError, match=r"is of another CLT of 'tiny-llama' .*: build one with `workbench atlas"):
        Atlas.open(built.file.path, model=built.model, clt=other)


def test_an_atlas_of_another_model_is_refused(built: Atlas) -> None:
    other = tiny_model("llama", dtype=torch.float32, seed=1)
    with pytest.raises(AtlasError, match=r"is of another model \('tiny-llama'\)"):
        Atlas.open(built.file.path, model=other, clt=tiny_clt(other, n_features=10))


def test_an_atlas_of_another_version_is_refused(tmp_path: Path) -> None:
    write_atlas(tmp_path / "atlas.parquet", {"format": 99}, [{"layer": [0], "feature": [0]}])
    with pytest.raises(AtlasError, match=r"has format 99, but this version reads 2: build it again"):
        AtlasFile.open(tmp_path / "atlas.parquet")


def test_no_atlas_says_how_to_build_one(built: Atlas, tmp_path: Path) -> None:
    with pytest.raises(AtlasError, match=r"There is no atlas at .*: build one with `workbench atlas CLT --model NAME`"):
        Atlas.open(tmp_path / "nowhere", model=built.model, clt=built.clt)


@pytest.mark.parametrize("key", [(3, 0), (0, 10), (-1, 0)])
def test_a_feature_that_does_not_exist_is_refused(built: Atlas, key: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match=r"There is no feature .* has 3 layers of 10 features, counted from 0"):
        built.card(*key)


def test_a_row_is_found_behind_the_first_group(tmp_path: Path) -> None:
    layers = [{"layer": [layer] * 150, "feature": list(range(150))} for layer in range(2)]
    write_atlas(tmp_path / "atlas.parquet", {}, layers)
    file = AtlasFile.open(tmp_path / "atlas.parquet")
    for index in (0, 63, 64, 149, 150, 299):
        row = file.row(index)
        assert (row["layer"], row["feature"]) == divmod(index, 150)


# --- compact ----------------------------------------------------------------------------------------------------------


def test_a_compact_atlas_has_labels_densities_and_short_examples(built: Atlas, tmp_path: Path) -> None:
    path = built.write_compact(tmp_path / "short" / "atlas.parquet")
    compact = Atlas.open(path, model=built.model, clt=built.clt)
    assert (built.complete, compact.complete) == (True, False)
    columns = ["layer", "feature", "label", "kind", "density", "n_active"]
    assert compact.table()[columns].equals(built.table()[columns])
    for key in ((0, 3), (2, 7)):
        short, full = compact.card(*key), built.card(*key)
        assert len(short.examples) == min(5, len(full.examples))
        assert {"top", "0–0.25"} <= {example["group"] for example in short.examples}
        for example in short.examples:
            same = [one for one in full.examples if example["activation"] == pytest.approx(one["activation"], rel=0.05)]
            assert any(
                one["tokens"][one["peak"]] == example["tokens"][example["peak"]] and one["group"] == example["group"]
                for one in same
            )
        assert [row["token"] for row in short.top_logits] == [row["token"] for row in full.top_logits][:4]
        if full.label_score is None:
            assert short.label_score is None
        else:
            assert short.label_score == pytest.approx(full.label_score, rel=0.01)
        assert json.dumps(short.to_json(), allow_nan=False)


def test_a_compact_atlas_that_does_not_fit_is_refused(
    built: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atlas_module, "COMPACT_BYTES", 1000)
    with pytest.raises(ResourceError, match=r"The shortest atlas of tiny has .* MB, more than 0 MB"):
        built.write_compact(tmp_path / "atlas.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_compact_atlas_of_a_compact_one_is_refused(built: Atlas, tmp_path: Path) -> None:
    compact = Atlas.open(built.write_compact(tmp_path / "a.parquet"), model=built.model, clt=built.clt)
    with pytest.raises(AtlasError, match="is compact already: copy the file"):
        compact.write_compact(tmp_path / "b.parquet")


# --- given labels -----------------------------------------------------------------------------------------------------


def test_a_persons_label_goes_before_the_rules_and_stays(atlas: Atlas) -> None:
    atlas.set_label(0, 3, "  mine ")
    again = Atlas.open(atlas.file.path, model=atlas.model, clt=atlas.clt, labels=atlas.given.path)
    card = again.card(0, 3)
    assert (card.label, card.label_source, card.label_score) == ("mine", "human", None)
    row = again.table().set_index(["layer", "feature"]).loc[(0, 3)]
    assert (row["label"], row["label_source"]) == ("mine", "human")
    assert np.isnan(row["label_score"])
    atlas.set_label(0, 3, None)
    # The other one notices that the file has changed.
    assert again.card(0, 3).label_source == "rule"


def test_a_new_build_leaves_given_labels_alone(built: Atlas) -> None:
    assert built.given.path.parent == built.file.path.parent
    assert built.given.path != built.file.path


def test_an_empty_label_is_refused(atlas: Atlas) -> None:
    with pytest.raises(ConfigError, match="The label is empty"):
        atlas.set_label(0, 3, " ")


def test_a_callable_labels_all_features_but_those_of_people(atlas: Atlas) -> None:
    atlas.set_label(0, 3, "mine")

    def labeller(card: Card) -> tuple[str, float | None] | str | None:
        return {0: None, 1: (f"layer one, {card.feature}", 0.75), 2: "layer two"}[card.layer]

    n_given = atlas.relabel(labeller, progress=False)
    labels, table = atlas.labels(), atlas.table()
    assert n_given == (table["label_source"] == "callable").sum() == 19
    assert labels[0, 3] == "mine"
    assert labels[1, 2] == "layer one, 2"
    assert atlas.card(1, 2).label_score == 0.75
    assert atlas.card(2, 0).label_reason == "the callable gave no score"
    assert atlas.card(1, 4).label == "silent"


def test_what_a_callable_gave_before_it_failed_is_kept(atlas: Atlas) -> None:
    def labeller(card: Card) -> str:
        if card.layer == 1:
            raise TimeoutError("the other end is gone")
        return "done"

    with pytest.raises(TimeoutError):
        atlas.relabel(labeller, progress=False)
    assert atlas.card(0, 9).label == "done"


def test_a_callable_that_returns_something_else_is_told(atlas: Atlas) -> None:
    with pytest.raises(ConfigError, match=r"The labeller returned 7 for the feature \(0, 0\)"):
        atlas.relabel(lambda card: 7, features=[(0, 0)], progress=False)  # type: ignore[arg-type, return-value]


def test_damaged_labels_are_told(atlas: Atlas) -> None:
    atlas.given.path.write_text('{"labels": {"0/3": {"text": "a"}}}')
    with pytest.raises(AtlasError, match=r"The labels in .* are damaged .*: correct or delete the file"):
        atlas.card(0, 0)


def test_labels_of_another_clt_are_refused(atlas: Atlas) -> None:
    atlas.given.path.write_text('{"clt_hash": "0", "labels": {}}')
    with pytest.raises(AtlasError, match="are of another CLT: move the file away"):
        atlas.table()


@pytest.fixture(scope="module")
def graph(model: LoadedModel, clt: CLT) -> Graph:
    return attribute(model, clt, PROMPT, progress=False)


def test_labels_travel_with_a_graph_and_its_json(atlas: Atlas, graph: Graph, tmp_path: Path) -> None:
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    first = features.iloc[0]
    atlas.set_label(int(first["layer"]), int(first["feature"]), "mine")
    read = Graph.from_json(atlas.label_graph(graph).to_json(tmp_path / "graph.json"))
    labels = atlas.labels()
    expected = [labels[layer, feature] for layer, feature in zip(features["layer"], features["feature"], strict=True)]
    of_features = read.nodes[read.nodes["kind"] == "feature"].set_index("node_id")["label"]
    assert of_features.loc[features["node_id"]].tolist() == expected
    assert "mine" in expected


def test_a_graph_of_another_model_gets_no_labels(atlas: Atlas, graph: Graph) -> None:
    other = replace(graph, info={**graph.info, "fingerprint": "0", "model": "other"})
    with pytest.raises(ModelError, match="The graph is of the model 'other'"):
        atlas.label_graph(other)
