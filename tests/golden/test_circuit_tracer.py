"""Against circuit-tracer itself: the same model, prompt and random CLT, its numbers stored beside this test.

circuit_tracer_gemma3_270m_a.npz was made with circuit-tracer on gemma-3-270m in float32 with eager attention and
unshared rotary buffers; its node order is features, errors (layer by layer), tokens, logits.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from workbench.attribution import Graph, attribute
from workbench.clt import CLT, CLTConfig, load_clt
from workbench.clt.formats import write_circuit_tracer
from workbench.models import LoadedModel

pytestmark = [pytest.mark.golden, pytest.mark.integration]

N_LAYERS, N_FEATURES, D_MODEL, N_POSITIONS = 18, 256, 640, 9
PROMPT = "Fact: Michael Jordan plays the sport of"


class Case(NamedTuple):
    golden: dict[str, np.ndarray]
    graph: Graph
    node_ids: list[str]
    """Our node id of each of circuit-tracer's nodes, in its order."""


def random_clt(golden: dict[str, np.ndarray]) -> CLT:
    torch.manual_seed(0)
    W_enc = torch.randn(N_LAYERS, N_FEATURES, D_MODEL) / D_MODEL**0.5
    W_dec = tuple(torch.randn(N_FEATURES, N_LAYERS - layer, D_MODEL) for layer in range(N_LAYERS))
    config = CLTConfig(
        model="gemma-3-270m",
        n_layers=N_LAYERS,
        d_model=D_MODEL,
        n_features=N_FEATURES,
        window=N_LAYERS,
        read_hook="blocks.{layer}.ln2.hook_normalized",
    )
    threshold = torch.from_numpy(golden["threshold"])[:, None].repeat(1, N_FEATURES)
    b_enc = torch.zeros(N_LAYERS, N_FEATURES)
    return CLT(config, W_enc, b_enc, threshold, W_dec, torch.zeros(N_LAYERS, D_MODEL))


@pytest.fixture(scope="module")
def case(gemma3: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Case:
    with np.load(Path(__file__).parent / "circuit_tracer_gemma3_270m_a.npz") as stored:
        golden = dict(stored)
    # Through circuit-tracer's own folder format, so that its reader is held to the same numbers.
    folder = tmp_path_factory.mktemp("circuit-tracer")
    write_circuit_tracer(random_clt(golden), folder)
    graph = attribute(gemma3, load_clt(folder, model=gemma3), PROMPT, progress=False)
    ids = [f"f/{layer}/{feature}/{position}" for layer, position, feature in golden["active_features"]]
    ids += [f"e/{layer}/{position}" for layer in range(N_LAYERS) for position in range(N_POSITIONS)]
    ids += [f"t/{position}" for position in range(N_POSITIONS)]
    ids += [f"l/{token}/{N_POSITIONS - 1}" for token in golden["logit_tokens"]]
    return Case(golden, graph, ids)


def rows(case: Case, targets: list[str]) -> np.ndarray:
    """Return our weights of some targets in circuit-tracer's column order (zero for what we have no node for)."""
    ids = case.graph.nodes["node_id"].to_numpy()
    row = {name: at for at, name in enumerate(ids[case.graph.target_index])}
    column = {name: at for at, name in enumerate(ids[case.graph.source_index])}
    weights = case.graph.weights.numpy()
    found = np.zeros((len(targets), len(case.node_ids)), dtype=np.float32)
    known = [at for at, name in enumerate(case.node_ids) if name in column]
    found[:, known] = weights[np.ix_([row[t] for t in targets], [column[case.node_ids[at]] for at in known])]
    return found


def test_the_prompt_and_its_active_features_are_the_same(case: Case) -> None:
    assert list(case.graph.token_ids) == case.golden["token_ids"].tolist()
    features = case.graph.nodes[case.graph.nodes["kind"] == "feature"]
    assert features["node_id"].tolist() == case.node_ids[: len(features)]
    assert np.allclose(features["activation"], case.golden["activation_values"], rtol=1e-5, atol=1e-5)


def test_logit_nodes_are_the_same(case: Case) -> None:
    logits = case.graph.nodes[case.graph.nodes["kind"] == "logit"]
    assert logits["node_id"].tolist() == case.node_ids[-len(logits) :]
    assert np.allclose(logits["probability"], case.golden["logit_probabilities"], atol=1e-4)


def test_feature_rows_agree_to_1e_5_of_the_largest_weight(case: Case) -> None:
    mine = rows(case, [case.node_ids[row] for row in case.golden["feature_rows"]])
    theirs = case.golden["feature_row_weights"]
    assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()
    n = case.graph.n_features
    assert np.abs(mine - theirs)[:, :n].max() <= 1e-5 * np.abs(theirs[:, :n]).max()


def test_logit_rows_agree_to_1e_5_of_the_largest_weight(case: Case) -> None:
    theirs = case.golden["logit_row_weights"]
    mine = rows(case, case.node_ids[-len(theirs) :])
    assert np.abs(mine - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_scores_agree(case: Case) -> None:
    scores = case.graph.scores()
    assert scores.replacement == pytest.approx(float(case.golden["replacement_score"]), abs=1e-5)
    assert scores.completeness == pytest.approx(float(case.golden["completeness_score"]), abs=1e-5)


def test_pruning_keeps_the_same_nodes_and_as_many_edges(case: Case) -> None:
    pruned = case.graph.prune(node_threshold=0.8, edge_threshold=0.98, keep_errors=False)
    kept = set(pruned.nodes["node_id"])
    assert [name in kept for name in case.node_ids] == case.golden["pruned_node_mask"].tolist()
    from_bias = pruned.edges["source"].astype(str).str.startswith("b/")
    assert int((~from_bias).sum()) == int(case.golden["pruned_edge_count"])
