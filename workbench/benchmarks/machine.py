"""What the machine can do at most, which figures are to be read against."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import psutil
import torch


def matmul_gflops(*, size: int = 1536, repeats: int = 5) -> float:
    """Return the best rate of float32 matrix products, in 10⁹ operations a second."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    best = float("inf")
    for _ in range(repeats + 1):
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best / 1e9


def machine() -> dict[str, Any]:
    """Return cores, threads, the rate of matrix products, memory, and how busy the machine is with other work."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "matmul_gflops": round(matmul_gflops(), 1),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load": [round(load, 2) for load in psutil.getloadavg()],
        "torch": torch.__version__,
    }
