"""A graph as one file."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_clt, tiny_model, tiny_tokens

import workbench as wb
from workbench.attribution import Graph, attribute
from workbench.errors import ConfigError
from workbench.widgets import GraphExplorer


@pytest.fixture(scope="module")
def graph() -> Graph:
    model = tiny_model("llama")
    return attribute(model, tiny_clt(model), tiny_tokens(), progress=False).prune()


class Addresses(HTMLParser):
    """Collects what a browser would load, and the text of every script."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.scripts: list[str] = []
        self._in_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [str(value) for name, value in attributes if name in ("src", "href", "srcset", "data")]
        self._in_script = tag == "script"

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts.append(data)


def parse(path: Path) -> Addresses:
    parser = Addresses()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_the_page_loads_nothing_from_anywhere(graph: Graph, tmp_path: Path) -> None:
    path = wb.to_html(graph, tmp_path / "graph.html")
    assert parse(path).loaded == []
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', path.read_text(encoding="utf-8"))
    assert policy is not None
    assert "default-src 'none'" in policy[1]


def test_the_page_holds_the_graph(graph: Graph, tmp_path: Path) -> None:
    data = json.loads(parse(wb.to_html(graph, tmp_path / "graph.html")).scripts[0])
    buffers = {tuple(buffer["path"]): base64.b64decode(buffer["data"]) for buffer in data["buffers"]}
    weights = np.frombuffer(buffers["_edges", "weight", "data"], dtype="<f4")
    assert len(weights) == graph.n_edges
    assert set(data["state"]["_nodes"]["node_id"]) == set(graph.nodes["node_id"])


def test_no_token_can_end_the_script_or_the_title(graph: Graph, tmp_path: Path) -> None:
    evil = "</script></title><script>alert(1)</script>"
    path = wb.to_html(
        dataclasses.replace(graph, prompt=evil, tokens=(evil, *graph.tokens[1:])), tmp_path / "graph.html"
    )
    parsed = parse(path)
    assert len(parsed.scripts) == 2
    assert json.loads(parsed.scripts[0])["state"]["_info"]["tokens"][0] == evil


def test_an_explorers_selection_goes_into_the_file(graph: Graph, tmp_path: Path) -> None:
    explorer = GraphExplorer(graph, selected=["t/1"], pinned=["t/2"])
    data = json.loads(parse(wb.to_html(explorer, tmp_path / "graph.html")).scripts[0])
    assert (data["state"]["selected_ids"], data["state"]["pinned_ids"]) == (["t/1"], ["t/2"])
    # It stays alive: it is still the user's.
    explorer.selected = ["t/3"]
    assert list(explorer.selected["node_id"]) == ["t/3"]
    explorer.close()


def test_a_wrong_option_leaves_no_file(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="f/99/0/1"):
        wb.to_html(graph, tmp_path / "graph.html", selected=["f/99/0/1"])
    assert list(tmp_path.iterdir()) == []
