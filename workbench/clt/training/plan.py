"""What a training run will take, told before it starts: memory, tokens a second, hours, on this machine or another."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch

from workbench.clt.activations.harvest import harvest_dtype
from workbench.clt.activations.store import ActivationStore
from workbench.clt.config import CLTConfig
from workbench.clt.training.config import TrainConfig
from workbench.errors import ConfigError
from workbench.hardware import copy_bandwidth_gb, matmul_gflops
from workbench.models.shape import ModelShape

# What is expected of the limit: the trainer aims at 60 %, and a forward pass of a model reaches about as much.
FRACTION = 0.6


@dataclass(frozen=True)
class Machine:
    """What a plan is made for.

    Attributes:
        gflops: of one device in float32 matrix products, which the trainer uses, in 10⁹ operations a second.
        harvest_gflops: of one device in the dtype that the model runs in.
        bandwidth_gb: bytes that one device reads and writes, in 10⁹ a second.
        memory_gb: of one device; of a CPU what is available now.
        link_gb: what one device sends to another, in 10⁹ bytes a second.
    """

    name: str
    devices: int
    gflops: float
    harvest_gflops: float
    bandwidth_gb: float
    memory_gb: float
    link_gb: float

    @classmethod
    def this(cls, recipe: TrainConfig, *, device: str = "auto") -> Machine:
        """Measure this machine: its GPUs where it has any, else its processor."""
        gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        place = torch.device("cuda" if gpu else "cpu")
        dtype = torch.bfloat16 if gpu and recipe.dtype == "auto" else harvest_dtype(recipe.dtype)
        gflops, bandwidth = matmul_gflops(device=place), copy_bandwidth_gb(device=place)
        return cls(
            name=torch.cuda.get_device_name() if gpu else "this machine",
            devices=torch.cuda.device_count() if gpu else 1,
            gflops=gflops,
            harvest_gflops=gflops if dtype == torch.float32 else matmul_gflops(dtype=dtype, device=place),
            bandwidth_gb=bandwidth,
            memory_gb=(torch.cuda.mem_get_info()[0] if gpu else psutil.virtual_memory().available) / 1e9,
            link_gb=32.0 if gpu else bandwidth / 2,
        )

    @classmethod
    def named(cls, text: str) -> Machine:
        """Return a machine of GPUs by a name such as "8xH100".

        Raises:
            ConfigError: the GPU is not in the table.
        """
        found = re.fullmatch(r"(?:(\d+)\s*[x×]\s*)?(\S+)", text.strip(), re.IGNORECASE)
        name = found[2].upper() if found else ""
        if name not in GPUS or (found and found[1] and int(found[1]) < 1):
            raise ConfigError(
                f"There is no figure for the machine {text!r}: give a number and one of {', '.join(GPUS)} (8xH100), "
                "or its --gflops, --bandwidth-gb, --memory-gb and --devices."
            )
        return cls(text, int(found[1] or 1) if found else 1, *GPUS[name])


# From the makers' data sheets: float32 products without and bfloat16 with tensor cores (dense), in 10⁹ a second;
# memory bandwidth, memory, and the link to the other devices one way, in 10⁹ bytes (a second).
GPUS: dict[str, tuple[float, float, float, float, float]] = {
    "A100": (19_500, 312_000, 2_039, 80, 300),
    "H100": (67_000, 989_000, 3_350, 80, 450),
    "H200": (67_000, 989_000, 4_800, 141, 450),
    "L4": (30_300, 121_000, 300, 24, 32),
    "L40S": (91_600, 362_000, 864, 48, 32),
    "RTX4090": (82_600, 165_000, 1_008, 24, 32),
}


def seconds_per_token(
    config: CLTConfig, *, k: int, batch_tokens: int, gflops: float, bandwidth_gb: float, tied: bool = False
) -> dict[str, float]:
    """Return the least time that one token costs one device, by part.

    2·L·d·F / R for the encoder, 4·L·d² / R for the skip where there is one, 16·P·k·d / B for the decoders (each active
    row is read forward, read for the gradient of its activation, and its gradient is read and written, 4 bytes a
    number), 28·parameters / (batch·B) for Adam (weight, gradient and two moments read; all but the gradient written).
    P = Σ_l min(W, L − l) pairs of layers.

    Args:
        k: active features a token and layer.
        gflops: R, the rate of matrix products, in 10⁹ a second.
        bandwidth_gb: B, bytes read and written, in 10⁹ a second.
        tied: a feature has one decoder row, which counts once among the parameters and once for every pair of layers.
    """
    rate, bandwidth = gflops * 1e9, bandwidth_gb * 1e9
    layers, d_model = config.n_layers, config.d_model
    pairs = sum(len(config.targets(layer)) for layer in range(layers))
    return {
        "encoder": 2 * layers * d_model * config.n_features / rate,
        "skip": 4 * layers * d_model**2 / rate if config.skip else 0.0,
        "decoders": 16 * pairs * k * d_model / bandwidth,
        "adam": 28 * config.count_parameters(tied=tied) / (batch_tokens * bandwidth),
    }


def limit_tokens_per_second(
    config: CLTConfig, *, k: int, batch_tokens: int, gflops: float, bandwidth_gb: float
) -> float:
    """Return how many tokens a second one device can train on at most; see `seconds_per_token`."""
    parts = seconds_per_token(config, k=k, batch_tokens=batch_tokens, gflops=gflops, bandwidth_gb=bandwidth_gb)
    return 1 / sum(parts.values())


def parts_on(machine: Machine, config: CLTConfig, recipe: TrainConfig) -> dict[str, float]:
    """Return the least seconds a token of the whole batch, by part, on all devices of a machine together.

    Over data everything but Adam is shared out, and gradients are exchanged; over features everything but the skip,
    and reconstructions are exchanged.
    """
    parts = seconds_per_token(
        config,
        k=recipe.k,
        batch_tokens=recipe.batch_tokens,
        gflops=machine.gflops,
        bandwidth_gb=machine.bandwidth_gb,
        tied=recipe.tied,
    )
    n = machine.devices
    whole = "adam" if recipe.parallel == "data" else "skip"
    parts = {name: seconds if name == whole else seconds / n for name, seconds in parts.items()}
    # A ring sends every number about twice.
    sent = 8 * (n - 1) / n / (machine.link_gb * 1e9)
    if recipe.parallel == "data":
        parts["exchange"] = sent * recipe.n_parameters(config) / recipe.batch_tokens
    else:
        parts["exchange"] = sent * config.n_layers * config.d_model
    return parts


def memory_on(machine: Machine, config: CLTConfig, recipe: TrainConfig, model: ModelShape) -> dict[str, int]:
    """Return the bytes that one device holds, by what they are for."""
    n = machine.devices
    trained = recipe.n_parameters(config)
    held = math.ceil(trained / n) if recipe.parallel == "features" else trained
    tokens = recipe.batch_tokens if recipe.parallel == "features" else math.ceil(recipe.batch_tokens / n)
    features = math.ceil(config.n_features / n) if recipe.parallel == "features" else config.n_features
    # Reads, writes, errors and their gradient; one layer's pre-activations.
    batch = 4 * tokens * (4 * config.n_layers * config.d_model + features)
    itemsize = 4 if recipe.dtype == "float32" else 2
    return {
        "weights": 4 * held,
        "gradients": 4 * held,
        "adam": 8 * held,
        "batch": batch,
        "model": itemsize * model.n_parameters,
    }


def plan(recipe: TrainConfig, model: ModelShape, machine: Machine) -> dict[str, Any]:
    """Return what a run will take.

    Args:
        machine: measured (`Machine.this`), or from a data sheet (`Machine.named`).
    """
    config = CLTConfig(
        model=recipe.model,
        n_layers=model.n_layers,
        d_model=model.d_model,
        n_features=recipe.n_features,
        window=min(recipe.window, model.n_layers),
        skip=recipe.skip,
    )
    n_parameters = recipe.n_parameters(config)
    parts = parts_on(machine, config, recipe)
    limit = 1 / sum(parts.values())
    memory = memory_on(machine, config, recipe, model)
    n_kept = min(recipe.tokens, recipe.buffer_tokens) if recipe.stream else recipe.tokens
    cache = ActivationStore.n_bytes(
        capacity=n_kept + recipe.held_out_tokens,
        n_layers=model.n_layers,
        d_model=model.d_model,
        storage=recipe.cache,
    )
    # A cache is filled by one process; a stream by all.
    harvesters = machine.devices if recipe.stream else 1
    harvest = FRACTION * harvesters * machine.harvest_gflops * 1e9 / (2 * model.block_parameters)
    training = FRACTION * limit
    harvest_hours = (recipe.tokens + recipe.held_out_tokens) / harvest / 3600
    training_hours = recipe.tokens * recipe.epochs / training / 3600
    needed = sum(memory.values())
    return {
        "model": recipe.model,
        "parallel": recipe.parallel,
        "machine": asdict(machine),
        "parameters": n_parameters,
        "memory_bytes_per_device": {**memory, "total": needed},
        "fits": needed <= machine.memory_gb * 1e9,
        "optimiser_state_bytes": 8 * n_parameters,
        "cache_bytes": cache,
        # Weights and both moments; the checkpoint before stays until the next is whole.
        "checkpoint_bytes": 2 * 12 * n_parameters,
        "seconds_per_token": parts,
        "limit_tokens_per_second": limit,
        "expected_fraction_of_limit": FRACTION,
        "training_tokens_per_second": training,
        "harvest_tokens_per_second": harvest,
        "harvest_hours": harvest_hours,
        "training_hours": training_hours,
        "hours": harvest_hours + training_hours,
    }
