"""circuit-tracer is run where it is installed, and its graph is compared with ours node by node."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_clt, tiny_model

from workbench.attribution import Graph, attribute
from workbench.benchmarks.circuit_tracer import largest_difference, node_ids, python_of, start_circuit_tracer
from workbench.cli.app import run
from workbench.errors import ConfigError, ResourceError

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="stands in a shell script for Python")


def environment(folder: Path, script: str) -> Path:
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return folder / "venv"


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("gemma3")
    return attribute(model, tiny_clt(model, window=2), torch.tensor([1, 5, 3, 8]), progress=False)


def as_circuit_tracer(graph: Graph) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The graph as circuit-tracer would hold it: adjacency, active features, logit tokens."""
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    active = torch.from_numpy(features[["layer", "position", "feature"]].to_numpy(np.int64).copy())
    logits = graph.nodes.loc[graph.nodes["kind"] == "logit", "node_id"]
    tokens = torch.tensor([int(name.split("/")[1]) for name in logits])
    at = {name: row for row, name in enumerate(node_ids(active, tokens, graph))}
    ids = graph.nodes["node_id"].to_numpy()
    sources, targets = ids[graph.source_index], ids[graph.target_index]
    known = [column for column, name in enumerate(sources) if not name.startswith("b/")]
    adjacency = torch.zeros(len(at), len(at))
    rows = torch.tensor([at[name] for name in targets])
    columns = torch.tensor([at[sources[column]] for column in known])
    adjacency[rows[:, None], columns] = graph.weights[:, known].float()
    return adjacency, active, tokens


def test_a_graph_differs_from_itself_by_nothing_whatever_the_order_of_its_nodes(graph: Graph) -> None:
    adjacency, active, tokens = as_circuit_tracer(graph)
    names = node_ids(active, tokens, graph)
    assert largest_difference(graph, adjacency, names) < 1e-7
    order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0))
    assert largest_difference(graph, adjacency[order][:, order], [names[at] for at in order]) < 1e-7


def test_one_edge_that_is_off_is_found(graph: Graph) -> None:
    adjacency, active, tokens = as_circuit_tracer(graph)
    largest = float(adjacency.abs().max())
    adjacency[-1, 0] += 0.01 * largest
    found = largest_difference(graph, adjacency, node_ids(active, tokens, graph))
    assert found == pytest.approx(0.01 * largest / float(adjacency.abs().max()), rel=1e-3)


def test_a_feature_that_only_one_of_them_has_counts_with_all_its_edges(graph: Graph) -> None:
    adjacency, active, tokens = as_circuit_tracer(graph)
    names = node_ids(active, tokens, graph)
    largest = float(adjacency.abs().max())
    lost = float(torch.cat([adjacency[0], adjacency[:, 0]]).abs().max())
    found = largest_difference(graph, adjacency[1:, 1:], names[1:])
    assert found == pytest.approx(lost / float(adjacency[1:, 1:].abs().max()), rel=1e-5)
    assert lost <= largest


def test_a_folder_without_python_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["bench", "attribution", "--part", "uncapped", "--circuit-tracer", str(tmp_path)]
    assert run(arguments) == 2
    assert "give the folder of a virtual environment with circuit-tracer" in capsys.readouterr().err


@unix_only
def test_an_environment_without_circuit_tracer_is_refused(tmp_path: Path) -> None:
    venv = environment(tmp_path, f'exec "{sys.executable}" -S "$@"')
    with pytest.raises(ConfigError, match=r"has no circuit-tracer: install it there with .*pip install circuit-tracer"):
        python_of(venv)


def test_circuit_tracer_without_its_case_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "attribution", "--part", "length", "--circuit-tracer", str(tmp_path)]) == 2
    assert "add the part 'uncapped'" in capsys.readouterr().err


@unix_only
def test_a_process_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, window=model.n_layers)
    # Says that circuit-tracer is there, then breaks as one whose torch does not load would.
    venv = environment(tmp_path, 'test "$2" = -c && exit 0\necho "ImportError: no torch" >&2\nexit 1')
    with (
        pytest.raises(ResourceError, match="circuit-tracer failed: ImportError: no torch"),
        start_circuit_tracer(venv, clt, torch.tensor([1, 2]), model=tmp_path, name="gemma"),
    ):
        pass


@unix_only
def test_the_process_is_given_the_case_and_ends_with_the_context(tmp_path: Path) -> None:
    model = tiny_model("gemma3")
    clt = tiny_clt(model, window=model.n_layers)
    said = tmp_path / "said.json"
    venv = environment(
        tmp_path,
        f'test "$2" = -c && exit 0\nprintf %s "$4" > "{said}"\necho \'{{"version": "9"}}\'\nexec cat >/dev/null',
    )
    with start_circuit_tracer(venv, clt, torch.tensor([1, 2]), model=tmp_path, name="gemma") as started:
        assert started.version == "9"
        case = json.loads(said.read_text())
        assert (case["read_hook"], case["write_hook"]) == ("mlp.hook_in", "hook_mlp_out")
        assert case["tokens"] == [1, 2]
        files = {path.name for path in Path(case["clt"]).iterdir()}
        assert files >= {"config.yaml", "W_enc_0.safetensors", "W_dec_0.safetensors"}
    assert started.process.poll() is not None
    assert not Path(case["clt"]).exists()
