"""Explorers that highlight each other's selection."""

from __future__ import annotations

import pytest
from helpers import tiny_clt, tiny_model, tiny_prompt

from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError
from workbench.widgets.graph_explorer import GraphExplorer


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model, n_features=16), tiny_prompt(length=8), progress=False)


def feature_ids(graph: Graph, count: int) -> list[str]:
    return graph.nodes[graph.nodes["kind"] == "feature"].nlargest(count, "influence")["node_id"].tolist()


def test_what_is_selected_or_pointed_at_in_one_is_highlighted_in_the_other(graph: Graph) -> None:
    one, other = GraphExplorer(graph, selected="t/1"), GraphExplorer(graph.prune(0.5, 0.9))
    one.link(other)
    assert one.linked == (other,)
    assert other.linked == (one,)
    assert other.highlighted_ids == ["t/1"]
    one.set_state({"hovered_id": "t/2"})
    assert other.highlighted_ids == ["t/1", "t/2"]
    assert one.highlighted_ids == []
    other.selected = "t/3"
    assert one.highlighted_ids == ["t/3"]
    assert one.selected_ids == ["t/1"]
    one.set_state({"selected_ids": [], "hovered_id": None})
    assert other.highlighted_ids == []


def test_a_node_that_the_other_graph_lacks_is_left_out(graph: Graph) -> None:
    small = graph.prune(0.3, 0.9)
    (gone,) = [node for node in feature_ids(graph, 40) if node not in small.row_of_node][:1]
    one, other = GraphExplorer(graph), GraphExplorer(small)
    one.link(other)
    one.selected = [gone, "t/1"]
    assert other.highlighted_ids == ["t/1"]


def test_several_are_linked_and_each_link_can_be_ended(graph: Graph) -> None:
    first, second, third = (GraphExplorer(graph) for _ in range(3))
    first.link(second)
    first.link(third)
    first.link(third)
    second.selected, third.selected = "t/1", "t/2"
    assert first.highlighted_ids == ["t/1", "t/2"]
    assert third.highlighted_ids == []
    third.unlink(first)
    assert first.linked == (second,)
    assert first.highlighted_ids == ["t/1"]
    second.close()
    assert not first.linked
    assert first.highlighted_ids == []
    first.unlink()


def test_only_another_explorer_can_be_linked(graph: Graph) -> None:
    explorer = GraphExplorer(graph)
    with pytest.raises(ConfigError, match="linked with itself: give another one"):
        explorer.link(explorer)
    with pytest.raises(ConfigError, match="linked with a Graph:"):
        explorer.link(graph)  # type: ignore[arg-type]
