"""What this machine can do at most, measured in a second or two: the limits that speeds are read against."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def matmul_gflops(
    *, size: int = 1536, repeats: int = 5, dtype: torch.dtype = torch.float32, device: str | torch.device = "cpu"
) -> float:
    """Return the best rate of matrix products, in 10⁹ operations a second."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _best_seconds(lambda: torch.mm(a, b), repeats, a.device) / 1e9


def copy_bandwidth_gb(*, n_bytes: int = 2**27, repeats: int = 5, device: str | torch.device = "cpu") -> float:
    """Return the best rate of moving memory, in 10⁹ bytes a second: a copy of n bytes reads n and writes n.

    Args:
        n_bytes: size of the copy; larger than every cache.
    """
    source = torch.zeros(n_bytes // 4, device=device)
    target = torch.empty_like(source)
    return 2 * n_bytes / _best_seconds(lambda: target.copy_(source), repeats, source.device) / 1e9


def _best_seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    best = float("inf")
    # The first time is for warming up.
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return best
