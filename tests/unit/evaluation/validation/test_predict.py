"""The local replacement model: exact without edits, the graph's own prediction for small ones."""

from __future__ import annotations

import pytest
import torch
from helpers import Architecture, tiny_clt, tiny_model, tiny_tokens

from workbench.attribution import attribute
from workbench.evaluation.validation.predict import predicted_changes
from workbench.interventions import CleanRun, Edit
from workbench.interventions.local_replacement import local_replacement
from workbench.interventions.plan import Plan


def plan_of(clean: CleanRun, edits: list[Edit]) -> Plan:
    return Plan.of(edits, clean.clt, model_name="tiny", token_ids=clean.tokens.tolist())


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("skip", [False, True])
def test_an_edit_that_changes_nothing_gives_the_clean_run(architecture: Architecture, skip: bool) -> None:
    model = tiny_model(architecture)
    clean = CleanRun.of(model, tiny_clt(model, window=2, skip=skip), tiny_tokens())
    result = local_replacement(clean, plan_of(clean, [Edit(0, 3, 4, add=0)]))
    torch.testing.assert_close(result.final, clean.final, atol=1e-10, rtol=1e-10)
    assert sorted(result.residuals) == [0, 1, 2]
    assert all(float(change.abs().max()) < 1e-10 for change in result.changes.values())


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
@pytest.mark.parametrize("skip", [False, True])
def test_a_small_edit_does_what_the_graph_predicts_over_all_paths(architecture: Architecture, skip: bool) -> None:
    # Small enough that no feature crosses its threshold, where the local replacement model is linear.
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=2, skip=skip)
    clean = CleanRun.of(model, clt, tiny_tokens())
    graph = attribute(model, clt, tiny_tokens(), progress=False)
    nodes = graph.nodes.iloc[: graph.n_features]
    members = [0, 3, int((nodes["layer"] == 1).to_numpy().argmax())]
    factor = 1 + 1e-4
    relative, logits = predicted_changes(graph, [members], factor)

    edits = [Edit.node(node, factor=factor) for node in nodes["node_id"].iloc[members]]
    result = local_replacement(clean, plan_of(clean, edits))

    measured = torch.tensor(
        [result.changes[row.layer][row.position, row.feature] / row.activation for row in nodes.itertuples()]
    )
    assert int((relative[:, 0].abs() > 1e-9).sum()) > 10
    torch.testing.assert_close(measured, relative[:, 0], atol=1e-9, rtol=1e-4)
    change = model.logits(result.final[-1]) - clean.logits
    tokens = [int(node.split("/")[1]) for node in graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"]]
    expected = (change - change.mean())[tokens]
    torch.testing.assert_close(expected, logits[:, 0], atol=1e-9, rtol=1e-4)
