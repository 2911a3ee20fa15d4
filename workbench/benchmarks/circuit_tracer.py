"""circuit-tracer on the same case, run by the Python of the virtual environment that it is installed in.

Its dependencies exclude those of this package, so it lives in a process and an environment of its own. The process
holds its model and waits between its runs: so the runs of both can take turns, and what else the machine does meets
both alike.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from workbench.attribution import Graph
from workbench.benchmarks.turns import answer, ask, python_with, started
from workbench.clt import CLT
from workbench.clt.formats import write_circuit_tracer
from workbench.clt.formats.hooks import BLOCK

BATCH_SIZE = 128

_RUNNER = Path(__file__).with_name("circuit_tracer_runner.py")


def python_of(venv: Path | str) -> Path:
    """Return the Python of a virtual environment that holds circuit-tracer.

    Raises:
        ConfigError: there is no such environment, or no circuit-tracer in it.
    """
    return python_with(venv, "circuit-tracer", module="circuit_tracer")


@dataclass
class CircuitTracer:
    """A process with circuit-tracer that is ready to run.

    Attributes:
        version: circuit-tracer's.
        runs: seconds, peak_memory_mb (of the process so far) and active_features of each run.
    """

    process: subprocess.Popen[str]
    folder: Path
    version: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> None:
        """Make one run, timed by the process itself.

        Raises:
            ResourceError: the process failed.
        """
        self.runs.append(ask(self.process, "run", name="circuit-tracer", log=_log(self.folder)))

    def answer(self) -> dict[str, Any]:
        """Return the next line that the process says.

        Raises:
            ResourceError: it ended instead.
        """
        return answer(self.process, name="circuit-tracer", log=_log(self.folder))

    def summary(self, graph: Graph) -> dict[str, Any]:
        """Return version, batch_size, the best of the runs, and how far its edges are from those of ``graph``."""
        theirs = load_file(_result(self.folder))
        names = node_ids(theirs["active_features"], theirs["logit_tokens"], graph)
        return {
            "version": self.version,
            "batch_size": BATCH_SIZE,
            "seconds": round(min(run["seconds"] for run in self.runs), 3),
            "all_seconds": [round(run["seconds"], 3) for run in self.runs],
            "peak_memory_mb": round(max(run["peak_memory_mb"] for run in self.runs), 1),
            "active_features": self.runs[-1]["active_features"],
            "largest_difference": largest_difference(graph, theirs["adjacency"], names),
        }


@contextmanager
def start_circuit_tracer(
    venv: Path | str, clt: CLT, tokens: Int[Tensor, " position"], *, model: Path, name: str
) -> Iterator[CircuitTracer]:
    """Start circuit-tracer on one case; it ends with the context.

    Args:
        model: folder with the Hugging Face files of the model.
        name: what TransformerLens calls the model.

    Raises:
        ConfigError: there is no such environment, or no circuit-tracer in it.
        ResourceError: the process failed.
    """
    python = python_of(venv)
    with tempfile.TemporaryDirectory(prefix="circuit-tracer-") as made:
        folder = Path(made)
        write_circuit_tracer(clt, folder / "clt")
        case = {
            "model": str(model),
            "name": name,
            "clt": str(folder / "clt"),
            "read_hook": clt.config.read_hook.removeprefix(BLOCK),
            "write_hook": clt.config.write_hook.removeprefix(BLOCK),
            "tokens": tokens.tolist(),
            "batch_size": BATCH_SIZE,
            "result": str(_result(folder)),
        }
        with started(python, _RUNNER, case, log=_log(folder), environment={"HF_HUB_OFFLINE": "1"}) as process:
            found = CircuitTracer(process, folder)
            found.version = found.answer()["version"]
            yield found


def _log(folder: Path) -> Path:
    return folder / "log.txt"


def _result(folder: Path) -> Path:
    return folder / "result.safetensors"


def node_ids(active_features: Int[Tensor, "feature 3"], logit_tokens: Int[Tensor, " logit"], graph: Graph) -> list[str]:
    """Return our ids of circuit-tracer's nodes, in its order: features, errors layer by layer, tokens, logits."""
    n_positions = len(graph.token_ids)
    ids = [f"f/{layer}/{feature}/{position}" for layer, position, feature in active_features.tolist()]
    ids += [f"e/{layer}/{position}" for layer in range(graph.info["n_layers"]) for position in range(n_positions)]
    ids += [f"t/{position}" for position in range(n_positions)]
    return ids + [f"l/{token}/{n_positions - 1}" for token in logit_tokens.tolist()]


def largest_difference(graph: Graph, adjacency: Float[Tensor, "node node"], names: list[str]) -> float:
    """Return max |our weight − theirs| / max |their weight|; a node that only one has, counts with weight 0.

    Biases are left out, for circuit-tracer has no nodes for them.
    """
    ids = graph.nodes["node_id"].to_numpy(dtype=object)
    sources = ids[graph.source_index]
    unbiased = np.array([not name.startswith("b/") for name in sources])
    mine = pd.DataFrame(graph.weights.numpy()[:, unbiased], index=ids[graph.target_index], columns=sources[unbiased])
    theirs = pd.DataFrame(adjacency.numpy(), index=names, columns=names)
    # What neither has (a node of one by a node of the other) is no edge: pandas leaves it NaN and out of the maximum.
    difference = np.nanmax(mine.sub(theirs, fill_value=0.0).abs().to_numpy())
    return float(difference / np.abs(adjacency.numpy()).max())
