"""What a graph explains: the logits of the most probable next tokens, or of given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.attribution.local_model import LocalModel
from workbench.errors import PromptError
from workbench.models import token_id

MASS = 0.95
MAX_LOGITS = 10


@dataclass(frozen=True)
class LogitTargets:
    """Logit nodes: each reads the final norm's output along (unembedding − mean unembedding).

    Attributes:
        constant: the unembedding bias of the token minus the mean one.
        value: the logit minus the mean logit, before a soft cap.
    """

    token_id: Int[Tensor, " target"]
    position: Int[Tensor, " target"]
    probability: Float[Tensor, " target"]
    direction: Float[Tensor, "target d_model"]
    constant: Float[Tensor, " target"]
    value: Float[Tensor, " target"]

    def __len__(self) -> int:
        return len(self.token_id)


def logit_targets(local: LocalModel, *, tokens: Sequence[str | int] | None = None, position: int = -1) -> LogitTargets:
    """Return the logit nodes of a position.

    Args:
        tokens: texts of one token each or token ids; by default the most probable tokens up to 95 % of
            the probability, at most ten (as in Circuit Tracing, "Attribution graphs").

    Raises:
        PromptError: a token is unknown, out of range, or named twice.
    """
    model = local.model
    position = position % local.n_positions
    probabilities = local.probabilities(position)
    if tokens is None:
        top = probabilities.topk(min(MAX_LOGITS, len(probabilities)))
        needed = int((top.values.cumsum(0) < MASS).sum()) + 1
        ids = top.indices[:needed]
    else:
        ids = torch.tensor([_resolve(local, token) for token in tokens], device=probabilities.device)
        if len(ids) == 0 or len(set(ids.tolist())) < len(ids):
            raise PromptError(f"The targets {list(tokens)!r} are empty or name a token twice: give distinct tokens.")
    b_U = model.bridge.b_U
    constant = b_U[ids] - b_U.mean()
    direction = model.W_U[:, ids].T - model.W_U_mean
    return LogitTargets(
        token_id=ids,
        position=torch.full_like(ids, position),
        probability=probabilities[ids],
        direction=direction,
        constant=constant,
        value=direction @ local.final[position] + constant,
    )


def _resolve(local: LocalModel, token: str | int) -> int:
    if isinstance(token, str):
        return token_id(local.model, token)
    if not 0 <= token < local.model.d_vocab:
        raise PromptError(
            f"The target token id {token} is out of range: {local.model.name!r} has ids 0 to {local.model.d_vocab - 1}."
        )
    return token
