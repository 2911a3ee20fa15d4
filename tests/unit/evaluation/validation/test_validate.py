from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model, tiny_tokens
from scipy import stats

from workbench.attribution import DifferenceTarget, Graph, attribute
from workbench.errors import ConfigError
from workbench.evaluation.validation import Validation, validate
from workbench.evaluation.validation.predict import influence_between, predicted_changes
from workbench.evaluation.validation.statistics import sign_agreement, spearman, with_interval
from workbench.interventions import CleanRun, Edit, SupernodeEdit


@cache
def case() -> tuple[CleanRun, Graph]:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, window=2, n_features=20)
    return CleanRun.of(model, clt, tiny_tokens()), attribute(model, clt, tiny_tokens(), progress=False)


def groups() -> dict[str, list[str]]:
    _, graph = case()
    return {"first": list(graph.nodes["node_id"][:3]), "second": list(graph.nodes["node_id"][3:5])}


@cache
def result() -> Validation:
    clean, graph = case()
    return validate(clean, graph.with_supernodes(groups()), k=12, n_controls=5, progress=False)


def test_the_most_influential_features_are_ablated_and_so_are_their_controls() -> None:
    clean, graph = case()
    nodes = result().nodes
    features = graph.nodes.iloc[: graph.n_features]
    assert set(nodes["node_id"]) == set(features.nlargest(12, "influence")["node_id"])
    token = int(graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"].iloc[0].split("/")[1])
    row = nodes.iloc[3]
    for feature, logit, kl in (
        (row["feature"], row["logit"], row["kl"]),
        (row["control_feature"], row["control_logit"], row["control_kl"]),
    ):
        ablated = clean.intervene([Edit(row["layer"], feature, row["position"], factor=0)])
        change = ablated.logits.after - ablated.logits.before
        assert logit == pytest.approx(float(change[token] - change.mean()))
        assert kl == pytest.approx(ablated.kl)


def test_the_pairs_are_those_that_the_graph_connects_with_what_was_measured() -> None:
    clean, graph = case()
    pairs, nodes = result().pairs, result().nodes.set_index("node_id")
    assert len(pairs) > 20
    for source, own in list(pairs.groupby("source"))[:4]:
        effects = clean.intervene([Edit.node(source, factor=0)]).features.set_index("node_id")["change"]
        expected = [float(effects.get(node, 0.0)) / nodes["activation"][node] for node in own["target"]]
        assert own["measured"].to_numpy() == pytest.approx(np.array(expected), abs=1e-6)
        at = int(graph.row_of_node[source])
        reached = influence_between(graph, [at])[:, 0]
        assert own["influence"].to_numpy() == pytest.approx(reached[graph.row_of_node[own["target"]].tolist()].numpy())
        assert (nodes["layer"][own["target"]] > nodes["layer"][source]).all()


def test_predictions_are_those_over_all_paths_of_the_graph() -> None:
    _, graph = case()
    n = graph.n_features
    weights = graph.weights[:n, :n].double()
    activation = torch.from_numpy(graph.nodes["activation"].to_numpy(np.float64)[:n].copy())
    relative, logits = predicted_changes(graph, [[0], [2]], 0.0)
    whole = torch.linalg.inv(torch.eye(n).double() - weights / activation[:, None])
    torch.testing.assert_close(relative, -whole[:, [0, 2]], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(logits, graph.weights[n:, :n].double() @ relative)
    shares = weights.abs() / graph.incoming[:n, None]
    expected = torch.linalg.inv(torch.eye(n).double() - shares)[:, [1]]
    torch.testing.assert_close(influence_between(graph, [1]), expected, atol=1e-10, rtol=1e-10)


def test_the_cosine_is_one_where_nothing_can_differ_and_falls_with_the_distance() -> None:
    table = result().cosines
    assert (table["distance"] >= 1).all()
    assert (table["cosine"].abs() <= 1 + 1e-9).all()
    by_node = result().nodes.set_index("node_id")["cosine"]
    one_on = table[table["distance"] == 1].set_index("node_id")["cosine"]
    assert by_node[one_on.index].to_dict() == pytest.approx(one_on.to_dict())
    # The prediction is about this feature: for its control it is worse.
    figures = result().figures.set_index("figure")
    assert figures["value"]["cosine"] > figures["control"]["cosine"]


def test_supernodes_are_replaced_by_their_opposites_beside_matched_controls() -> None:
    clean, graph = case()
    table = result().supernodes.set_index("supernode")
    assert set(table.index) == {"first", "second"}
    ids = groups()["first"]
    opposite = clean.intervene([SupernodeEdit.nodes(ids, factor=-1)])
    assert table["kl"]["first"] == pytest.approx(opposite.kl)
    assert table["members"]["first"] == 3
    assert (table["n_controls"] <= 5).all()
    assert ((table["p"] >= 1 / (table["n_controls"] + 1)) & (table["p"] <= 1)).all()
    members = graph.row_of_node[ids].tolist()
    _, logits = predicted_changes(graph, [members], -1.0)
    assert table["predicted"]["first"] == pytest.approx(float(logits[0, 0]))


def test_the_figures_come_from_the_tables_with_their_intervals() -> None:
    pairs = result().pairs
    figures = result().figures.set_index("figure")
    expected = stats.spearmanr(pairs["predicted"], pairs["measured"]).statistic
    assert figures["value"]["spearman"] == pytest.approx(expected)
    expected = stats.spearmanr(pairs["influence"], pairs["measured"].abs()).statistic
    assert figures["value"]["influence_spearman"] == pytest.approx(expected)
    assert figures["paper"]["influence_spearman"] == 0.72
    assert figures["n"]["spearman"] == len(pairs)
    assert ((figures["low"] <= figures["value"]) & (figures["value"] <= figures["high"])).all()
    assert "Validation(" in repr(result())


def test_several_prompts_are_pooled_into_means() -> None:
    one = result()
    other = dataclasses.replace(one, prompt="another", figures=one.figures.assign(value=one.figures["value"] - 0.2))
    table = Validation.pooled([one, other]).set_index("figure")
    single = one.figures.set_index("figure")
    assert (table["value"] - single["value"]).to_numpy() == pytest.approx(-0.1)
    assert table["low"]["cosine"] == pytest.approx(single["value"]["cosine"] - 0.2)
    assert table["high"]["cosine"] == pytest.approx(single["value"]["cosine"])
    assert (table["n"] == 2).all()
    assert Validation.pooled([one])["low"].isna().all()
    for wrong in ([], [one, one]):
        with pytest.raises(ConfigError, match="give at least one, and each prompt once"):
            Validation.pooled(wrong)


def test_it_is_one_picture() -> None:
    figure = result().plot()
    assert len(figure.layout.annotations) == 4
    measured = [trace for trace in figure.data if trace.name == "own"]
    assert list(measured[0].y) == list(result().pairs["measured"])


def test_supernodes_are_suggested_where_there_are_none() -> None:
    clean, graph = case()
    table = validate(clean, graph.prune(), k=3, n_supernodes=2, n_controls=2, progress=False).supernodes
    assert len(table) <= 2
    assert validate(clean, graph, k=2, n_supernodes=0, progress=False).supernodes.empty


def test_what_cannot_be_validated_is_refused() -> None:
    clean, graph = case()
    with pytest.raises(ConfigError, match="k is 1, n_controls 20 and n_supernodes 6: give at least 2 nodes"):
        validate(clean, graph, k=1)
    difference = attribute(
        clean.model, clean.clt, tiny_tokens(), targets=[DifferenceTarget("w5", "w6")], progress=False
    )
    with pytest.raises(ConfigError, match="explains no token at the last position"):
        validate(clean, difference)


def test_rank_correlation_and_signs_are_what_scipy_and_counting_say() -> None:
    random = np.random.default_rng(0)
    one, other = random.normal(size=(2, 50))
    other[:10] = one[:10]
    assert spearman(one, other) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert np.isnan(spearman(one, np.zeros(50)))
    assert sign_agreement(np.array([1, -1, 2, 0]), np.array([3, 1, 4, 5])) == pytest.approx(2 / 3)
    value, bounds = with_interval(spearman, one, other, np.arange(50))
    assert bounds is not None
    assert bounds[0] < value < bounds[1]
    # One unit tells nothing of how far another would lie.
    assert with_interval(spearman, one, other, np.zeros(50, dtype=int))[1] is None
