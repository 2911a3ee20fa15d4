"""From a prompt to its attribution graph."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.cap import within_cap
from workbench.attribution.graph import KINDS, Graph
from workbench.attribution.local_model import ActiveFeatures, LocalModel, freeze
from workbench.attribution.scores import graph_scores
from workbench.attribution.sources import Columns
from workbench.attribution.sweep import SweepResult, sweep
from workbench.attribution.targets import Outputs, Target, outputs_of
from workbench.clt import CLT
from workbench.errors import ModelError
from workbench.memory import require_memory
from workbench.models import LoadedModel, checked_tokens, token_strings, tokenize

DEFAULT_CAP = 4096
MAX_TOKENS = 512
# Beyond this the frozen model is not the model: an architecture whose residual stream has parts that
# attribution does not know (residual multipliers, gated attention).
_BROKEN = 1e-2
_BROKEN_ROUNDED = 1e-1


def attribute(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    *,
    targets: Sequence[Target] | None = None,
    chat: bool = False,
    cap: int | None = DEFAULT_CAP,
    precision: torch.dtype = torch.float32,
    clt_name: str = "",
    progress: bool = True,
) -> Graph:
    """Return the attribution graph of a prompt's next token.

    Args:
        prompt: text, or token ids whose first is the start token.
        targets: what to explain: tokens (texts of one token each, or ids), or any of
            :mod:`workbench.attribution.targets`; by default the most probable tokens. Features that can reach no
            target (in layers above or at positions after all of them) are no part of the graph.
        chat: put the prompt through the model's chat template.
        cap: the largest number of features in the graph. When more are active, those of the largest estimated
            influence enter (:mod:`workbench.attribution.cap`); what the rest write counts as error, so sums stay
            exact. ``info["left_out_influence"]`` estimates which share of all features' influence they have.
        precision: ``torch.bfloat16`` rounds the factors of the large matrix products, which is faster where the
            processor multiplies such numbers; ``graph.scores().row_sum_error`` then tells how far weights are off
            (1.3e-3 on the demo of SmolLM2, where no weight changed by more than 0.2 % of the largest).

    Raises:
        PromptError: the prompt is empty or too long, or a target cannot be used.
        ResourceError: memory will not suffice.
        CLTError: the CLT does not fit the model.
        ModelError: the architecture has residual paths that attribution does not know.
    """
    start = time.perf_counter()
    if isinstance(prompt, str):
        tokens = tokenize(model, prompt, chat=chat, max_tokens=MAX_TOKENS)
    else:
        tokens = checked_tokens(model, prompt, max_tokens=MAX_TOKENS)
    local = freeze(model, clt, tokens)
    outputs = outputs_of(local, targets)
    reachable = _reaching(local.features, outputs)
    n_features = len(reachable) if cap is None else min(cap, len(reachable))
    require_memory(
        _memory_needed(local, reachable, outputs, n_features),
        f"Attribution of {len(tokens)} tokens with {n_features} active features",
        "set a smaller cap or shorten the prompt",
    )
    features, left_out_influence, estimating = within_cap(local, reachable, outputs, cap)
    before_sweep = time.perf_counter()
    result = sweep(local, features, outputs, precision=precision, progress=progress)
    sweep_seconds = time.perf_counter() - before_sweep
    error = result.row_sum_error()
    if error > (_BROKEN if precision == torch.float32 else _BROKEN_ROUNDED):
        raise ModelError(
            f"The frozen model misses {error:.1%} of a target's input in {model.name!r}: "
            "this architecture has residual paths that attribution does not support."
        )
    columns = result.columns
    unbiased = result.weights[:, : columns.bias_start]
    index = torch.arange(columns.bias_start)
    is_error = (index >= columns.n_features) & (index < columns.tokens.start)
    scores, total = graph_scores(
        unbiased,
        is_error=is_error,
        is_token=index >= columns.tokens.start,
        feature_layer=features.layer,
        probability=outputs.weight.to(unbiased),
        row_sum_error=error,
    )
    strings = token_strings(model, tokens)
    bias_influence = _bias_influence(result, features, outputs, total)
    return Graph(
        prompt=prompt if isinstance(prompt, str) else "".join(strings[1:]),
        tokens=tuple(strings),
        token_ids=tuple(tokens.tolist()),
        nodes=_nodes(columns, features, outputs, strings, total, bias_influence),
        weights=result.weights.cpu(),
        incoming=unbiased.abs().sum(dim=1).cpu(),
        full_scores=scores,
        info={
            "model": model.name,
            "fingerprint": model.fingerprint,
            "clt": clt_name or clt.config.model,
            "n_layers": model.n_layers,
            # What was asked for, as far as it was not the default: with it the graph can be made anew.
            "cap": cap,
            "targets": None if targets is None else [output.node_id for output in outputs.nodes],
            "active_features": len(local.features),
            "left_out_features": len(reachable) - len(features),
            "left_out_influence": left_out_influence,
            "precision": str(precision).removeprefix("torch."),
            "operations": result.operations + estimating,
            "sweep_seconds": sweep_seconds,
            "seconds": time.perf_counter() - start,
        },
    )


def _reaching(features: ActiveFeatures, outputs: Outputs) -> ActiveFeatures:
    """Return the features that have a path to an output."""
    reaches = torch.zeros_like(features.layer, dtype=torch.bool)
    for output in outputs.nodes:
        reaches |= (features.layer < output.layer) & (features.position <= output.position)
    return features if bool(reaches.all()) else features.select(reaches)


def _memory_needed(local: LocalModel, reachable: ActiveFeatures, outputs: Outputs, n_features: int) -> int:
    # Of a capped graph's features only the number is known yet: they are taken to stand where all of them stand.
    share = n_features / max(len(reachable), 1)
    gradient_rows = int(share * int((reachable.position + 1).sum()) + int((outputs.position + 1).sum()))
    n_targets = n_features + len(outputs)
    sources = n_targets + local.n_layers * (2 * local.n_positions + 1) + local.n_positions
    # The matrix exists twice while it is sorted, and once more as shares.
    return local.reads.element_size() * (gradient_rows * local.reads.shape[-1] + 3 * n_targets * sources)


def _bias_influence(
    result: SweepResult, features: ActiveFeatures, outputs: Outputs, total: Float[Tensor, " source"]
) -> Float[Tensor, " bias"]:
    start = result.columns.bias_start
    reach = torch.cat([total[: len(features)], outputs.weight.to(total)])
    incoming = result.weights[:, :start].abs().sum(dim=1).clamp_min(1e-10)
    return (reach / incoming) @ result.weights[:, start:].abs()


def _nodes(
    columns: Columns,
    features: ActiveFeatures,
    outputs: Outputs,
    strings: list[str],
    total: Float[Tensor, " source"],
    bias_influence: Float[Tensor, " bias"],
) -> pd.DataFrame:
    n_positions = columns.n_positions
    error_layer, error_position = np.divmod(np.arange(columns.n_errors), max(n_positions - 1, 1))
    error_position = error_position + 1
    biases, n_outputs = columns.biases, len(outputs)
    feature_layer, feature_position = features.layer.numpy(force=True), features.position.numpy(force=True)
    layer = np.concatenate(
        [
            feature_layer,
            error_layer,
            np.zeros(n_positions),
            [bias.layer for bias in biases],
            [node.layer for node in outputs.nodes],
        ]
    ).astype(np.int32)
    position = np.concatenate(
        [
            feature_position,
            error_position,
            np.arange(n_positions),
            [bias.position for bias in biases],
            [node.position for node in outputs.nodes],
        ]
    ).astype(np.int32)
    triples = zip(feature_layer.tolist(), features.feature.tolist(), feature_position.tolist(), strict=True)
    ids = [f"f/{layer}/{feature}/{position}" for layer, feature, position in triples]
    ids += [f"e/{layer}/{position}" for layer, position in zip(error_layer, error_position, strict=True)]
    ids += [f"t/{position}" for position in range(n_positions)]
    ids += [f"b/{bias.layer}/{bias.site}/{bias.position}" for bias in biases]
    ids += [node.node_id for node in outputs.nodes]
    sizes = (len(features), columns.n_errors, n_positions, len(biases), n_outputs)
    token = [strings[at] for at in position[:-n_outputs]] + [node.text for node in outputs.nodes]
    blank = np.full(len(ids), np.nan, dtype=np.float32)
    activation, probability = blank.copy(), blank.copy()
    activation[: len(features)] = features.activation.float().numpy(force=True)
    probability[-n_outputs:] = [np.nan if node.probability is None else node.probability for node in outputs.nodes]
    feature = np.full(len(ids), -1, dtype=np.int32)
    feature[: len(features)] = features.feature.numpy(force=True)
    influence = torch.cat([total, bias_influence]).float().numpy(force=True)
    return pd.DataFrame(
        {
            "node_id": ids,
            "kind": pd.Categorical(np.repeat(KINDS, sizes), categories=KINDS),
            "layer": layer,
            "position": position,
            "feature": feature,
            "token": pd.Categorical(token),
            "activation": activation,
            "influence": np.concatenate([influence, np.zeros(n_outputs, np.float32)]),
            "label": "",
            "supernode": "",
            "probability": probability,
        }
    )
