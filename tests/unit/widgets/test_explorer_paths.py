"""What the explorer's pane of paths is told."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from handmade_graphs import graph_of
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError
from workbench.widgets.explorer_paths import best_paths


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False).prune()


@pytest.fixture(scope="module")
def small() -> Graph:
    """A token that reaches an output through one of two features; the one holds it back."""
    edges = {
        ("t/1", "f/0/1/1"): 3.0,
        ("t/0", "f/0/1/1"): 1.0,
        ("t/1", "f/0/2/1"): -2.0,
        ("f/0/1/1", "l/5/1"): 1.0,
        ("f/0/2/1", "l/5/1"): 1.0,
    }
    return graph_of(edges, probability={"l/5/1": 0.8})


def test_each_path_has_its_nodes_and_the_share_of_each_edge(small: Graph) -> None:
    answer = best_paths(small, {"source": ["t/1"], "target": ["l/5/1"], "k": 5})
    assert answer["paths"] == [
        {"ids": ["t/1", "f/0/2/1", "l/5/1"], "share": pytest.approx(-0.5), "edges": pytest.approx([-1.0, 0.5])},
        {"ids": ["t/1", "f/0/1/1", "l/5/1"], "share": pytest.approx(0.375), "edges": pytest.approx([0.75, 0.5])},
    ]
    assert {facts["id"] for facts in answer["nodes"]} == {"t/1", "f/0/1/1", "f/0/2/1", "l/5/1"}


@pytest.mark.parametrize(("sign", "through"), [("+", "f/0/1/1"), ("-", "f/0/2/1")])
def test_paths_of_one_sign_can_be_asked_for(small: Graph, sign: str, through: str) -> None:
    answer = best_paths(small, {"source": ["t/1"], "target": ["l/5/1"], "sign": sign})
    assert [path["ids"][1] for path in answer["paths"]] == [through]


def test_the_shares_along_a_path_are_those_of_the_graphs_edges_and_multiply_to_its_own(graph: Graph) -> None:
    shares = {(row.source, row.target): row.share for row in graph.edges.itertuples()}
    answer = best_paths(graph, {"k": 20})
    assert len(answer["paths"]) == 20
    for path in answer["paths"]:
        on_edges = [shares[edge] for edge in zip(path["ids"][:-1], path["ids"][1:], strict=True)]
        assert path["edges"] == pytest.approx(on_edges, rel=1e-5)
        assert path["share"] == pytest.approx(np.prod(on_edges), rel=1e-5)


def test_without_ends_the_paths_go_from_tokens_to_the_most_probable_output(graph: Graph) -> None:
    answer = best_paths(graph, {"source": [], "target": [], "k": 10})
    likeliest = graph.nodes["node_id"].iloc[graph.nodes["probability"].argmax()]
    assert {path["ids"][0].split("/")[0] for path in answer["paths"]} == {"t"}
    assert {path["ids"][-1] for path in answer["paths"]} == {likeliest}
    json.dumps(answer, allow_nan=False)


def test_where_no_path_leads_there_is_none(small: Graph) -> None:
    assert best_paths(small, {"source": ["f/0/2/1"], "target": ["f/0/1/1"]}) == {"paths": [], "nodes": []}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"source": ["t/9"]}, "no node 't/9'"),
        ({"target": ["t/1"]}, "'t/1' is no feature or logit"),
        ({"k": 0}, "0 paths were asked for: ask for 1 to 50"),
        ({"k": 1000}, "ask for 1 to 50"),
        ({"kk": 3}, "Paths have no 'kk'"),
        ({"sign": "x"}, "sign 'x' is unknown"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(small: Graph, params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        best_paths(small, params)
