"""What the sliders show of a run: the next token's probabilities, the matched control's, the features that changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd
from jaxtyping import Float

from workbench.errors import InterventionError
from workbench.interventions import Edit
from workbench.widgets.sliders_asked import Asked, as_python
from workbench.widgets.sliders_rows import text

TOKEN_COLUMNS = ("token", "token_id", "before", "after")
FEATURE_COLUMNS = ("node_id", "layer", "feature", "position", "token", "before", "after", "change")
# So many of the features that changed most travel to the widget; Python has them all.
_SHOWN_FEATURES = 40


class HasTokens(Protocol):
    """What a run returns: an :class:`workbench.interventions.Intervention`, or what has such a table.

    ``tokens`` has the columns token, token_id, before and after (probabilities). A float ``kl``, the divergence in
    nats, is shown where there is one; ``probabilities`` (of the whole vocabulary) are needed for a control and a
    curve, and ``features`` for the table of what changed downstream.
    """

    @property
    def tokens(self) -> pd.DataFrame: ...


Run: TypeAlias = Callable[[list[Edit], str], HasTokens]
# The edits, and a seed: the same edits on other features.
Control: TypeAlias = Callable[[list[Edit], int], Sequence[Edit]]


def shown_result(asked: Asked, outcome: HasTokens, control: Mapping[str, Any] | None, *, k: int) -> dict[str, Any]:
    """Return what the widget shows of a run.

    Args:
        control: what :func:`control_result` returned, or None.
        k: how many of the clean run's most probable tokens are shown.

    Raises:
        InterventionError: a probability is not finite.
    """
    bars = shown_tokens(outcome.tokens, k)
    return {
        "tokens": bars,
        "kl": divergence(outcome),
        "control": control,
        "code": as_python(asked, k=k),
        **asked.wire(),
    }


def control_result(asked: Asked, tokens: Sequence[int], run: Run, control: Control, seed: int) -> dict[str, Any]:
    """Return what the same edits on other features do to some tokens.

    Returns:
        ``ids`` of the nodes that were edited instead, ``after`` (a probability for each token) and ``kl``; or
        ``error`` where there is no such control.
    """
    edits = asked.edits
    try:
        instead = list(control(edits, seed)) if edits else []
        outcome = run(instead, asked.mode)
    except InterventionError as error:
        return {"error": text(str(error))}
    after = probabilities(outcome)[list(tokens)]
    return {"ids": [edit.node_id for edit in instead], "after": after.tolist(), "kl": divergence(outcome)}


def shown_tokens(tokens: pd.DataFrame, k: int) -> list[dict[str, Any]]:
    """Return the k tokens that were most probable before, then those of the k // 2 most probable after that are new.

    Raises:
        InterventionError: a probability is not finite.
    """
    if not np.isfinite(tokens[["before", "after"]].to_numpy(np.float64)).all():
        raise InterventionError("The edited model's probabilities are not finite: move the sliders closer to 1.")
    by_before = tokens.sort_values("before", ascending=False, kind="stable")
    shown = by_before.head(k)
    leading = tokens.nlargest(k // 2, "after")
    newcomers = by_before[by_before["token_id"].isin(leading["token_id"]) & ~by_before.index.isin(shown.index)]
    rows = pd.concat([shown, newcomers])
    columns = [rows[column].tolist() for column in TOKEN_COLUMNS]
    return [
        {"token": text(token), "id": token_id, "before": before, "after": after}
        for token, token_id, before, after in zip(*columns, strict=True)
    ]


def shown_features(table: pd.DataFrame, asked: Asked, labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the features that changed most, as the widget lists them, and how many changed at all."""
    changed = table[table["change"] != 0]
    edited = {node for change in asked.changes for node in change.nodes}
    rows = [
        {
            "id": row["node_id"],
            "layer": int(row["layer"]),
            "feature": int(row["feature"]),
            "position": int(row["position"]),
            "token": text(row["token"]),
            "label": labels.get(row["node_id"], ""),
            "before": float(row["before"]),
            "after": float(row["after"]),
            "edited": row["node_id"] in edited,
        }
        for row in changed.head(_SHOWN_FEATURES).to_dict("records")
    ]
    return {"rows": rows, "n_changed": len(changed), **asked.wire()}


def divergence(outcome: HasTokens) -> float | None:
    """Return KL(clean ‖ edited) in nats; None where there is none or it is not finite."""
    kl = getattr(outcome, "kl", None)
    return None if kl is None or not math.isfinite(kl) else float(kl)


def probabilities(outcome: HasTokens) -> Float[np.ndarray, " vocab"]:
    """Return the next token's probabilities in the edited run.

    Raises:
        InterventionError: one is not finite.
    """
    found: Any = outcome.probabilities  # type: ignore[attr-defined]
    values = np.asarray(found.float().cpu() if hasattr(found, "cpu") else found, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InterventionError("The edited model's probabilities are not finite: move the sliders closer to 1.")
    return values
