"""A graph as files: graph.json (schema 1), nodes.csv and edges.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import csv

from workbench.attribution.graph import Graph
from workbench.files import atomic_file


def write_graph(graph: Graph, folder: Path | str, *, slug: str | None = None) -> list[Path]:
    """Write a graph's three files, each whole or not at all, and return their paths.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    paths = [folder / name for name in ("graph.json", "nodes.csv", "edges.csv")]
    graph.to_json(paths[0], slug=slug)
    for path, table in zip(paths[1:], (graph.nodes, graph.edges), strict=True):
        write_csv(table, path)
    return paths


def write_csv(table: pd.DataFrame, path: Path) -> Path:
    """Write a table to a CSV file, whole or not at all, and return its path.

    Raises:
        ResourceError: the disk is full or the folder cannot be written.
    """
    with atomic_file(path) as temporary:
        # Ten times faster than pandas' own writer, which counts with 200,000 edges.
        csv.write_csv(pa.Table.from_pandas(table, preserve_index=False), temporary)
    return path
