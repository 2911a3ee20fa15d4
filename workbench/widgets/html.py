"""A graph as one file that opens from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workbench.attribution import Graph
from workbench.files import atomic_file
from workbench.widgets.graph_explorer import GraphExplorer
from workbench.widgets.page import page


def to_html(graph: Graph | GraphExplorer, path: Path | str, **options: Any) -> Path:
    """Write the graph explorer to one HTML file that needs no kernel and no network; return its path.

    Args:
        graph: a graph, or an explorer, whose selection, pins and labels then go into the file.
        path: the file to write; one that is there is replaced.
        options: what :class:`GraphExplorer` takes besides the graph.

    Raises:
        ConfigError: an option cannot be used.
        ResourceError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    explorer = graph if isinstance(graph, GraphExplorer) else GraphExplorer(graph, **options)
    try:
        text = page(explorer, title=explorer.graph.prompt)
    finally:
        if explorer is not graph:
            explorer.close()
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
