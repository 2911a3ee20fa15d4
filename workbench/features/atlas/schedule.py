"""Shards on several processes: of this machine, or of a Dask cluster."""

from __future__ import annotations

import importlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from workbench.errors import ConfigError, ResourceError
from workbench.features.atlas.shard import ShardTask, as_dict, run_task

# Gives (index of the shard, bytes of its counts) as shards are finished, in any order.
Runner = Callable[[Sequence[ShardTask]], Iterator[tuple[int, bytes]]]
Stop = Callable[[], bool]

_SECONDS_BETWEEN_LOOKS = 0.5
_CONNECT_SECONDS = 10


def processes(workers: int, stop: Stop) -> Runner:
    """Return a runner with processes of this machine, each with a model of its own.

    Asked to stop, it begins no other shard and gives those at work.

    Raises:
        ConfigError: there is no worker.
    """
    if workers < 1:
        raise ConfigError(f"{workers} workers cannot work: ask for at least 1.")

    def run(tasks: Sequence[ShardTask]) -> Iterator[tuple[int, bytes]]:
        # Forked processes would inherit locked locks of torch's threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupts) as pool:
            waiting: dict[Future[bytes], int] = {pool.submit(run_task, as_dict(task)): task.index for task in tasks}
            try:
                while waiting:
                    done, _ = wait(waiting, timeout=_SECONDS_BETWEEN_LOOKS, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield waiting.pop(future), future.result()
                    if stop():
                        waiting = {future: index for future, index in waiting.items() if not future.cancel()}
            except BrokenProcessPool as error:
                raise ResourceError(
                    "A worker ended in the middle of a shard, probably for want of memory: start again with fewer "
                    "workers; finished shards are kept."
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    return run


def cluster(address: str, stop: Stop) -> Runner:
    """Return a runner on a Dask cluster, whose workers need the package, the model and the CLT under the same names.

    Asked to stop, it cancels what is not finished.

    Raises:
        ConfigError: Dask is not installed.
    """
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise ConfigError(
            "--scheduler needs Dask, which is not installed: pip install 'circuit-workbench[cluster]'."
        ) from error

    def run(tasks: Sequence[ShardTask]) -> Iterator[tuple[int, bytes]]:
        try:
            client = distributed.Client(address, timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise ResourceError(
                f"No Dask scheduler answers at {address!r}: start one (`dask scheduler`) or correct the address."
            ) from error
        with client:
            futures = {client.submit(run_task, as_dict(task), pure=False): task.index for task in tasks}
            finished = distributed.as_completed(futures)
            try:
                while futures and not stop():
                    if finished.has_ready():
                        future = next(finished)
                        yield futures.pop(future), _result(future, distributed)
                    else:
                        time.sleep(_SECONDS_BETWEEN_LOOKS / 10)
            finally:
                client.cancel(list(futures))

    return run


def _result(future: Any, distributed: Any) -> bytes:
    try:
        content: bytes = future.result()
    except distributed.KilledWorker as error:
        raise ResourceError(
            "Workers of the cluster ended in the middle of a shard, probably for want of memory: give them more; "
            "finished shards are kept."
        ) from error
    return content


def _ignore_interrupts() -> None:
    # Ctrl-C reaches all processes of a terminal; the one that waits for the others ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
