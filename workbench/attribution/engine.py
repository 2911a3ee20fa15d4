"""From a prompt to its attribution graph."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.graph import KINDS, Graph
from workbench.attribution.local_model import ActiveFeatures, LocalModel, freeze
from workbench.attribution.scores import graph_scores
from workbench.attribution.sources import Columns
from workbench.attribution.sweep import SweepResult, sweep
from workbench.attribution.targets import LogitTargets, logit_targets
from workbench.clt import CLT
from workbench.errors import ModelError
from workbench.memory import require_memory
from workbench.models import LoadedModel, checked_tokens, token_strings, tokenize

DEFAULT_CAP = 8192
MAX_TOKENS = 512
# Beyond this the frozen model is not the model: an architecture whose residual stream has parts that
# attribution does not know (residual multipliers, gated attention).
_BROKEN = 1e-2


def attribute(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    *,
    targets: Sequence[str | int] | None = None,
    chat: bool = False,
    cap: int | None = DEFAULT_CAP,
    clt_name: str = "",
    progress: bool = True,
) -> Graph:
    """Return the attribution graph of a prompt's next token.

    Args:
        prompt: text, or token ids whose first is the start token.
        targets: tokens to explain (texts of one token each, or ids); by default the most probable ones.
        chat: put the prompt through the model's chat template.
        cap: the largest number of features in the graph. When more are active, those with the largest
            activation × decoder norm enter; what the rest write counts as error, so sums stay exact.

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
    features = _within_cap(local, cap)
    logits = logit_targets(local, tokens=targets)
    needed = _memory_needed(local, features, logits)
    require_memory(
        needed,
        f"Attribution of {len(tokens)} tokens with {len(features)} active features",
        "set a smaller cap or shorten the prompt",
    )
    result = sweep(local, features, logits, progress=progress)
    error = result.row_sum_error()
    if error > _BROKEN:
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
        probability=logits.probability.to(unbiased.dtype),
        row_sum_error=error,
    )
    strings = token_strings(model, tokens)
    bias_influence = _bias_influence(result, features, logits, total)
    return Graph(
        prompt=prompt if isinstance(prompt, str) else "".join(strings[1:]),
        tokens=tuple(strings),
        token_ids=tuple(tokens.tolist()),
        nodes=_nodes(model, columns, features, logits, strings, total, bias_influence),
        weights=result.weights,
        incoming=unbiased.abs().sum(dim=1),
        full_scores=scores,
        info={
            "model": model.name,
            "clt": clt_name or clt.config.model,
            "n_layers": model.n_layers,
            "active_features": len(local.features),
            "left_out_features": len(local.features) - len(features),
            "seconds": time.perf_counter() - start,
        },
    )


def _within_cap(local: LocalModel, cap: int | None) -> ActiveFeatures:
    features = local.features
    if cap is None or len(features) <= cap:
        return features
    norms = torch.stack([decoder.flatten(1).norm(dim=1) for decoder in local.clt.W_dec])
    size = features.activation * norms[features.layer, features.feature]
    return features.select(size.topk(cap).indices.sort().values)


def _memory_needed(local: LocalModel, features: ActiveFeatures, logits: LogitTargets) -> int:
    positions = torch.cat([features.position, logits.position])
    n_targets, d_model = len(positions), local.reads.shape[-1]
    sources = n_targets + local.n_layers * (2 * local.n_positions + 1) + local.n_positions
    gradient_rows = int((positions + 1).sum())
    # The matrix exists twice while it is sorted, and once more as shares.
    return local.reads.element_size() * (gradient_rows * d_model + 3 * n_targets * sources)


def _bias_influence(
    result: SweepResult, features: ActiveFeatures, logits: LogitTargets, total: Float[Tensor, " source"]
) -> Float[Tensor, " bias"]:
    start = result.columns.bias_start
    reach = torch.cat([total[: len(features)], logits.probability.to(total.dtype)])
    incoming = result.weights[:, :start].abs().sum(dim=1).clamp_min(1e-10)
    return (reach / incoming) @ result.weights[:, start:].abs()


def _nodes(
    model: LoadedModel,
    columns: Columns,
    features: ActiveFeatures,
    logits: LogitTargets,
    strings: list[str],
    total: Float[Tensor, " source"],
    bias_influence: Float[Tensor, " bias"],
) -> pd.DataFrame:
    n_positions, n_layers = columns.n_positions, columns.n_layers
    error_layer, error_position = np.divmod(np.arange(columns.n_errors), max(n_positions - 1, 1))
    error_position = error_position + 1
    biases, n_logits = columns.biases, len(logits)
    layer = np.concatenate(
        [features.layer, error_layer, np.zeros(n_positions), [b.layer for b in biases], np.full(n_logits, n_layers)]
    ).astype(np.int32)
    position = np.concatenate(
        [features.position, error_position, np.arange(n_positions), [b.position for b in biases], logits.position]
    ).astype(np.int32)
    triples = zip(features.layer.tolist(), features.feature.tolist(), features.position.tolist(), strict=True)
    ids = [f"f/{layer}/{feature}/{position}" for layer, feature, position in triples]
    ids += [f"e/{layer}/{position}" for layer, position in zip(error_layer, error_position, strict=True)]
    ids += [f"t/{position}" for position in range(n_positions)]
    ids += [f"b/{bias.layer}/{bias.site}/{bias.position}" for bias in biases]
    ids += [
        f"l/{token}/{position}"
        for token, position in zip(logits.token_id.tolist(), logits.position.tolist(), strict=True)
    ]
    sizes = (len(features), columns.n_errors, n_positions, len(biases), n_logits)
    token = [strings[at] for at in position[:-n_logits]] + token_strings(model, logits.token_id)
    blank = np.full(len(ids), np.nan, dtype=np.float32)
    activation, probability = blank.copy(), blank.copy()
    activation[: len(features)] = features.activation.float()
    probability[-n_logits:] = logits.probability.float()
    feature = np.full(len(ids), -1, dtype=np.int32)
    feature[: len(features)] = features.feature
    return pd.DataFrame(
        {
            "node_id": ids,
            "kind": pd.Categorical(np.repeat(KINDS, sizes), categories=KINDS),
            "layer": layer,
            "position": position,
            "feature": feature,
            "token": pd.Categorical(token),
            "activation": activation,
            "influence": np.concatenate([total.float(), bias_influence.float(), np.zeros(n_logits, np.float32)]),
            "label": "",
            "supernode": "",
            "probability": probability,
        }
    )
