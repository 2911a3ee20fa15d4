"""What the machine can do at most, which figures are to be read against."""

from __future__ import annotations

import os
import platform
from typing import Any

import psutil
import torch

from workbench.hardware import matmul_gflops

__all__ = ["machine", "matmul_gflops"]


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
