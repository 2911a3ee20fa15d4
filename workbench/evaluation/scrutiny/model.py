"""What the model shows without any transcoder: the logit lens, ablated MLP outputs, patched residual streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.errors import ConfigError
from workbench.evaluation.validation.measure import clean_residuals
from workbench.interventions import CleanRun
from workbench.interventions.hooks import Hook
from workbench.models import token_strings


def answer_logit(logits: Float[Tensor, " vocab"], token_id: int) -> float:
    """Return a token's logit minus the mean logit, which is what a graph explains."""
    return float(logits[token_id] - logits.mean())


@torch.no_grad()
def logit_lens(clean: CleanRun, token_id: int) -> pd.DataFrame:
    """Return rank (0 is the most probable) and probability of a token, read off the residual stream behind each layer.

    Source: nostalgebraist, "interpreting GPT: the logit lens" (2020).
    """
    model = clean.model
    residuals = clean_residuals(clean)
    with model.lock:
        finals = model.bridge.ln_final(torch.stack([x[-1] for x in residuals.values()])[None])[0]
    log_probabilities = model.log_probabilities(model.logits(finals))
    own = log_probabilities[:, token_id]
    return pd.DataFrame(
        {
            "layer": list(residuals),
            "rank": (log_probabilities > own[:, None]).sum(dim=1).tolist(),
            "probability": own.exp().tolist(),
        }
    )


def held_from(lens: pd.DataFrame) -> int | None:
    """Return the first layer from which on the answer stays the most probable token; None where it never is."""
    wrong = lens.index[lens["rank"] > 0]
    first = int(wrong.max()) + 1 if len(wrong) else 0
    return int(lens["layer"].iloc[first]) if first < len(lens) else None


def sampled_cells(allowed: Bool[Tensor, "layer position"], n: int, *, seed: int) -> list[tuple[int, int]]:
    """Return up to n different (layer, position), drawn at random, in order."""
    cells = allowed.nonzero()
    order = torch.randperm(len(cells), generator=torch.Generator().manual_seed(seed))[:n]
    return [(int(layer), int(position)) for layer, position in cells[order.sort().values].tolist()]


@torch.no_grad()
def ablated_mlps(
    clean: CleanRun, cells: list[tuple[int, int]], token_id: int, advance: Callable[[], object] = lambda: None
) -> pd.DataFrame:
    """Replace one MLP output at a time by the mean of its layer over the prompt, nothing held.

    Returns:
        One row a cell: layer, position, token, effect (change of the token's logit minus the mean logit).
    """
    before = answer_logit(clean.logits, token_id)
    rows = []
    for layer, position in cells:
        mean = clean.writes[layer][1:].mean(dim=0)
        after = _with_write(clean, layer, position, mean - clean.writes[layer][position])
        rows.append((layer, position, clean.token_strings[position], answer_logit(after, token_id) - before))
        advance()
    return pd.DataFrame(rows, columns=["layer", "position", "token", "effect"])


def patchable(clean: CleanRun, corrupted: CleanRun) -> Bool[Tensor, "layer position"]:
    """Return where the residual streams of two prompts differ: from the first differing token on.

    Raises:
        ConfigError: the prompts are equal, of different lengths, or have the same answer.
    """
    if clean.n_positions != corrupted.n_positions:
        raise ConfigError(
            f"The corrupted prompt has {corrupted.n_positions} tokens, the graph's {clean.n_positions}: positions are "
            "patched one by one, so change words without changing the number of tokens."
        )
    differs = (clean.tokens != corrupted.tokens).nonzero().flatten()
    if not len(differs):
        raise ConfigError("The corrupted prompt is the graph's own: change the words that the answer depends on.")
    if int(clean.logits.argmax()) == int(corrupted.logits.argmax()):
        raise ConfigError(
            f"The model answers the corrupted prompt alike ({clean.model.name!r} says "
            f"{_token(clean)!r}): give one that it answers otherwise, or there is nothing to bring back."
        )
    allowed = torch.zeros(clean.model.n_layers, clean.n_positions, dtype=torch.bool)
    allowed[:, int(differs[0]) :] = True
    return allowed


@torch.no_grad()
def patched_residuals(
    clean: CleanRun,
    corrupted: CleanRun,
    cells: list[tuple[int, int]],
    token_id: int,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Put the clean residual stream behind one layer and position into the corrupted run, one cell at a time.

    Returns:
        One row a cell: layer, position, token, recovered (share of the difference between the clean and the corrupted
        run that comes back, in the logit of the token minus that of the corrupted run's answer).

    Source: Meng et al., "Locating and editing factual associations in GPT" (2022), section 2.
    """
    other = int(corrupted.logits.argmax())

    def metric(logits: Tensor) -> float:
        return float(logits[token_id] - logits[other])

    bad, whole = metric(corrupted.logits), metric(clean.logits) - metric(corrupted.logits)
    residuals = [clean_residuals(run) for run in (clean, corrupted)]
    rows = []
    for layer, position in cells:
        change = residuals[0][layer][position] - residuals[1][layer][position]
        after = _with_write(corrupted, layer, position, change)
        rows.append((layer, position, clean.token_strings[position], (metric(after) - bad) / whole))
        advance()
    return pd.DataFrame(rows, columns=["layer", "position", "token", "recovered"])


def _with_write(
    clean: CleanRun, layer: int, position: int, change: Float[Tensor, " d_model"]
) -> Float[Tensor, " vocab"]:
    """Return the last logits when something is added where the MLP of a layer adds to the residual stream."""
    start = clean.first_run(position)

    def add(y: Tensor, hook: Any) -> Tensor:
        y = y.clone()
        y[0, position - start] += change.to(y)
        return y

    hooks: list[Hook] = [(clean.clt.config.write_hook.format(layer=layer), add)]
    return clean.model.logits(clean.run_from(layer, hooks, position=start)[-1])


def _token(clean: CleanRun) -> str:
    return token_strings(clean.model, clean.logits.argmax()[None])[0]
