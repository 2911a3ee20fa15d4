"""Direct interventions measure, on the real model, the edges that the attribution graph predicts."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from helpers import ARCHITECTURES, Architecture, tiny_clt, tiny_clt_reading, tiny_model, tiny_tokens
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.attribution import Graph, attribute
from workbench.interventions import CleanRun, Edit, Intervention


def changes(result: Intervention, targets: list[str]) -> torch.Tensor:
    """Return what was measured at the targets: changes of pre-activations, and of logits minus the mean logit."""
    at_features = result.features.set_index("node_id")["pre_activation_change"]
    logits = result.logits.after - result.logits.before
    measured = []
    for target in targets:
        kind, first, *_ = target.split("/")
        if kind == "l":
            measured.append(float(logits[int(first)] - logits.mean()))
        else:
            # A feature that the table leaves out lies below or before the edits.
            measured.append(float(at_features.get(target, 0.0)))
    return torch.tensor(measured, dtype=torch.float64)


def ids(graph: Graph) -> tuple[list[str], list[str]]:
    """Return the ids of the feature sources and of all targets, in the order of the matrix."""
    nodes = graph.nodes["node_id"].to_numpy()
    return list(nodes[: graph.n_features]), list(nodes[graph.target_index])


def worst_deviation(clean: CleanRun, graph: Graph, *, factor: float, every: int) -> float:
    """Return the largest |measured − (f − 1) · A[t, s]| over all targets and every n-th source."""
    sources, targets = ids(graph)
    largest = float(graph.weights[:, : graph.n_features].abs().max())
    worst, n_edges = 0.0, 0
    for column in range(0, len(sources), every):
        predicted = (factor - 1) * graph.weights[:, column]
        n_edges += int(predicted.count_nonzero())
        measured = changes(clean.intervene([Edit.node(sources[column], factor=factor)], mode="direct"), targets)
        worst = max(worst, float((measured - predicted).abs().max()))
    assert n_edges > 20
    return worst / largest


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("skip", [False, True])
def test_scaling_a_feature_changes_every_target_by_its_edge(
    architecture: Architecture, window: int, skip: bool
) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt(model, window=window, skip=skip)
    tokens = tiny_tokens(length=9)
    graph = attribute(model, clt, tokens, progress=False)
    assert graph.n_features > 20

    assert worst_deviation(CleanRun.of(model, clt, tokens), graph, factor=-1.5, every=4) < 1e-8


@pytest.mark.parametrize("read_hook", ["blocks.{layer}.ln2.hook_normalized", "blocks.{layer}.hook_resid_mid"])
@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_it_holds_wherever_the_transcoder_reads(architecture: Architecture, read_hook: str) -> None:
    model = tiny_model(architecture)
    clt = tiny_clt_reading(model, read_hook)
    tokens = tiny_tokens(length=7)
    graph = attribute(model, clt, tokens, progress=False)

    assert worst_deviation(CleanRun.of(model, clt, tokens), graph, factor=3, every=8) < 1e-8


@cache
def gemma_case() -> tuple[CleanRun, Graph]:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, window=3, skip=True)
    return CleanRun.of(model, clt, tiny_tokens()), attribute(model, clt, tiny_tokens(), progress=False)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_edits_add_up(data: st.DataObject) -> None:
    clean, graph = gemma_case()
    sources, targets = ids(graph)
    chosen = data.draw(st.lists(st.sampled_from(sources), min_size=2, max_size=4, unique=True))
    factors = data.draw(st.lists(st.floats(-5, 5), min_size=len(chosen), max_size=len(chosen)))
    edits = [Edit.node(source, factor=factor) for source, factor in zip(chosen, factors, strict=True)]

    together = changes(clean.intervene(edits, mode="direct"), targets)
    one_by_one = [changes(clean.intervene([edit], mode="direct"), targets) for edit in edits]

    scale = float(graph.weights[:, : graph.n_features].abs().max())
    assert float((together - sum(one_by_one)).abs().max()) < 1e-8 * scale


def test_an_inactive_feature_that_is_switched_on_acts_by_its_virtual_edge() -> None:
    # Its effect is linear too: a second unit does what the first did.
    clean, graph = gemma_case()
    _, targets = ids(graph)
    off = next(feature for feature in range(12) if clean.activation(0, feature, 4) == 0)

    once, twice = (
        changes(clean.intervene([Edit(0, off, 4, value=value)], mode="direct"), targets) for value in (1.0, 2.0)
    )

    assert float(once.abs().max()) > 1e-3
    torch.testing.assert_close(twice, 2 * once, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_in_float32_the_edges_hold_to_rounding_and_no_warning_is_shown(
    architecture: Architecture, recwarn: pytest.WarningsRecorder
) -> None:
    model = tiny_model(architecture, dtype=torch.float32)
    clt = tiny_clt(model, window=2)
    graph = attribute(model, clt, tiny_tokens(), progress=False)

    deviation = worst_deviation(CleanRun.of(model, clt, tiny_tokens()), graph, factor=2, every=8)

    assert deviation < 1e-4
    assert not [warning for warning in recwarn if "hook_scale" in str(warning.message)]
