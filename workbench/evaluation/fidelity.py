"""How close another run's next-token distribution is to the model's, without ever holding all logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ModelError
from workbench.models import LoadedModel, run_decoder

# One block of logits, 128 MB in float32: a vocabulary of 262,144 gets 128 positions at a time.
LOGITS_PER_BLOCK = 2**25


@dataclass(frozen=True)
class Fidelity:
    """The distance of a run from the model, over all predictions made at positions ≥ 1.

    Attributes:
        kl: mean KL(model ‖ run) of the next-token distributions, in nats.
        delta_ce: mean cross-entropy of the run on the text minus that of the model, in nats.
        top1_agreement: fraction of positions at which both have the same most probable token.
        ce: the run's own mean cross-entropy on the text, in nats.
    """

    kl: float
    delta_ce: float
    top1_agreement: float
    ce: float


@torch.no_grad()
def unembed(model: LoadedModel, final: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocabulary"]:
    """Return the model's own logits, soft cap included, at least in float32, from the final norm's output."""
    wrapped: Any = model.bridge.original_model
    logits: Tensor = wrapped.get_output_embeddings()(final)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    cap = getattr(wrapped.config.get_text_config(), "final_logit_softcapping", None)
    if cap:
        logits = logits.div_(cap).tanh_().mul_(cap)
    return logits


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

    kl = dict.fromkeys(runs, 0.0)
    agreement = dict.fromkeys(runs, 0)
    ce = dict.fromkeys(runs, 0.0)
    model_ce = 0.0
    for start in range(0, len(following), block):
        stop = start + block
        target = following[start:stop]
        scored = target >= 0
        own = unembed(model, predicted[start:stop])
        own_norm = own.logsumexp(-1)
        own_top = own.argmax(-1)
        own_chosen = _pick(own, target) - own_norm
        model_ce -= float(own_chosen[scored].double().sum())
        probabilities = own.sub(own_norm[:, None]).exp_()
        own_mean = (probabilities * own).sum(-1)
        for name, final in others.items():
            logits = unembed(model, final[start:stop])
            norm = logits.logsumexp(-1)
            # KL = Σ p (z − z′) − log Z + log Z′: one pass over the vocabulary and no second softmax.
            divergence = own_mean - torch.linalg.vecdot(probabilities, logits) - own_norm + norm
            kl[name] += float(divergence.double().sum())
            agreement[name] += int((logits.argmax(-1) == own_top).sum())
            ce[name] -= float((_pick(logits, target) - norm)[scored].double().sum())
        advance(len(target))

    n_positions = len(following)
    n_scored = max(1, int((following >= 0).sum()))
    return {
        name: Fidelity(
            # Rounding may leave a run that is the model itself a hair below zero.
            kl=max(0.0, kl[name] / n_positions),
            delta_ce=(ce[name] - model_ce) / n_scored,
            top1_agreement=agreement[name] / n_positions,
            ce=ce[name] / n_scored,
        )
        for name in runs
    }


def _pick(logits: Float[Tensor, "position vocabulary"], target: Int[Tensor, " position"]) -> Float[Tensor, " position"]:
    return logits.gather(-1, target.clamp(min=0)[:, None])[:, 0]
