"""The graph in a cell, seen from Python."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from helpers import tiny_clt, tiny_model, tiny_prompt
from ipywidgets.embed import dependency_state

from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError
from workbench.widgets.graph_explorer import GraphExplorer
from workbench.widgets.page import page


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False)


@pytest.fixture
def explorer(graph: Graph) -> GraphExplorer:
    return GraphExplorer(graph)


def feature_ids(graph: Graph, count: int) -> list[str]:
    return graph.nodes.loc[graph.nodes["kind"] == "feature", "node_id"].iloc[-count:][::-1].tolist()


def ask(explorer: GraphExplorer, params: dict[str, Any], *, method: str = "connections") -> dict[str, Any]:
    """Return the reply to a request, as JavaScript gets it."""
    sent: list[dict[str, Any]] = []
    explorer.send = lambda content, buffers=None: sent.append(content)  # type: ignore[method-assign]
    message = {"kind": "request", "id": "view-1", "method": method, "params": params}
    explorer._handle_custom_msg(message, [])
    assert explorer._answers.wait(20)
    (reply,) = sent
    return reply


def test_the_selection_is_a_table_in_the_order_chosen(explorer: GraphExplorer, graph: Graph) -> None:
    chosen = feature_ids(graph, 3)
    explorer.selected_ids = chosen
    assert explorer.selected["node_id"].tolist() == chosen
    assert list(explorer.selected.columns) == list(graph.nodes.columns)
    assert GraphExplorer(graph).selected.empty


def test_what_was_pinned_in_the_file_is_pinned_at_first(graph: Graph) -> None:
    from workbench.attribution.schema1 import from_schema1, to_schema1

    chosen = feature_ids(graph, 2)
    imported = from_schema1(to_schema1(graph, pinned=chosen))
    assert GraphExplorer(imported).pinned_ids == chosen
    assert GraphExplorer(imported, pinned=()).pinned_ids == []
    without = imported.prune(0.0, 0.5)
    assert chosen[0] not in without.row_of_node
    assert GraphExplorer(without).pinned_ids == [node for node in chosen if node in without.row_of_node]


def test_nodes_are_chosen_by_table_list_or_id(graph: Graph) -> None:
    top = graph.nodes.nlargest(2, "influence")
    explorer = GraphExplorer(graph, selected=top, pinned="t/1")
    assert explorer.selected_ids == top["node_id"].tolist()
    assert explorer.pinned["token"].tolist() == [graph.tokens[1]]
    explorer.selected = ["t/2", "t/1", "t/2"]
    assert explorer.selected_ids == ["t/2", "t/1"]
    explorer.pinned = explorer.selected
    assert explorer.pinned_ids == ["t/2", "t/1"]
    explorer.selected = []
    assert explorer.selected.empty


def test_supernodes_go_both_ways_and_are_tables(explorer: GraphExplorer, graph: Graph) -> None:
    one, two, three = feature_ids(graph, 3)
    explorer.supernodes = {"first": [one, two], "second": (three,)}
    assert explorer.supernodes == [{"name": "first", "ids": [one, two]}, {"name": "second", "ids": [three]}]
    assert explorer.supernode_table[["node_id", "supernode"]].to_numpy().tolist() == [
        [one, "first"],
        [two, "first"],
        [three, "second"],
    ]
    explorer.set_state({"supernodes": [{"name": "third", "ids": [three, one]}]})
    assert explorer.graph.nodes.set_index("node_id")["supernode"].loc[[one, two, three]].tolist() == [
        "third",
        "",
        "third",
    ]
    # An explorer of that graph begins with them.
    assert GraphExplorer(explorer.graph).supernode_table["supernode"].unique().tolist() == ["third"]
    assert GraphExplorer(explorer.graph, supernodes={}).supernodes == []
    with pytest.raises(ConfigError, match="Two supernodes are called 'x'"):
        explorer.supernodes = [{"name": "x", "ids": ["t/1"]}, {"name": "x", "ids": ["t/2"]}]


def test_thresholds_and_the_hovered_node_are_read_and_set(explorer: GraphExplorer) -> None:
    assert explorer.thresholds == {"node": 0.8, "density": 1.0}
    explorer.thresholds = {"density": 0.1}
    assert explorer.density_threshold == 0.1
    assert explorer.node_threshold == 0.8
    with pytest.raises(ConfigError, match="no threshold 'edge'"):
        explorer.thresholds = {"edge": 0.5}
    assert explorer.hovered.empty
    explorer.hovered = "t/2"
    assert explorer.hovered["node_id"].tolist() == ["t/2"]
    with pytest.raises(ConfigError, match="no node 't/99'"):
        explorer.hovered = "t/99"
    explorer.hovered = None
    assert explorer.hovered_id is None


def test_densities_travel_with_the_features_that_have_one(graph: Graph) -> None:
    node_id = feature_ids(graph, 1)[0]
    _, layer, feature, _ = node_id.split("/")
    density = {(int(layer), int(feature)): 0.25}
    columns = GraphExplorer(graph, density=density)._nodes
    shown = pd.Series(columns["density"], index=columns["node_id"])
    assert shown[node_id] == 0.25
    assert shown.loc[["t/1", graph.nodes["node_id"].iloc[-1]]].isna().all()


def test_a_click_can_be_observed(explorer: GraphExplorer) -> None:
    heard: list[list[str]] = []
    explorer.observe(lambda change: heard.append(change["new"]), "selected_ids")
    explorer.set_state({"selected_ids": ["t/1"]})
    assert heard == [["t/1"]]


def test_names_given_in_the_widget_are_in_the_tables(explorer: GraphExplorer, graph: Graph) -> None:
    (node_id,) = feature_ids(graph, 1)
    explorer.set_state({"labels": {node_id: "a name"}, "selected_ids": [node_id]})
    assert explorer.selected["label"].tolist() == ["a name"]
    assert explorer.graph.nodes.set_index("node_id").loc[node_id, "label"] == "a name"
    assert graph.nodes.set_index("node_id").loc[node_id, "label"] == ""


def test_the_edges_of_the_selection_are_rows_of_the_graphs_edges(explorer: GraphExplorer, graph: Graph) -> None:
    chosen = ["t/2", *feature_ids(graph, 2)]
    explorer.selected = chosen
    expected = graph.edges[graph.edges["source"].isin(chosen) | graph.edges["target"].isin(chosen)]
    pd.testing.assert_frame_equal(
        explorer.selected_edges.sort_values(["source", "target"], ignore_index=True),
        expected.sort_values(["source", "target"], ignore_index=True),
        rtol=1e-5,
    )
    assert explorer.selected_edges["influence"].is_monotonic_decreasing
    explorer.selected = ()
    assert explorer.selected_edges.empty


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selected": ["t/1", "t/99"]}, r"no node 't/99': take an id from graph\.nodes.* f/layer/feature/position"),
        ({"pinned": "0_1_2"}, "no node '0_1_2'"),
        ({"labels": {"nobody": "x"}}, "no node 'nobody'"),
        ({"selected": pd.DataFrame({"id": ["t/1"]})}, "no column node_id"),
        ({"node_threshold": 80}, "node_threshold is 80.0, .* from 0 to 1"),
        ({"node_threshold": float("nan")}, "node_threshold is nan"),
        ({"max_nodes": 0}, "max_nodes is 0"),
        ({"max_edges": -1}, "max_edges is -1"),
        ({"height": 20}, "height is 20 pixels"),
        ({"view": "list"}, "no view 'list': give one of graph, subgraph, card, table, paths, diff"),
        ({"link_mode": "to"}, "no link_mode 'to': give one of either, in, out, both"),
        ({"colour_by": "layer"}, "no colour_by 'layer': give one of sign, share"),
        ({"density_threshold": 2}, "density_threshold is 2.0, .* tokens at which a feature fires"),
        ({"supernodes": {"a": ["t/1"], "b": ["t/1"]}}, "'t/1' is in the supernodes 'a' and 'b'"),
        ({"supernodes": {"": ["t/1"]}}, "empty name"),
        ({"supernodes": {"a": ["t/99"]}}, "no node 't/99'"),
    ],
)
def test_unusable_arguments_are_refused_in_words(graph: Graph, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GraphExplorer(graph, **options)


def test_a_misspelt_argument_is_refused(graph: Graph) -> None:
    with pytest.raises(TypeError, match="selectd"):
        GraphExplorer(graph, selectd=[])  # type: ignore[call-arg]


def test_an_unknown_node_is_refused_later_too(explorer: GraphExplorer) -> None:
    with pytest.raises(ConfigError, match="no node 't/99'"):
        explorer.selected_ids = ["t/99"]
    assert explorer.selected_ids == []


def test_a_request_is_answered_with_all_edges_of_the_node(graph: Graph) -> None:
    explorer = GraphExplorer(graph, max_edges=1)
    logit = graph.nodes["node_id"].iloc[-1]
    reply = ask(explorer, {"node_id": logit})
    assert reply["result"]["incoming"]["total"] == int((graph.edges["target"] == logit).sum()) > 1
    assert reply["result"]["node"]["id"] == logit
    json.dumps(reply, allow_nan=False)


def test_a_request_for_an_unknown_node_is_answered_in_words(explorer: GraphExplorer) -> None:
    assert "no node 'f/9/9/9'" in ask(explorer, {"node_id": "f/9/9/9"})["error"]


def test_the_best_paths_can_be_asked_for(explorer: GraphExplorer, graph: Graph) -> None:
    best = graph.paths(k=1).iloc[0]
    (found,) = ask(explorer, {"k": 1}, method="paths")["result"]["paths"]
    assert found["ids"] == best["path"]
    assert found["share"] == pytest.approx(best["share"])


def test_which_paths_are_shown_is_state_and_the_paths_are_a_table(explorer: GraphExplorer, graph: Graph) -> None:
    pd.testing.assert_frame_equal(explorer.paths, graph.paths())
    explorer.path_query = {"source": ["t/1"], "k": 3}
    assert explorer.path_query == {"source": ["t/1"], "target": [], "k": 3, "sign": None}
    pd.testing.assert_frame_equal(explorer.paths, graph.paths(source="t/1", k=3))
    with pytest.raises(ConfigError, match="no node 't/99'"):
        explorer.path_query = {"source": ["t/99"]}
    assert explorer.path_query["source"] == ["t/1"]


def test_another_graph_is_compared_and_its_difference_is_a_table(graph: Graph) -> None:
    model = tiny_model("llama")
    other = attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8, seed=1), progress=False)
    explorer = GraphExplorer(graph, other=other, view="diff")
    assert explorer.difference is not None
    assert set(explorer._difference["node_id"]) <= set(explorer.difference.nodes["node"])
    assert explorer._info["other"]["prompt"] == other.prompt
    pd.testing.assert_frame_equal(
        GraphExplorer(graph.prune(), other=graph.difference(other)).difference.nodes,  # type: ignore[union-attr]
        explorer.difference.nodes,
    )
    assert GraphExplorer(graph).difference is None
    with pytest.raises(ConfigError, match=r"not at that of .*: give graph\.difference\(other\)"):
        GraphExplorer(other, other=graph.difference(other))


def test_without_a_widget_the_graph_is_named_in_one_line(explorer: GraphExplorer, graph: Graph) -> None:
    data, _ = explorer._repr_mimebundle_()
    assert data["text/plain"] == (
        f"GraphExplorer(graph of {graph.prompt!r}: {len(graph.nodes):,} nodes, {graph.n_edges:,} edges)"
    )
    long = GraphExplorer(replace(graph, prompt="word " * 50))
    assert len(repr(long)) < 110


def test_what_the_user_did_is_in_the_saved_state(explorer: GraphExplorer) -> None:
    explorer.selected_ids, explorer.pinned_ids, explorer.node_threshold = ["t/1"], ["t/2"], 0.5
    explorer.labels = {"t/1": "a name"}
    state = dependency_state([explorer])[explorer.model_id]["state"]
    assert state["selected_ids"] == ["t/1"]
    assert state["pinned_ids"] == ["t/2"]
    assert state["labels"] == {"t/1": "a name"}
    assert state["node_threshold"] == 0.5


def test_the_largest_graph_costs_less_than_a_megabyte() -> None:
    model = tiny_model("llama")
    clt = tiny_clt(model, n_features=96, active=0.7)
    explorer = GraphExplorer(attribute(model, clt, tiny_prompt(length=24), progress=False))
    nodes, edges = explorer._nodes, explorer._edges
    assert len(nodes["node_id"]) == 2000
    assert len(edges["source"]) == 20_000
    state = dependency_state([explorer])[explorer.model_id]
    assert len(json.dumps(state)) < 1_000_000


def test_a_graph_without_features_can_be_explored(graph: Graph) -> None:
    keep = (graph.nodes["kind"] != "feature").to_numpy()
    bare = replace(
        graph,
        nodes=graph.nodes[keep].reset_index(drop=True),
        weights=graph.weights[graph.n_features :, graph.n_features :],
        incoming=graph.incoming[graph.n_features :],
    )
    explorer = GraphExplorer(bare, selected="t/1")
    assert set(explorer.selected_edges["source"].astype(str)) == {"t/1"}


def test_tokens_of_all_kinds_reach_the_page_as_text(graph: Graph) -> None:
    evil = "</script><script>alert(1)</script>"
    tokens = (evil, "\n", "😀", "שלום", "\ufffd", "\u202e", "", " ")
    shown = page(GraphExplorer(replace(graph, tokens=tokens, prompt=evil)), title=evil)
    assert evil not in shown
    assert shown.count("<script") == 2
