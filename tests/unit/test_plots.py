"""The figures, as the data that plotly is given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens

from workbench import plots
from workbench.attribution import DifferenceTarget, Graph, attribute
from workbench.interventions import Edit, intervene
from workbench.plots.style import labels_of


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model), tiny_tokens(), progress=False)


def with_tokens(graph: Graph, *tokens: str) -> Graph:
    """Return the graph with other texts for its first positions."""
    return dataclasses.replace(graph, tokens=(*tokens, *graph.tokens[len(tokens) :]))


def test_the_bars_are_the_probabilities_of_the_targets(graph: Graph) -> None:
    (bars,) = plots.token_probabilities(graph).data
    logits = graph.nodes[graph.nodes["kind"] == "logit"]
    assert list(bars.x) == sorted(logits["probability"], reverse=True)
    assert len(set(bars.y)) == len(logits)


def test_an_output_that_is_no_token_has_no_bar() -> None:
    model = tiny_model("llama")
    targets = ["w5", DifferenceTarget("w5", "w6")]
    both = attribute(model, tiny_clt(model), tiny_tokens(), targets=targets, progress=False)
    (bars,) = plots.token_probabilities(both).data
    assert list(bars.y) == ["w5"]


def test_the_map_adds_up_to_the_influence_of_all_features(graph: Graph) -> None:
    (heat,) = plots.influence_map(graph).data
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    assert heat.z.sum() == pytest.approx(features["influence"].sum(), rel=1e-6)
    assert heat.customdata.sum() == len(features)
    row = features.iloc[0]
    same = features[(features["layer"] == row["layer"]) & (features["position"] == row["position"])]
    assert heat.z[row["layer"], row["position"]] == pytest.approx(same["influence"].sum(), rel=1e-6)


def test_a_map_without_features_is_empty(graph: Graph) -> None:
    bare = dataclasses.replace(graph, nodes=graph.nodes[graph.nodes["kind"] != "feature"])
    (heat,) = plots.influence_map(bare).data
    assert np.all(heat.z == 0)


def test_an_intervention_is_drawn_before_and_after(graph: Graph) -> None:
    model = tiny_model("llama")
    row = graph.nodes[graph.nodes["kind"] == "feature"].iloc[0]
    result = intervene(
        model, tiny_clt(model), torch.tensor(graph.token_ids), [Edit.node(row["node_id"], factor=0)], k=5
    )
    before, after = plots.intervention(result, k=3).data
    assert (before.name, after.name) == ("before", "after")
    assert list(before.x) == list(result.tokens["before"][:3])
    assert list(after.x) == list(result.tokens["after"][:3])


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\n", "↵"),
        (" the", "·the"),
        ("  ", "··"),
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("\u202e", "[U+202E]"),
        ("🙂", "🙂"),
    ],
)
def test_tokens_are_shown_as_text_and_never_as_markup(graph: Graph, token: str, shown: str) -> None:
    figure = plots.influence_map(with_tokens(graph, token))
    assert figure.layout.xaxis.ticktext[0] == shown


def test_equal_labels_stay_two_bars() -> None:
    assert labels_of(["a", "a", "b"]) == ["a", "a (2)", "b"]
