"""How close another run's next-token distribution is to the model's, without ever holding all logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ModelError
from workbench.models import LoadedModel, run_decoder, unembed

# One block of logits, 128 MB in float32: a vocabulary of 262,144 gets 128 positions at a time.
LOGITS_PER_BLOCK = 2**25


@dataclass(frozen=True)
class Fidelity:
    """The distance of a run from the model, over all predictions made at positions ≥ 1, by row of text.

    Rows are equally long, so the mean over rows is the mean over predictions.

    Attributes:
        kl: mean KL(model ‖ run) of the next-token distributions, in nats.
        delta_ce: mean cross-entropy of the run on the text minus that of the model, in nats.
        top1_agreement: fraction of positions at which both have the same most probable token.
        ce: the run's own mean cross-entropy on the text, in nats.
    """

    kl: Float[Tensor, " row"]
    delta_ce: Float[Tensor, " row"]
    top1_agreement: Float[Tensor, " row"]
    ce: Float[Tensor, " row"]


@torch.no_grad()
def check_unembedding(model: LoadedModel, tokens: Int[Tensor, "batch position"]) -> None:
    """Check that :func:`unembed` is all that stands between the final norm and this model's logits.

    Raises:
        ModelError: the model does something else there (a logit scale, for instance).
    """
    expected: Tensor = model.bridge.original_model(input_ids=tokens.to(model.device), use_cache=False).logits
    difference = float((unembed(model, run_decoder(model, tokens, [])) - expected).abs().max())
    # Loose enough for the rounding of bfloat16 models, tight against a missed scale or cap.
    if difference > 2e-2 * float(expected.abs().max()):
        raise ModelError(
            f"The logits of {model.name!r} are not its unembedding of the final norm (off by {difference:.2g}): "
            "its replacement model cannot be evaluated; choose another model."
        )


@torch.no_grad()
def compare_runs(
    model: LoadedModel,
    tokens: Int[Tensor, "row position"],
    reference: Float[Tensor, "row position d_model"],
    runs: Mapping[str, Float[Tensor, "row position d_model"]],
    *,
    advance: Callable[[int], object] = lambda n: None,
) -> dict[str, Fidelity]:
    """Compare runs with the model by what the unembedding makes of their final norms' outputs.

    Predictions at position 0 are left out: the start token's residual stream is the model's own in
    every run. Cross-entropies leave out each row's last position too, whose next token is unknown.
    Logits are held for one block of positions at a time.

    Args:
        reference: the model's own final-norm outputs.
        runs: the others', by name.
        advance: called with the number of positions done after each block, for a progress bar.

    Source: Ameisen et al., "Circuit Tracing" (2025), "Evaluating the replacement model".
    """
    tokens = tokens.to(reference.device)
    predicted = reference[:, 1:].flatten(0, 1)
    others = {name: run[:, 1:].flatten(0, 1) for name, run in runs.items()}
    # −1 marks the last position of a row, which has no next token to be scored on.
    following = torch.nn.functional.pad(tokens[:, 2:], (0, 1), value=-1).flatten()
    block = max(1, LOGITS_PER_BLOCK // model.d_vocab)

    n_rows, n_positions = tokens[:, 1:].shape
    row_of = torch.arange(n_rows).repeat_interleave(n_positions)
    kl, agreement, ce = ({name: torch.zeros(n_rows, dtype=torch.float64) for name in runs} for _ in range(3))
    model_ce = torch.zeros(n_rows, dtype=torch.float64)
    for start in range(0, len(following), block):
        stop = start + block
        target, row = following[start:stop], row_of[start:stop]
        scored = (target >= 0).cpu()
        own = unembed(model, predicted[start:stop])
        own_norm = own.logsumexp(-1)
        own_top = own.argmax(-1)
        _add(model_ce, row[scored], (own_norm - _pick(own, target)).cpu()[scored])
        probabilities = own.sub(own_norm[:, None]).exp_()
        own_mean = (probabilities * own).sum(-1)
        for name, final in others.items():
            logits = unembed(model, final[start:stop])
            norm = logits.logsumexp(-1)
            # KL = Σ p (z − z′) − log Z + log Z′: one pass over the vocabulary and no second softmax.
            _add(kl[name], row, own_mean - torch.linalg.vecdot(probabilities, logits) - own_norm + norm)
            _add(agreement[name], row, logits.argmax(-1) == own_top)
            _add(ce[name], row[scored], (norm - _pick(logits, target)).cpu()[scored])
        advance(len(target))

    # The last position of a row predicts a token that is not there.
    n_scored = max(1, n_positions - 1)
    return {
        name: Fidelity(
            # Rounding may leave a run that is the model itself a hair below zero.
            kl=(kl[name] / n_positions).clamp(min=0),
            delta_ce=(ce[name] - model_ce) / n_scored,
            top1_agreement=agreement[name] / n_positions,
            ce=ce[name] / n_scored,
        )
        for name in runs
    }


def _add(total: Float[Tensor, " row"], row: Int[Tensor, " position"], values: Tensor) -> None:
    total.index_add_(0, row, values.double().cpu())


def _pick(logits: Float[Tensor, "position vocabulary"], target: Int[Tensor, " position"]) -> Float[Tensor, " position"]:
    return logits.gather(-1, target.clamp(min=0)[:, None])[:, 0]
