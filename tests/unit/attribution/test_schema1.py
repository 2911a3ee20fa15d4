"""Graph JSON schema 1: what goes out comes back the same, and what others wrote means what they meant."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_prompt
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.attribution import Graph, attribute
from workbench.attribution.paths import strongest_paths
from workbench.attribution.schema1 import cantor_pair, cantor_unpair, from_schema1, to_schema1
from workbench.attribution.targets import DifferenceTarget, DirectionTarget, FeatureTarget
from workbench.errors import ConfigError, FormatError, ResourceError
from workbench.files import DATA, read_json

SCHEMA = read_json(DATA / "schemas" / "graph-schema-1.json")


@pytest.fixture(scope="module")
def full() -> Graph:
    """A graph in which errors and features of the first layer share ids."""
    model = tiny_model("llama", dtype=torch.float32)
    return attribute(model, tiny_clt(model, n_features=16, active=0.6), tiny_prompt(length=7), progress=False)


@pytest.fixture(scope="module")
def named(full: Graph) -> Graph:
    """A pruned graph with labels on all kinds of nodes, and supernodes."""
    pruned = full.prune(0.8, 0.95)
    features = pruned.nodes.loc[pruned.nodes["kind"] == "feature", "node_id"].tolist()
    errors = pruned.nodes.loc[pruned.nodes["kind"] == "error", "node_id"].tolist()
    logit = pruned.nodes["node_id"].iloc[-1]
    labels = {features[0]: 'says "<b>hi</b>"\n→ 中', errors[1]: "odd", "t/2": "the name", logit: "Output of all"}
    nodes = pruned.with_labels(labels).nodes
    nodes["supernode"] = nodes["node_id"].map({features[3]: "b", features[1]: "a", features[4]: "b", "t/2": "a"})
    return replace(pruned, nodes=nodes.fillna({"supernode": ""}))


def through_json(exported: dict[str, Any]) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(exported, allow_nan=False))
    return read


# --- ours, there and back ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["full", "named"])
def test_what_is_exported_keeps_to_the_schema(which: str, request: pytest.FixtureRequest) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(through_json(to_schema1(request.getfixturevalue(which))))


@pytest.mark.parametrize("which", ["full", "named"])
def test_a_graph_comes_back_as_it_was_but_for_its_bias_nodes(which: str, request: pytest.FixtureRequest) -> None:
    graph: Graph = request.getfixturevalue(which)

    back = from_schema1(through_json(to_schema1(graph, pinned=["t/1"])))

    is_bias = (graph.nodes["kind"] == "bias").to_numpy()
    pd.testing.assert_frame_equal(
        back.nodes, graph.nodes[~is_bias].reset_index(drop=True), check_categorical=False, check_dtype=True
    )
    kept = torch.from_numpy(~is_bias[graph.source_index])
    assert torch.equal(back.weights, graph.weights[:, kept])
    assert torch.equal(back.incoming, graph.incoming)
    edges = graph.edges[~graph.edges["source"].astype(str).str.startswith("b/")].reset_index(drop=True)
    pd.testing.assert_frame_equal(back.edges, edges, check_categorical=False)
    assert (back.prompt, back.tokens, back.token_ids) == (graph.prompt, graph.tokens, graph.token_ids)
    assert back.scores() == graph.scores()
    assert dict(graph.info).items() <= dict(back.info).items()
    assert back.info["q_params"]["pinned"] == ["t/1"]
    assert "imported" not in back.info


@pytest.mark.parametrize("which", ["full", "named"])
def test_exporting_what_was_imported_gives_the_same_file(which: str, request: pytest.FixtureRequest) -> None:
    exported = through_json(to_schema1(request.getfixturevalue(which), slug="mine", pinned=["t/1", "t/0"]))

    assert through_json(to_schema1(from_schema1(exported))) == exported


def test_a_file_on_the_disk_is_read_too(named: Graph, tmp_path: Path) -> None:
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(to_schema1(named), ensure_ascii=False), encoding="utf-8")

    assert torch.equal(from_schema1(path).incoming, from_schema1(str(path)).incoming)
    path.write_text(path.read_text(encoding="utf-8")[:-9], encoding="utf-8")
    with pytest.raises(FormatError, match=r"Cannot read .*graph.json as JSON"):
        from_schema1(path)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(FormatError, match=r"graph.json cannot be read: The graph has no object 'metadata'"):
        from_schema1(path)


def test_labels_supernodes_and_pins_are_where_viewers_look_for_them(named: Graph) -> None:
    features = named.nodes.loc[named.nodes["kind"] == "feature", "node_id"].tolist()
    exported = to_schema1(named, pinned=[features[0]])

    spelled = [id_.removeprefix("f/").replace("/", "_") for id_ in features]
    by_id = {node["node_id"]: node for node in exported["nodes"]}
    assert by_id[spelled[0]]["clerp"] == 'says "<b>hi</b>"\n→ 中'
    token = next(node for node in exported["nodes"] if node["feature_type"] == "embedding" and node["ctx_idx"] == 2)
    assert token["clerp"] == "the name"
    # In the order of their first members.
    assert exported["qParams"]["supernodes"] == [["a", spelled[1], token["node_id"]], ["b", spelled[3], spelled[4]]]
    assert exported["qParams"]["pinnedIds"] == [spelled[0]]
    with pytest.raises(ConfigError, match="no node 'f/0/999/1' to pin"):
        to_schema1(named, pinned=["f/0/999/1"])


def test_an_error_whose_id_is_taken_gets_a_suffix(full: Graph) -> None:
    exported = to_schema1(full)
    ids = [node["node_id"] for node in exported["nodes"]]
    collided = [id_ for id_ in ids if id_.endswith("_err")]

    assert len(set(ids)) == len(ids)
    assert collided
    for id_ in collided:
        zero, layer, position = id_.removesuffix("_err").split("_")
        assert zero == "0"
        assert {f"f/0/{layer}/{position}", f"e/{layer}/{position}"} <= set(full.nodes["node_id"])


def test_bias_totals_are_the_sums_of_the_biases_edges(full: Graph) -> None:
    edges = full.edges[full.edges["source"].astype(str).str.startswith("b/")]
    expected = edges.groupby(edges["target"].astype(str))["weight"].sum()

    totals = from_schema1(to_schema1(full)).info["bias_totals"]

    assert set(totals) == set(full.nodes["node_id"].to_numpy()[full.target_index])
    for node_id, total in expected.items():
        assert totals[node_id] == pytest.approx(total, rel=1e-3, abs=1e-4)


def test_influence_is_exported_as_the_viewers_slider_reads_it(full: Graph, named: Graph) -> None:
    exported = to_schema1(full)["nodes"]
    theirs = np.array([node["influence"] for node in exported if node["influence"] is not None])
    nodes = full.nodes[~full.nodes["kind"].isin(("bias", "logit"))]
    ours = nodes["influence"].to_numpy(np.float64)
    assert len(theirs) == len(ours) == len(exported) - full.count("logit")
    from_the_top = np.argsort(-ours, kind="stable")
    np.testing.assert_allclose(theirs[from_the_top], ours[from_the_top].cumsum() / ours.sum(), atol=1e-12)

    # A viewer opens a graph at its node_threshold and shows the nodes up to it: all that pruning has kept.
    pruned = to_schema1(named)
    largest = max(node["influence"] for node in pruned["nodes"] if node["influence"] is not None)
    assert largest == pytest.approx(pruned["metadata"]["node_threshold"]) == pytest.approx(0.8)


def test_pruning_leaves_the_exported_influence_of_what_it_keeps_as_it_was(full: Graph) -> None:
    def exported(graph: Graph) -> dict[str, float]:
        return {node["node_id"]: node["influence"] for node in to_schema1(graph)["nodes"] if node["influence"]}

    # No node of these is left out for want of edges.
    pruned = full.prune(0.6, 1.0)
    whole, kept = exported(full), exported(pruned)
    assert 0 < len(kept) < len(whole)
    assert kept == {name: pytest.approx(min(whole[name], 0.6), abs=1e-6) for name in kept}
    assert pruned.prune(0.5, 1.0).info["total_influence"] == pruned.info["total_influence"]


def test_without_our_own_metadata_a_whole_graph_still_has_its_shares_and_influence(full: Graph) -> None:
    exported = through_json(to_schema1(full))
    del exported["metadata"]["workbench"]

    back = from_schema1(exported)

    keep = (full.nodes["kind"] != "bias").to_numpy()
    torch.testing.assert_close(back.incoming, full.incoming)
    np.testing.assert_allclose(back.nodes["influence"], full.nodes.loc[keep, "influence"], rtol=1e-4, atol=1e-6)
    assert back.nodes["node_id"].tolist() == full.nodes.loc[keep, "node_id"].tolist()
    assert back.nodes["label"].tolist() == [""] * len(back.nodes)
    assert [str(token) for token in back.nodes["token"]] == [str(token) for token in full.nodes.loc[keep, "token"]]
    assert back.token_ids == full.token_ids
    assert np.isnan(back.scores()).all()
    assert back.info["imported"]["incoming"].startswith("Σ|weight| of the links in the file")


def test_an_imported_graph_can_be_pruned_and_searched(full: Graph) -> None:
    back = from_schema1(to_schema1(full))
    pruned, expected = back.prune(0.6, 0.9), full.prune(0.6, 0.9)

    assert set(pruned.nodes["node_id"]) == set(expected.nodes.loc[expected.nodes["kind"] != "bias", "node_id"])
    assert strongest_paths(pruned, k=3)["share"].tolist() == pytest.approx(
        strongest_paths(expected, k=3)["share"].tolist(), rel=1e-5
    )
    again = from_schema1(to_schema1(pruned))
    assert set(again.info["bias_totals"]) <= set(again.nodes["node_id"])


# --- what others write ------------------------------------------------------------------------------------------------


def node(node_id: str, feature: int, layer: str | int, position: int, type_: str, **fields: Any) -> dict[str, Any]:
    """Return a node as circuit-tracer writes it."""
    return {
        "node_id": node_id,
        "feature": feature,
        "layer": layer,
        "ctx_idx": position,
        "feature_type": type_,
        "token_prob": 0.0,
        "is_target_logit": False,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": node_id,
        "clerp": "",
        "influence": None,
        "activation": None,
    } | fields


FEATURE, ERROR, TOKEN = "cross layer transcoder", "mlp reconstruction error", "embedding"


@pytest.fixture
def foreign() -> dict[str, Any]:
    """A graph of a model of 3 layers, by hand, its nodes not in our order."""
    return {
        "metadata": {
            "slug": "dallas",
            "scan": "gemma-2-2b",
            "transcoder_list": [],
            "prompt_tokens": ["<bos>", "The", " capital"],
            "prompt": "<bos>The capital",
            "node_threshold": 0.8,
            "schema_version": 1,
            "feature_details": {"neuronpedia_source_set": "clt-hp"},
            "pruning_settings": {"node_threshold": 0.8, "edge_threshold": 0.98},
            "replacement_score": 0.61,
        },
        "qParams": {
            "pinnedIds": ["1_57794_1", "9_9_9"],
            "supernodes": [["capitals", "1_57794_1", "0_2_2", "9_9_9"], ["empty"]],
            "linkType": "both",
            "clickedId": "0_2_2",
            "sg_pos": "1 2",
        },
        "nodes": [
            node("1_57794_1", cantor_pair(1, 57794), "1", 1, FEATURE, influence=0.5, activation=11.4, clerp="cities"),
            node("0_2_2", cantor_pair(0, 2), "0", 2, FEATURE, influence=0.3, activation=2.0),
            node("0_1_1", -1, "1", 1, ERROR, influence=0.7),
            node("2_-1_2", -1, "2", 2, ERROR),
            node("E_2_0", 0, "E", 0, TOKEN, clerp='Emb: "<bos>"'),
            node("E_651_1", 1, "E", 1, TOKEN),
            node("4_22605_2", 22605, "4", 2, "logit", token_prob=0.41, clerp='Output " Aus"tin" (p=0.410)'),
            node("4_7_2", 7, "4", 2, "logit", token_prob=0.2, clerp="the rest"),
        ],
        "links": [
            {"source": "E_651_1", "target": "0_2_2", "weight": 2.0},
            {"source": "E_2_0", "target": "1_57794_1", "weight": -1.0},
            {"source": "0_2_2", "target": "4_22605_2", "weight": 3.0},
            {"source": "1_57794_1", "target": "4_22605_2", "weight": 1.0},
            {"source": "0_1_1", "target": "4_22605_2", "weight": -4.0},
            {"source": "2_-1_2", "target": "4_7_2", "weight": 0.5},
        ],
    }


def edge(graph: Graph, source: str, target: str) -> float:
    ids = graph.nodes["node_id"].to_numpy()
    row = ids[graph.target_index].tolist().index(target)
    return float(graph.weights[row, ids[graph.source_index].tolist().index(source)])


def test_a_foreign_graph_means_what_it_says(foreign: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(foreign)

    graph = from_schema1(foreign)

    nodes = graph.nodes.set_index("node_id")
    assert list(nodes.index) == [
        *("f/0/2/2", "f/1/57794/1", "e/1/1", "e/2/2", "t/0", "t/1", "l/22605/2", "l/7/2"),
    ]
    assert graph.info["n_layers"] == 3
    assert nodes["layer"].tolist() == [0, 1, 1, 2, 0, 0, 3, 3]
    assert nodes["feature"].tolist() == [2, 57794, -1, -1, -1, -1, -1, -1]
    assert nodes["token"].tolist() == [" capital", "The", "The", " capital", "<bos>", "The", ' Aus"tin', "the rest"]
    assert nodes["label"].tolist() == ["", "cities", "", "", "", "", "", "the rest"]
    assert nodes["supernode"].tolist() == ["capitals", "capitals", "", "", "", "", "", ""]
    assert nodes["activation"].tolist()[:2] == pytest.approx([2.0, 11.4])
    assert nodes["probability"].tolist()[-2:] == pytest.approx([0.41, 0.2])
    assert graph.token_ids == (2, 651, -1)
    assert graph.n_edges == 6
    assert edge(graph, "t/1", "f/0/2/2") == 2
    assert edge(graph, "e/1/1", "l/22605/2") == -4
    assert edge(graph, "e/2/2", "l/7/2") == 0.5
    assert graph.incoming.tolist() == [2.0, 1.0, 8.0, 0.5]
    # By hand: the first logit's probability times the shares on the way.
    assert nodes.loc["f/0/2/2", "influence"] == pytest.approx(0.41 * 3 / 8)
    assert nodes.loc["t/0", "influence"] == pytest.approx(0.41 * 1 / 8)
    scores = graph.scores()
    assert scores.replacement == 0.61
    assert np.isnan(scores.completeness)


def test_what_else_a_foreign_graph_has_is_kept(foreign: dict[str, Any]) -> None:
    before = copy.deepcopy(foreign)

    graph = from_schema1(foreign)

    assert foreign == before
    assert graph.prompt == "<bos>The capital"
    assert {key: graph.info[key] for key in ("slug", "model", "clt", "node_threshold", "edge_threshold")} == {
        "slug": "dallas",
        "model": "gemma-2-2b",
        "clt": "",
        "node_threshold": 0.8,
        "edge_threshold": 0.98,
    }
    assert graph.info["metadata"]["feature_details"] == {"neuronpedia_source_set": "clt-hp"}
    assert graph.info["q_params"] == {
        "pinned": ["f/1/57794/1"],
        "clicked": "f/0/2/2",
        "link_type": "both",
        "sg_pos": "1 2",
    }
    assert graph.info["cumulative_influence"] == {"f/0/2/2": 0.3, "f/1/57794/1": 0.5, "e/1/1": 0.7}
    exported = through_json(to_schema1(graph))
    jsonschema.Draft202012Validator(SCHEMA).validate(exported)
    assert exported["metadata"]["feature_details"] == {"neuronpedia_source_set": "clt-hp"}
    assert exported["metadata"]["slug"] == "dallas"
    assert {n["node_id"]: n["influence"] for n in exported["nodes"]}["1_57794_1"] == 0.5
    assert exported["qParams"]["clickedId"] == "0_2_2"
    assert exported["qParams"]["sg_pos"] == "1 2"
    again = from_schema1(exported)
    assert again.info["imported"] == graph.info["imported"]
    assert through_json(to_schema1(again)) == exported


def test_fields_that_only_some_writers_give_may_be_missing(foreign: dict[str, Any]) -> None:
    del foreign["qParams"]
    foreign["metadata"] = {key: foreign["metadata"][key] for key in ("prompt_tokens", "scan")}
    for entry in foreign["nodes"]:
        for key in ("influence", "activation", "clerp", "jsNodeId", "run_idx", "is_target_logit"):
            del entry[key]
        if entry["layer"] != "E":
            entry["layer"] = int(entry["layer"])

    graph = from_schema1(foreign)

    assert len(graph.nodes) == 8
    assert graph.nodes["token"].iloc[-1] == "7"
    assert "node_threshold" not in graph.info


def test_a_feature_is_known_by_cantors_number_where_its_id_does_not_tell(foreign: dict[str, Any]) -> None:
    foreign["nodes"][0]["node_id"] = "a feature"
    for link in foreign["links"]:
        link.update({end: "a feature" for end in ("source", "target") if link[end] == "1_57794_1"})

    assert "f/1/57794/1" in from_schema1(foreign).nodes["node_id"].tolist()


def test_older_numbers_than_cantors_are_overruled_by_the_id(foreign: dict[str, Any]) -> None:
    foreign["nodes"][0]["feature"] = 157794

    assert "f/1/57794/1" in from_schema1(foreign).nodes["node_id"].tolist()


@given(st.integers(0, 200), st.integers(0, 10**7))
def test_cantors_pairs_can_be_undone(layer: int, feature: int) -> None:
    assert cantor_unpair(cantor_pair(layer, feature)) == (layer, feature)


# --- ids that a feature and an error share ----------------------------------------------------------------------------


@pytest.fixture
def shared(foreign: dict[str, Any]) -> dict[str, Any]:
    """The error of layer 2 at position 2 and feature 2 of layer 0 there are both 0_2_2, as older versions wrote."""
    foreign["nodes"][3]["node_id"] = "0_2_2"
    foreign["links"][5]["source"] = "0_2_2"
    return foreign


def test_two_links_are_the_features_and_then_the_errors(shared: dict[str, Any]) -> None:
    shared["links"].append({"source": "0_2_2", "target": "4_22605_2", "weight": 9.0})

    graph = from_schema1(shared)

    assert edge(graph, "f/0/2/2", "l/22605/2") == 3
    assert edge(graph, "e/2/2", "l/22605/2") == 9
    # The link to the other logit stands alone: it is the feature's, by the rule.
    assert edge(graph, "f/0/2/2", "l/7/2") == 0.5
    assert graph.info["ambiguous_links"] == 1
    # A target is always the feature.
    assert edge(graph, "t/1", "f/0/2/2") == 2


def test_a_link_that_the_error_could_not_have_is_not_ambiguous(shared: dict[str, Any]) -> None:
    # The error is of layer 2, and this target reads below it.
    shared["links"] = [{"source": "0_2_2", "target": "1_57794_1", "weight": 1.0}]

    graph = from_schema1(shared)

    assert edge(graph, "f/0/2/2", "f/1/57794/1") == 1
    assert "ambiguous_links" not in graph.info
    shared["links"] *= 2
    with pytest.raises(FormatError, match="link from '0_2_2' to '1_57794_1' stands in the graph twice"):
        from_schema1(shared)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Any graph of 3 layers and 3 positions; errors have the older ids, which features of layer 0 may share."""
    at = st.integers(0, 2)
    texts = st.text(max_size=5)
    numbers = st.none() | st.floats(0, 1)
    features = draw(st.sets(st.tuples(at, st.integers(0, 3), at), max_size=8))
    errors = draw(st.sets(st.tuples(at, at), max_size=4))
    nodes = [
        node(
            f"{layer}_{f}_{p}",
            cantor_pair(layer, f),
            str(layer),
            p,
            FEATURE,
            clerp=draw(texts),
            influence=draw(numbers),
        )
        for layer, f, p in features
    ]
    nodes += [node(f"0_{layer}_{p}", -1, str(layer), p, ERROR, clerp=draw(texts)) for layer, p in errors]
    nodes += [node(f"E_{p + 5}_{p}", p, "E", p, TOKEN) for p in draw(st.sets(at))]
    nodes += [
        node(f"4_{t}_2", t, "4", 2, "logit", token_prob=draw(st.floats(0, 1)), clerp=draw(texts))
        for t in draw(st.sets(st.integers(0, 9), min_size=1, max_size=3))
    ]
    nodes = draw(st.permutations(nodes))
    below = {n["node_id"]: int(n["layer"]) if n["feature_type"] == FEATURE else -1 for n in nodes if n["layer"] != "4"}
    below |= {n["node_id"]: int(n["layer"]) for n in nodes if n["feature_type"] == FEATURE}
    above = {n["node_id"]: int(n["layer"]) for n in nodes if n["feature_type"] in (FEATURE, "logit")}
    pairs = [(s, t) for s in below for t in above if below[s] < above[t]]
    links = [
        {"source": s, "target": t, "weight": draw(st.floats(-1e6, 1e6, width=32))}
        for s, t in (draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else [])
    ]
    ids = st.sampled_from([n["node_id"] for n in nodes])
    return {
        "metadata": {
            "slug": draw(texts),
            "scan": "m",
            "transcoder_list": draw(st.lists(texts, max_size=2)),
            "prompt_tokens": [draw(texts) for _ in range(3)],
            "prompt": draw(texts),
            "node_threshold": draw(numbers),
        },
        "qParams": {
            "pinnedIds": draw(st.lists(ids, unique=True)),
            "supernodes": [
                [draw(texts), *members] for members in draw(st.lists(st.lists(ids, unique=True), max_size=3))
            ],
            "linkType": "both",
            "clickedId": draw(ids),
            "sg_pos": "",
        },
        "nodes": nodes,
        "links": links,
    }


