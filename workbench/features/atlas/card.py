"""The card of a feature: everything that an atlas knows of it, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Card:
    """What is known of one feature.

    Activations are those of the CLT, after its JumpReLU; position 0 (the start token) never counts.

    Attributes:
        label_source: ``"rule"``, ``"callable"`` or ``"human"``.
        label_score: balanced accuracy of the label's rule on held-out text, ½ is chance; None where it has none.
        label_precision: share of the held-out tokens that the rule names at which the feature fires.
        label_recall: share of the held-out tokens where the feature fires that the rule names.
        label_control: score that the rule of another feature of the same layer gets on this one.
        label_reason: why there is no score.
        kind: ``"input-like"`` (what it fires on tells), ``"output-like"`` (what comes next tells), ``"abstract"``
            (neither does) or ``"silent"`` (it never fired).
        density: share of the tokens at which it fires.
        histogram: ``edges`` and ``counts`` of its activations above zero.
        quantiles: of its activations above zero, by level.
        examples: by strength: ``group`` is ``"top"`` or a range of quantiles such as ``"0.75–1"``.
        top_logits: tokens whose logits it raises most, per unit of activation, directly; ``bottom_logits`` lowers most.
        top_tokens: tokens on which it fires, by summed activation; ``share`` is that of all occurrences of the token.
        positions: ``edges`` and ``counts`` of where it fires, ``n_tokens`` of how many tokens there were.
        upstream: features of lower layers that act on it most, by TWERA; ``downstream`` what it acts on.
        complete: False for a card of a compact atlas, which has neither histogram nor connected features.
    """

    model: str
    clt: str
    layer: int
    feature: int
    label: str
    label_source: str
    label_score: float | None
    label_precision: float | None
    label_recall: float | None
    label_control: float | None
    label_reason: str
    kind: str
    family: str
    density: float
    n_active: int
    n_tokens: int
    max_activation: float
    histogram: dict[str, list[float]]
    quantiles: dict[str, float]
    examples: list[dict[str, Any]]
    top_logits: list[dict[str, Any]]
    bottom_logits: list[dict[str, Any]]
    top_tokens: list[dict[str, Any]]
    positions: dict[str, list[int]]
    upstream: list[dict[str, Any]]
    downstream: list[dict[str, Any]]
    complete: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the card as a dictionary, ready for JSON."""
        return asdict(self)
