"""Cards and grids for the widgets' tests, measured on a model; kernels import this module too."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.features import promoted_tokens
from workbench.models import token_strings, tokenize
from workbench.models.capture import capture
from workbench.session import Session


def measured(bench: Session, layer: int, feature: int, text: str) -> dict[str, Any]:
    """Return the tokens of a text and the feature's activation at each; the start token's does not count."""
    token_ids = tokenize(bench.loaded, text)
    hook = bench.clt.config.read_hook.format(layer=layer)
    x = capture(bench.loaded, token_ids[None], [hook])[hook][0].to(bench.clt.W_enc.dtype)
    activations = bench.clt.encode(layer, x)[:, feature]
    activations[0] = 0
    return {
        "tokens": token_strings(bench.loaded, token_ids),
        "activations": activations.tolist(),
    }


def measured_card(bench: Session, layer: int, feature: int, texts: Sequence[str]) -> dict[str, Any]:
    """Return the card of a feature, as the atlas would make it of these texts."""
    import torch

    rows = [measured(bench, layer, feature, text) for text in texts]
    values = np.concatenate([row["activations"][1:] for row in rows])
    active = values[values > 0]
    counts, edges = np.histogram(active, bins=24) if len(active) else (np.array([]), np.array([]))
    places = np.concatenate([np.flatnonzero(row["activations"]) for row in rows])
    longest = max(len(row["tokens"]) for row in rows)
    at, place_edges = np.histogram(places, bins=min(20, longest), range=(0, longest))
    on: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for token, activation in zip(row["tokens"], row["activations"], strict=True):
            if activation > 0:
                on[token].append(activation)
    ranked = sorted(rows, key=lambda row: -max(row["activations"]))
    fired = [row for row in ranked if max(row["activations"]) > 0]
    groups = {"top": fired[:8], "0.5–0.75": fired[len(fired) // 3 :][:3], "0–0.25": fired[-3:]}
    one = (torch.tensor([layer]), torch.tensor([feature]))
    promoted = promoted_tokens(bench.loaded, bench.clt, *one, k=6)[0]
    return {
        "model": bench.loaded.name,
        "clt": bench.clt_name,
        "layer": layer,
        "feature": feature,
        "label": "fires on " + ", ".join(repr(token) for token, _ in Counter(_sizes(on)).most_common(2)) if on else "",
        "label_source": "rule",
        "label_score": 0.74,
        "kind": "input-like" if len(active) else "silent",
        "family": "token" if len(active) else "",
        "density": len(active) / len(values),
        "n_active": len(active),
        "n_tokens": len(values),
        "max_activation": float(values.max()),
        "histogram": {"edges": edges, "counts": counts},
        "quantiles": {str(q): float(np.quantile(active, q)) for q in (0.5, 0.95, 0.99)} if len(active) else {},
        "examples": [
            {
                "group": group,
                **row,
                "peak": int(np.argmax(row["activations"])),
                "activation": max(row["activations"]),
            }
            for group, members in groups.items()
            for row in members
        ],
        "top_logits": [{"token_id": 0, "token": token, "value": 1.5 - 0.2 * i} for i, token in enumerate(promoted)],
        "bottom_logits": [],
        "top_tokens": [
            {"token_id": 0, "token": token, "count": count, "mean_activation": float(np.mean(on[token]))}
            for token, count in Counter(_sizes(on)).most_common(6)
        ],
        "positions": {"edges": place_edges, "counts": at},
        "upstream": [],
        "downstream": [],
    }


def _sizes(on: dict[str, list[float]]) -> dict[str, int]:
    return {token: len(activations) for token, activations in on.items()}


@dataclass(frozen=True)
class Grids:
    """Grids of the families of the addition study, made from what defines each family."""

    template: str = "{a} + {b} = "
    role: str = "b_last"
    n: int = 20

    @property
    def a(self) -> tuple[int, ...]:
        return tuple(range(self.n))

    @property
    def b(self) -> tuple[int, ...]:
        return tuple(range(self.n))

    def families(self) -> pd.DataFrame:
        rows = [
            (2, 17, "operand ends in d", 0.93, "b", np.nan, np.nan, "6"),
            (5, 40, "sum near x", 0.71, "", 18.0, np.nan, ""),
            (5, 3, "sum ends in d", 0.98, "", np.nan, np.nan, "5"),
            (9, 11, "exact pair", 0.88, "", 6.0, 9.0, ""),
            (14, 7, "sum ends in d", 0.64, "", np.nan, np.nan, "0"),
            (20, 250, "other", 0.12, "", np.nan, np.nan, ""),
        ]
        columns = ["layer", "feature", "family", "score", "operand", "x", "y", "digits"]
        return pd.DataFrame(rows, columns=columns)

    @property
    def features(self) -> tuple[tuple[int, int], ...]:
        table = self.families()
        return tuple(zip(table["layer"].tolist(), table["feature"].tolist(), strict=True))

    @property
    def values(self) -> np.ndarray:
        a, b = np.meshgrid(self.a, self.b, indexing="ij")
        noise = np.random.default_rng(0).random((6, self.n, self.n))
        grids = [
            4.0 * (b % 10 == 6),
            9.0 * np.exp(-(((a + b - 18) / 4) ** 2)),
            6.5 * ((a + b) % 10 == 5),
            3.0 * ((a == 6) & (b == 9)),
            2.0 * ((a + b) % 10 == 0) * (0.5 + 0.5 * noise[4]),
            1.5 * noise[5] * (noise[5] > 0.9),
        ]
        return np.stack(grids).astype(np.float32)
