"""An edge splits into the attention heads that carry it, without remainder."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import DirectionTarget, FeatureTarget, Graph, LogitTarget, Target, attribute
from workbench.attribution.attention import FrozenAttention
from workbench.attribution.heads import Order, heads, split
from workbench.attribution.local_model import freeze
from workbench.attribution.schema1 import from_schema1, to_schema1
from workbench.attribution.targets import outputs_of
from workbench.clt import CLT
from workbench.errors import CLTError, ConfigError, ModelError, PromptError
from workbench.models import LoadedModel

TOKENS = tiny_tokens(length=7)
Case = tuple[LoadedModel, CLT, Graph]


@pytest.fixture(scope="module")
def case() -> Case:
    model = tiny_model("llama")
    clt = tiny_clt(model)
    return model, clt, attribute(model, clt, TOKENS, progress=False)


def weight_of(graph: Graph, source: str, target: str) -> float:
    ids = graph.nodes["node_id"].to_numpy()
    row, column = (ids[graph.target_index] == target).argmax(), (ids[graph.source_index] == source).argmax()
    return float(graph.weights[row, column])


def target_of(node_id: str) -> Target:
    kind, *parts = node_id.split("/")
    return LogitTarget(*map(int, parts)) if kind == "l" else FeatureTarget(*map(int, parts))


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_heads_of_every_edge_add_up_to_it(architecture: Architecture, skip: bool) -> None:
    """Features, errors, tokens and every kind of bias, with post-norms, parallel branches and a skip."""
    model = tiny_model(architecture)
    clt = tiny_clt(model, n_features=6, window=2, skip=skip)
    graph = attribute(model, clt, TOKENS[:4], progress=False)
    local = freeze(model, clt, TOKENS[:4])
    ids = graph.nodes["node_id"].astype(str).to_numpy()
    targets, sources = ids[graph.target_index], ids[graph.source_index]
    compared = 0
    for target in (targets[-1], targets[graph.n_features - 1]):
        (output,) = outputs_of(local, [target_of(target)]).nodes
        row = graph.weights[(targets == target).argmax()]
        for at in range(0, len(sources), 2):
            by: Order = "last" if at % 4 else "first"
            table = split(local, sources[at], output, by=by)
            assert table["weight"].sum() == pytest.approx(float(row[at]), rel=1e-6, abs=1e-9), (sources[at], target, by)
            compared += 1
    assert compared > 30


def test_only_an_edge_within_a_position_has_a_part_of_the_residual_stream(case: Case) -> None:
    model, clt, graph = case
    target = str(graph.nodes["node_id"].iloc[-1])
    within = heads(model, clt, graph, "t/6", target)
    between = heads(model, clt, graph, "t/3", target)
    assert (within["layer"] == -1).sum() == 1
    assert (between["layer"] >= 0).all()
    assert list(within.columns) == ["layer", "head", "weight", "through"]
    assert within["weight"].abs().is_monotonic_decreasing


def test_only_heads_between_source_and_target_carry_the_edge(case: Case) -> None:
    model, clt, graph = case
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    source = features[features["layer"] == 0].iloc[0]
    target = features[(features["layer"] == 2) & (features["position"] > source["position"])].iloc[-1]
    table = heads(model, clt, graph, source["node_id"], target["node_id"])
    assert set(table["layer"]) <= {1, 2}
    assert len(table) > 1


def frozen_weight_without(
    case: Case, source: str, target: str, cut: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> float:
    """Return an edge's weight when some heads, by layer, pass nothing on."""
    model, clt, _ = case
    whole = freeze(model, clt, TOKENS)

    def without(layer: int, attention: FrozenAttention) -> FrozenAttention:
        pattern = attention.pattern.clone()
        for at, head in cut:
            if at == layer:
                pattern[head] = 0
        return replace(attention, pattern=pattern)

    cut_model = replace(whole, attentions=tuple(without(*pair) for pair in enumerate(whole.attentions)))
    with monkeypatch.context() as patch:
        patch.setattr("workbench.attribution.engine.freeze", lambda *_: cut_model)
        # The sums do not come out any more: what the heads moved is missing.
        patch.setattr("workbench.attribution.engine._BROKEN", float("inf"))
        return weight_of(attribute(model, clt, TOKENS, progress=False), source, target)


