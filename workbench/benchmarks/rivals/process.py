"""The process of a rival, seen from this side."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from workbench.benchmarks.turns import answer, ask, python_with, started
from workbench.errors import ConfigError
from workbench.files import write_safetensors

_RUNNER = Path(__file__).with_name("runner.py")
_BATCH, _LOG = "batch.safetensors", "log.txt"


@dataclass(frozen=True)
class Rival:
    """A package that trains transcoders.

    Attributes:
        module: what is imported.
        window: the only one that it knows, "1" or "full".
    """

    module: str
    window: str


RIVALS = {
    "decode-clt": Rival("clt", "full"),
    "eai-sparsify": Rival("sparsify", "1"),
    "llamascopium": Rival("llamascopium", "full"),
}


def python_of(name: str, venv: Path | str) -> Path:
    """Return the Python of a virtual environment that holds a rival.

    Raises:
        ConfigError: the rival is unknown, or there is no such environment, or it is not in there.
    """
    if name not in RIVALS:
        raise ConfigError(f"There is no rival {name!r}: choose from {', '.join(RIVALS)}.")
    return python_with(venv, name, module=RIVALS[name].module)


@dataclass
class RivalProcess:
    """A process that holds a rival's transcoder and is ready to train it.

    Attributes:
        facts: version, threads, parameters.
        turns: tokens and seconds of each turn so far.
    """

    name: str
    process: subprocess.Popen[str]
    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    turns: list[dict[str, Any]] = field(default_factory=list)

    def run(self, *, seconds: float) -> None:
        """Let it train for about some seconds, one step at least.

        Raises:
            ResourceError: the process failed.
        """
        self.turns.append(ask(self.process, str(seconds), name=self.name, log=self.folder / _LOG))

    def answer(self) -> dict[str, Any]:
        """Return the next line that the process says.

        Raises:
            ResourceError: it ended instead.
        """
        return answer(self.process, name=self.name, log=self.folder / _LOG)

    def summary(self) -> dict[str, Any]:
        """Return its facts, the tokens_per_second of all turns together, steps, first and last loss, peak_memory_mb."""
        tokens, seconds = (sum(turn[name] for turn in self.turns) for name in ("tokens", "seconds"))
        return {
            **self.facts,
            "tokens_per_second": round(tokens / seconds, 2),
            "steps": sum(turn["steps"] for turn in self.turns),
            "losses": [round(loss, 5) for loss in (self.turns[0]["losses"][0], self.turns[-1]["losses"][-1])],
            "peak_memory_mb": round(max(turn["peak_memory_mb"] for turn in self.turns), 1),
        }


@contextmanager
def start_rival(
    name: str,
    venv: Path | str,
    *,
    reads: Float[Tensor, "layer token d_model"],
    writes: Float[Tensor, "layer token d_model"],
    n_features: int,
    k: int,
) -> Iterator[RivalProcess]:
    """Start a rival that trains on one batch of normalised activations again and again; it ends with the context.

    Raises:
        ConfigError: the rival is unknown, or there is no such environment, or it is not in there.
        ResourceError: the process failed.
    """
    python = python_of(name, venv)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as made:
        folder = Path(made)
        write_safetensors(folder / _BATCH, {"reads": reads.contiguous(), "writes": writes.contiguous()})
        case = {"rival": name, "batch": str(folder / _BATCH), "n_features": n_features, "k": k}
        offline = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"}
        with started(python, _RUNNER, case, log=folder / _LOG, environment=offline) as process:
            found = RivalProcess(name, process, folder)
            found.facts = found.answer()
            yield found