@settings(max_examples=60, deadline=None)
@given(files())
def test_any_file_that_is_read_is_written_so_that_it_is_read_the_same(file: dict[str, Any]) -> None:
    graph = from_schema1(file)
    exported = through_json(to_schema1(graph))
    jsonschema.Draft202012Validator(SCHEMA).validate(exported)

    back = from_schema1(exported)

    pd.testing.assert_frame_equal(back.nodes, graph.nodes, check_categorical=False)
    assert torch.equal(back.weights, graph.weights)
    assert back.token_ids == graph.token_ids
    assert back.info["q_params"] == graph.info["q_params"]
    assert through_json(to_schema1(back)) == exported


# --- files that cannot be used ----------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g.pop("links"), "has no list 'links'"),
        (lambda g: g.update(nodes={}), "has no list 'nodes'"),
        (lambda g: g["metadata"].update(schema_version=2), "is of schema version 2: only version 1"),
        (lambda g: g["metadata"].update(prompt_tokens=[1]), "prompt_tokens is no list of texts"),
        (lambda g: g["metadata"].pop("prompt_tokens"), "prompt_tokens is no list of texts"),
        (lambda g: g["nodes"][1].pop("layer"), r"nodes\[1\] has no field 'layer'"),
        (lambda g: g["nodes"].insert(0, "x"), r"nodes\[0\] is 'x', no object"),
        (lambda g: g["nodes"][1].update(node_id=3), r"nodes\[1\].node_id is 3, no text"),
        (lambda g: g["nodes"][1].update(layer=float("nan")), r"nodes\[1\] \('0_2_2'\) has the layer nan"),
        (lambda g: g["nodes"][1].update(layer="L0"), r"has the layer 'L0', no whole number from 0 on"),
        (lambda g: g["nodes"][1].update(layer="1"), "does not tell which feature it is"),
        (lambda g: g["nodes"][1].update(feature_type="lorsa"), "has the feature_type 'lorsa': only cross layer"),
        (lambda g: g["nodes"][1].update(ctx_idx=3), "has the ctx_idx 3, but the prompt has 3 tokens"),
        (lambda g: g["nodes"][1].update(ctx_idx=True), "has the ctx_idx True"),
        (lambda g: g["nodes"][1].update(activation=float("inf")), r"nodes\[1\].activation is inf, no finite number"),
        (lambda g: g["nodes"][6].update(token_prob="most"), r"nodes\[6\].token_prob is 'most', no finite number"),
        (lambda g: g["nodes"][6].update(layer="0"), "is a logit in layer 0"),
        (lambda g: g["nodes"].append(g["nodes"][0]), r"nodes\[8\]: the feature '1_57794_1' stands in the graph twice"),
        (
            lambda g: g["nodes"][7].update(node_id="E_2_0"),
            r"nodes\[7\]: the logit 'E_2_0' has the id of a node of kind",
        ),
        (lambda g: [g["nodes"].pop() for _ in range(2)], "has no logit node"),
        (lambda g: g["links"][2].pop("weight"), r"links\[2\] lacks a source, a target or a weight"),
        (lambda g: g["links"].append(5), r"links\[6\] lacks a source"),
        (lambda g: g["links"][2].update(weight="3"), r"links\[2\].weight is '3': it must be a number"),
        (lambda g: g["links"][2].update(weight=True), r"links\[2\].weight is True: it must be a number"),
        (lambda g: g["links"][2].update(source=4), r"links\[2\].source is 4: it must be a text"),
        (lambda g: g["links"][2].update(weight=float("nan")), r"links\[2\].weight is nan, no finite number"),
        (lambda g: g["links"][2].update(weight=1e300), r"links\[2\].weight is 1e\+300, no finite number in float32"),
        (lambda g: g["links"][2].update(source="5_5_5"), r"links\[2\].source is '5_5_5', no node of the graph"),
        (lambda g: g["links"][2].update(target="5_5_5"), r"links\[2\].target is '5_5_5', no node of the graph"),
        (
            lambda g: g["links"][2].update(target="E_2_0"),
            r"links\[2\].target is 'E_2_0', a node of kind 'token', which cannot",
        ),
        (lambda g: g["links"][2].update(target="0_1_1"), r"links\[2\].target is '0_1_1', a node of kind 'error'"),
        (lambda g: g["links"][2].update(source="4_7_2"), r"links\[2\].source is '4_7_2', a node of kind 'logit'"),
        (lambda g: g["links"].append(dict(g["links"][0])), "link from 'E_651_1' to '0_2_2' stands in the graph twice"),
        (
            lambda g: g["links"][0].update(source="1_57794_1"),
            r"links\[0\] goes from '1_57794_1' to '0_2_2', which lies no higher",
        ),
    ],
)
def test_an_unusable_graph_is_an_error_that_says_where(foreign: dict[str, Any], change: Change, message: str) -> None:
    change(foreign)

    with pytest.raises(FormatError, match=message):
        from_schema1(foreign)


