"""Processes that train, alone or several together over gloo, for tests that need more than one or kill them."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import torch

# The first step of an optimiser imports it, which takes seconds: the server of processes does it once for all of them.
import torch._dynamo
from helpers import tiny_training_run

from workbench.clt.training.checkpoint import load_checkpoint, save_checkpoint
from workbench.clt.training.distributed import ALONE, Ranks, joined
from workbench.clt.training.trainer import StopFlag


def _context() -> ForkServerContext:
    # The server imports torch once; every process is a fork of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def in_processes(world: int, parallel: Any, job: Callable[..., None], *arguments: Any) -> None:
    """Run ``job(ranks, *arguments)`` in ``world`` processes; fail when one of them fails."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        _context().Process(target=_join, args=(rank, world, port, parallel, job, arguments)) for rank in range(world)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * world


def _join(rank: int, world: int, port: int, parallel: Any, job: Callable[..., None], arguments: Any) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_RANK": str(rank)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with joined(parallel, device="cpu") as ranks:
        job(ranks, *arguments)


def start_training(out: Path, options: dict[str, Any]) -> ForkServerProcess:
    """Return a process, already running, that does a tiny run to the end or takes it up again."""
    process = _context().Process(target=_train_alone, args=(out, options))
    process.start()
    return process


def _train_alone(out: Path, options: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    train_part(ALONE, out, options, resume=(out / "recipe.json").exists())


class StopAfter(StopFlag):
    """Asks to stop once it was asked ``n`` times, as a signal at that moment would."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.left = n

    def __call__(self) -> bool:
        self.left -= 1
        return self.left < 0


def train_part(ranks: Ranks, out: Path, options: dict[str, Any], *, resume: bool = False) -> None:
    """Do this process's part of a tiny run, to the end."""
    run = tiny_training_run(out, ranks=ranks, parallel=ranks.parallel, **options)
    run.prepare(resume=resume)
    assert run.harvest()
    assert run.train()
    if ranks.is_first:
        run.export()
    ranks.barrier()


def resume_part(ranks: Ranks, out: Path, options: dict[str, Any]) -> None:
    """Take a tiny run up again, and do this process's part of it to the end."""
    train_part(ranks, out, options, resume=True)


def stop_part(ranks: Ranks, out: Path, options: dict[str, Any], asked: int) -> None:
    """Do this process's part of a tiny run; the second process is asked to stop after a while."""
    stop = StopAfter(asked) if ranks.rank == 1 else StopFlag()
    run = tiny_training_run(out, ranks=ranks, parallel=ranks.parallel, stop=stop, **options)
    run.prepare(resume=False)
    assert run.harvest()
    assert not run.train()


def rewrite_part(ranks: Ranks, out: Path, options: dict[str, Any]) -> None:
    """Read this process's part of a checkpoint and write it again."""
    config = tiny_training_run(out, **options).config
    save_checkpoint(out, load_checkpoint(out, config, ranks), config, ranks)
