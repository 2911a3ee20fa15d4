"""A graph of a hundred megabytes is read, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from workbench.attribution.schema1 import cantor_pair, from_schema1
from workbench.errors import FormatError, ResourceError

N_LAYERS, PER_LAYER, N_POSITIONS = 20, 95, 8
WEIGHT = 0.123456789


def node(name: str, feature: int, layer: int, type_: str) -> dict[str, object]:
    position = int(name.split("_")[2])
    fields = {"node_id": name, "feature": feature, "layer": str(layer), "ctx_idx": position, "feature_type": type_}
    return fields | {"token_prob": 0.5 if type_ == "logit" else 0.0, "clerp": "", "influence": None, "activation": 1.0}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every link that features of 20 layers can have; the links' text is joined, not built as objects."""
    names = [[f"{layer}_{f}_{f % N_POSITIONS}" for f in range(PER_LAYER)] for layer in range(N_LAYERS)]
    nodes = [
        node(name, cantor_pair(layer, f), layer, "cross layer transcoder")
        for layer, row in enumerate(names)
        for f, name in enumerate(row)
    ]
    logit = f"{N_LAYERS + 1}_5_{N_POSITIONS - 1}"
    nodes.append(node(logit, 5, N_LAYERS + 1, "logit"))
    metadata = {"slug": "large", "scan": "m", "prompt_tokens": ["w"] * N_POSITIONS, "prompt": "w"}
    path = tmp_path_factory.mktemp("large") / "graph.json"
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{{"metadata": {json.dumps(metadata)}, "nodes": {json.dumps(nodes)}, "links": [')
        for layer, row in enumerate(names):
            above = [name for higher in names[layer + 1 :] for name in higher] + [logit]
            for source in row:
                file.write("".join(f'{{"source": "{source}", "target": "{t}", "weight": {WEIGHT}}},\n' for t in above))
        file.write(f'{{"source": "{names[0][0]}", "target": "END", "weight": -1.5}}]}}')
    assert path.stat().st_size > 100e6
    return path


def test_its_last_link_is_checked_like_the_first(path: Path) -> None:
    n_links = PER_LAYER**2 * N_LAYERS * (N_LAYERS - 1) // 2 + PER_LAYER * N_LAYERS
    with pytest.raises(FormatError, match=rf"graph.json cannot be read: links\[{n_links}\].target is 'END', no node"):
        from_schema1(path)


def test_every_link_arrives(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    document["links"].pop()

    graph = from_schema1(document)

    layer = np.repeat(np.arange(N_LAYERS), PER_LAYER)
    expected = torch.from_numpy(layer[None, :] < np.append(layer, N_LAYERS)[:, None])
    assert torch.equal(graph.weights != 0, expected)
    assert graph.n_edges == len(document["links"])
    assert float(graph.weights[expected].min()) == float(graph.weights[expected].max()) == pytest.approx(WEIGHT)


def test_too_little_memory_for_it_is_said_before_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.memory.available_memory", lambda: 300_000_000)
    with pytest.raises(ResourceError, match=r"Reading .*graph.json needs .* GB of memory.*: prune the graph"):
        from_schema1(path)