def test_a_not_a_number_in_the_file_is_an_error(foreign: dict[str, Any], tmp_path: Path) -> None:
    foreign["links"][2]["weight"] = float("nan")
    (tmp_path / "graph.json").write_text(json.dumps(foreign), encoding="utf-8")

    with pytest.raises(FormatError, match=r"graph.json cannot be read: links\[2\].weight is nan"):
        from_schema1(tmp_path / "graph.json")


def test_too_little_memory_is_said_before_the_matrix_is_made(
    foreign: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 90)
    with pytest.raises(ResourceError, match=r"A graph of 4 targets × 6 sources needs .* GB of memory"):
        from_schema1(foreign)
    (tmp_path / "graph.json").write_text(json.dumps(foreign), encoding="utf-8")
    with pytest.raises(ResourceError, match=r"Reading .*graph.json needs"):
        from_schema1(tmp_path / "graph.json")


# --- outputs that are no tokens ---------------------------------------------------------------------------------------


def test_outputs_that_are_no_tokens_come_back_too() -> None:
    model = tiny_model("llama", dtype=torch.float32)
    targets = [
        "w7",
        DifferenceTarget("w3", ["w4", "w5"]),
        DirectionTarget(torch.ones(16), name="probe", layer=1),
        FeatureTarget(1, 3, 2),
    ]
    graph = attribute(model, tiny_clt(model), tiny_prompt(length=6), targets=targets, progress=False)
    exported = through_json(to_schema1(graph))
    jsonschema.Draft202012Validator(SCHEMA).validate(exported)

    back = from_schema1(exported)

    columns = ["node_id", "layer", "position", "token", "label", "probability"]
    logits = graph.nodes.loc[graph.nodes["kind"] == "logit", columns].reset_index(drop=True)
    found = back.nodes.loc[back.nodes["kind"] == "logit", columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, logits, check_categorical=False)
    assert logits["node_id"].str[0].tolist() == ["l", "d", "r", "p"]
    assert through_json(to_schema1(back)) == exported
    # A viewer that knows tokens alone shows their texts.
    assert [node["clerp"] for node in exported["nodes"] if node["feature_type"] == "logit"][1:] == list(
        logits["token"][1:]
    )