def test_through_is_what_an_edge_loses_when_the_head_passes_nothing(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, clt, graph = case
    source, target = "t/4", str(graph.nodes["node_id"].iloc[-1])
    whole = weight_of(graph, source, target)
    table = heads(model, clt, graph, source, target).set_index(["layer", "head"])
    for cut in [(0, 1), (1, 3), (2, 0)]:
        rest = frozen_weight_without(case, source, target, [cut], monkeypatch)
        assert table.loc[cut, "through"] == pytest.approx(whole - rest, rel=1e-8)


@pytest.mark.parametrize("by", ["last", "first"])
def test_the_last_or_first_head_counts_the_paths_without_a_later_or_earlier_one(
    case: Case, by: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes through a head when the layers above (below) pass nothing is what it carries as the last (first)."""
    _, _, graph = case
    source, target = "t/4", str(graph.nodes["node_id"].iloc[-1])
    table = heads(case[0], case[1], graph, source, target, by=by).set_index(["layer", "head"])
    others = [(2, head) for head in range(4)] if by == "last" else [(0, head) for head in range(4)]
    with_head = frozen_weight_without(case, source, target, others, monkeypatch)
    without = frozen_weight_without(case, source, target, [*others, (1, 3)], monkeypatch)
    assert table.loc[(1, 3), "weight"] == pytest.approx(with_head - without, rel=1e-8)


def test_an_edge_to_a_direction_splits_when_the_target_is_given(case: Case) -> None:
    model, clt, _ = case
    target = DirectionTarget(torch.linspace(-1, 1, 16, dtype=torch.float64), "ramp", layer=1)
    graph = attribute(model, clt, TOKENS, targets=[target], progress=False)
    table = heads(model, clt, graph, "t/2", target)
    assert table["weight"].sum() == pytest.approx(weight_of(graph, "t/2", "r/ramp/1/6"), rel=1e-8)
    with pytest.raises(ConfigError, match="does not hold the vector of 'r/ramp/1/6'"):
        heads(model, clt, graph, "t/2", "r/ramp/1/6")


def test_error_nodes_of_a_capped_graph_split_too(case: Case) -> None:
    model, clt, _ = case
    graph = attribute(model, clt, TOKENS, cap=10, progress=False)
    target = str(graph.nodes["node_id"].iloc[-1])
    table = heads(model, clt, graph, "e/1/3", target)
    assert table["weight"].sum() == pytest.approx(weight_of(graph, "e/1/3", target), rel=1e-8)
    with pytest.raises(ConfigError, match="capped and then pruned"):
        heads(model, clt, graph.prune(), "e/1/3", target)


def test_edges_of_a_pruned_graph_split_too(case: Case) -> None:
    model, clt, graph = case
    edge = graph.prune(0.6, 0.9).edges.iloc[3]
    table = heads(model, clt, graph.prune(0.6, 0.9), str(edge["source"]), str(edge["target"]))
    assert table["weight"].sum() == pytest.approx(edge["weight"], rel=1e-5)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("t/99", "{logit}"), "no node 't/99'"),
        (("t/1", "l/99/6"), "no node 'l/99/6'"),
        (("{logit}", "{logit}"), "has no edges out of it"),
        (("t/1", "e/1/3"), "has no edges into it"),
    ],
)
def test_an_edge_that_cannot_be_is_refused(case: Case, pair: tuple[str, str], message: str) -> None:
    model, clt, graph = case
    logit = str(graph.nodes["node_id"].iloc[-1])
    with pytest.raises(ConfigError, match=message):
        heads(model, clt, graph, *(name.format(logit=logit) for name in pair))
    with pytest.raises(ConfigError, match="'last' or 'first'"):
        heads(model, clt, graph, "t/1", logit, by="middle")  # type: ignore[arg-type]


def test_another_model_or_another_clt_is_noticed(case: Case) -> None:
    model, clt, graph = case
    logit = str(graph.nodes["node_id"].iloc[-1])
    other = tiny_model("llama", seed=1)
    with pytest.raises(ModelError, match="of the model 'tiny-llama', which is not"):
        heads(other, clt, graph, "t/1", logit)
    feature = str(graph.nodes["node_id"].iloc[0])
    with pytest.raises(CLTError, match="use the CLT that the graph was made with"):
        heads(model, replace(clt, W_dec=tuple(2 * decoder for decoder in clt.W_dec)), graph, feature, logit)


def test_a_graph_from_a_file_that_does_not_tell_its_tokens_cannot_be_run_again(case: Case) -> None:
    model, clt, graph = case
    document = to_schema1(graph.prune())
    del document["metadata"]["workbench"]
    tokens = {node["ctx_idx"]: node["node_id"] for node in document["nodes"] if node["feature_type"] == "embedding"}
    lost = tokens[2]
    document["nodes"] = [node for node in document["nodes"] if node["node_id"] != lost]
    document["links"] = [link for link in document["links"] if link["source"] != lost]
    imported = from_schema1(document)
    assert imported.token_ids == (*graph.token_ids[:2], -1, *graph.token_ids[3:])

    logit = str(imported.nodes["node_id"].iloc[-1])
    with pytest.raises(PromptError, match="id at position 2 is -1, as in a graph imported"):
        heads(model, clt, imported, "t/1", logit)
    with pytest.raises(PromptError, match="id at position 2 is -1, as in a graph imported"):
        attribute(model, clt, torch.tensor(imported.token_ids), progress=False)
