"""Times a rival's trainer where it is installed; `foreign.py`, a folder above, says how a runner is run.

A case holds ``rival``, ``batch`` (a safetensors file with ``reads`` and ``writes``, normalised: layer × token ×
d_model), ``n_features`` a layer and ``k`` active a token and layer. Every line holds a number of seconds and asks for
training of about that time. Each step is what the rival's own training loop does with a batch, without logging,
evaluation and what keeps account of dead features.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

LR = 1e-3

Turn = Callable[[str], dict[str, Any]]


def begin(case: dict[str, Any], peak_memory_mb: Callable[[], float]) -> tuple[dict[str, Any], Turn]:
    """Make the rival's transcoder; return version, threads and parameters, and what trains it."""
    import torch
    from safetensors.torch import load_file

    torch.manual_seed(0)
    batch = load_file(case["batch"])
    makers = {"decode-clt": decode_clt, "eai-sparsify": eai_sparsify, "llamascopium": llamascopium}
    step, n_parameters = makers[case["rival"]](batch["reads"], batch["writes"], case["n_features"], case["k"])
    # The first step makes the optimiser's state.
    step()

    def turn(line: str) -> dict[str, Any]:
        losses: list[float] = []
        start = time.perf_counter()
        while not losses or time.perf_counter() - start < float(line):
            losses.append(step())
        seconds = time.perf_counter() - start
        return {
            "tokens": len(losses) * batch["reads"].shape[1],
            "steps": len(losses),
            "seconds": seconds,
            "losses": losses,
            "peak_memory_mb": peak_memory_mb(),
        }

    return {"version": version(case["rival"]), "threads": torch.get_num_threads(), "parameters": n_parameters}, turn


Made = tuple[Callable[[], float], int]


def decode_clt(reads: Any, writes: Any, n_features: int, k: int) -> Made:
    """Return decode-clt's step (``CLTTrainer.train``): a full CLT, AdamW, top-k over all layers of a token together.

    It has no top-k a layer (0.0.1 warns and keeps every positive activation), so as many features a token are active
    here as elsewhere.
    """
    import torch
    from clt.config import CLTConfig, TrainingConfig  # type: ignore[import-not-found]
    from clt.models.clt import CrossLayerTranscoder  # type: ignore[import-not-found]
    from clt.training.losses import LossManager  # type: ignore[import-not-found]

    n_layers, _, d_model = reads.shape
    config = CLTConfig(
        num_features=n_features,
        num_layers=n_layers,
        d_model=d_model,
        activation_fn="topk",
        topk_k=k * n_layers,
        topk_mode="global",
    )
    # Reconstruction alone, which is what top-k is trained with.
    training = TrainingConfig(
        learning_rate=LR,
        training_steps=10**6,
        activation_path="none",
        normalization_method="none",
        sparsity_lambda=0.0,
        preactivation_coef=0.0,
    )
    model = CrossLayerTranscoder(config, None, device=torch.device("cpu"))
    losses = LossManager(training, clt_config=config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR)
    inputs, targets = dict(enumerate(reads)), dict(enumerate(writes))

    def step() -> float:
        optimiser.zero_grad()
        activations = model.get_feature_activations(inputs)
        loss, parts = losses.compute_total_loss(
            model, inputs, targets, 0, training.training_steps, precomputed_activations=activations
        )
        loss.backward()
        optimiser.step()
        return float(parts["total"])

    return step, _count(model)


def eai_sparsify(reads: Any, writes: Any, n_features: int, k: int) -> Made:
    """Return eai-sparsify's step (``Trainer.fit`` with Adam): a transcoder a layer, top-k."""
    import torch
    from sparsify import SparseCoder, SparseCoderConfig  # type: ignore[import-not-found]

    n_layers, _, d_model = reads.shape
    config = SparseCoderConfig(num_latents=n_features, k=k, transcode=True, normalize_decoder=False)
    coders = torch.nn.ModuleList([SparseCoder(d_model, config) for _ in range(n_layers)])
    optimiser = torch.optim.Adam(coders.parameters(), lr=LR)

    def step() -> float:
        total = 0.0
        for coder, x, y in zip(coders, reads, writes, strict=True):
            fvu = coder(x, y).fvu
            fvu.backward()
            total += float(fvu.detach())
        optimiser.step()
        optimiser.zero_grad()
        return float(total / n_layers)

    return step, _count(coders)


def llamascopium(reads: Any, writes: Any, n_features: int, k: int) -> Made:
    """Return Llamascopium's step (``Trainer.fit``): a full CLT, top-k a layer, Adam."""
    import torch
    from llamascopium import CLTConfig, CrossLayerTranscoder  # type: ignore[import-not-found]

    n_layers, _, d_model = reads.shape
    names = {"in": [f"in.{layer}" for layer in range(n_layers)], "out": [f"out.{layer}" for layer in range(n_layers)]}
    config = CLTConfig(
        d_model=d_model,
        # It takes the integer part of the product.
        expansion_factor=(n_features + 0.5) / d_model,
        act_fn="topk",
        top_k=k,
        norm_activation="inference",
        sparsity_include_decoder_norm=False,
        hook_points_in=names["in"],
        hook_points_out=names["out"],
        device="cpu",
        dtype=torch.float32,
    )
    model = CrossLayerTranscoder(config)
    model.init_parameters()
    optimiser = torch.optim.Adam(model.parameters(), lr=LR)
    batch = dict(zip(names["in"], reads, strict=True)) | dict(zip(names["out"], writes, strict=True))

    def step() -> float:
        optimiser.zero_grad()
        loss = model.compute_loss(batch, return_aux_data=False)
        loss.backward()
        optimiser.step()
        return float(loss.detach())

    return step, _count(model)


def _count(module: Any) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
