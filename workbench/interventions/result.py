"""What an intervention did: logits, token probabilities, and the features that changed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.interventions.clean import CleanRun
from workbench.models import token_strings

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.interventions.edits import Edit
    from workbench.interventions.plan import Change, Plan
    from workbench.interventions.run import Mode

# Positions whose next-token distributions are computed at a time: 64 MB for a vocabulary of 262,144.
_TOGETHER = 64


class Logits(NamedTuple):
    """The logits at the last position, before a soft cap, in the clean and in the edited run."""

    before: Float[Tensor, " vocab"]
    after: Float[Tensor, " vocab"]


@dataclass(frozen=True, eq=False, repr=False)
class Intervention:
    """What a set of edits does to the next token and to the features downstream.

    Nothing but the last position's logits is computed at once; probabilities, the tables and the divergence
    follow when they are asked for, so that a slider pays only for what it shows.

    Attributes:
        clean: the prompt's clean run; ``clean.intervene(…)`` tries other edits on it.
        plan: the edits, checked against the prompt.
        changes: of every edited feature its activations before and after.
        mode: ``"direct"``, ``"constrained"`` or ``"propagated"``; see :func:`workbench.interventions.intervene`.
        until: the last layer held in the mode ``"constrained"``.
        freeze_attention: whether attention patterns were held in another mode than ``"direct"``.
        logits_after: the logits of the edited run at the last position, before a soft cap.
        final_after: the final norm's output of the edited run.
        reads_after: what the CLT reads at each layer of the edited run.
        first_layer: the lowest layer where the edits write; the number of layers if they change nothing.
        k: how many tokens of each run enter :attr:`tokens`.
    """

    clean: CleanRun
    plan: Plan
    changes: tuple[Change, ...]
    mode: Mode
    until: int | None
    freeze_attention: bool
    logits_after: Float[Tensor, " vocab"]
    final_after: Float[Tensor, "position d_model"]
    reads_after: tuple[Float[Tensor, "position d_model"], ...]
    first_layer: int
    k: int = 10

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits in their order, their positions counted from 0."""
        return self.plan.edits

    @property
    def logits(self) -> Logits:
        """The logits before and after, both at the last position and before a soft cap."""
        return Logits(self.clean.logits, self.logits_after)

    @cached_property
    def logit_changes(self) -> pd.DataFrame:
        """The logits of the whole vocabulary: token, token_id, before, after, change; the most changed first.

        The changes are those of the logits minus their mean, as in a graph: what all tokens gain alike moves no
        probability.
        """
        before, after = self.logits
        change = (after - before) - (after - before).mean()
        order = change.abs().argsort(descending=True, stable=True)
        return pd.DataFrame(
            {
                "token": token_strings(self.clean.model, order),
                "token_id": order.cpu().numpy(),
                "before": _numpy(before[order]),
                "after": _numpy(after[order]),
                "change": _numpy(change[order]),
            }
        )

    @cached_property
    def log_probabilities(self) -> Float[Tensor, " vocab"]:
        """The log-probabilities of the next token in the edited run, after the model's soft cap if it has one."""
        return self.clean.model.log_probabilities(self.logits_after)

    @cached_property
    def probabilities(self) -> Float[Tensor, " vocab"]:
        """The next-token probabilities of the edited run; those before are ``clean.probabilities``."""
        return self.log_probabilities.exp()

    @cached_property
    def kl(self) -> float:
        """KL(clean ‖ edited) of the next-token distributions, in nats."""
        before = self.clean.log_probabilities
        divergence = float((before.exp() * (before - self.log_probabilities)).double().sum())
        return max(0.0, divergence)  # Rounding may leave two equal distributions a hair below zero.

    @cached_property
    @torch.no_grad()
    def divergence(self) -> pd.DataFrame:
        """KL(clean ‖ edited) in nats of what follows each position: position, token, kl; from the first edit on."""
        model, first = self.clean.model, self.plan.first_position
        kl = []
        for low in range(first, self.clean.n_positions, _TOGETHER):
            runs = (self.clean.final, self.final_after)
            before, after = (
                model.log_probabilities(model.logits(final[low : low + _TOGETHER])).double() for final in runs
            )
            kl += (before.exp() * (before - after)).sum(-1).clamp_min(0).tolist()
        positions = range(first, self.clean.n_positions)
        return pd.DataFrame(
            {
                "position": np.array(positions, dtype=np.int32),
                "token": pd.Series([self.clean.token_strings[at] for at in positions], dtype="str"),
                "kl": np.array(kl, dtype=np.float64),
            }
        )

    @cached_property
    def edited(self) -> pd.DataFrame:
        """What was edited: node_id, layer, feature, position, token, before and after (activations)."""
        rows = [
            (f"f/{layer}/{feature}/{at}", layer, feature, at, self.clean.token_strings[at], before[at], after[at])
            for layer, feature, before, after in (
                (change.layer, change.feature, change.before.tolist(), change.after.tolist()) for change in self.changes
            )
            for at in range(len(before))
            if before[at] != after[at]
        ]
        columns = ["node_id", "layer", "feature", "position", "token", "before", "after"]
        return pd.DataFrame(rows, columns=columns).astype({"layer": "int32", "feature": "int32", "position": "int32"})

    def plot(self, what: str = "tokens", *, k: int = 10) -> go.Figure:
        """Draw the result, as a plotly figure.

        Args:
            what: ``"tokens"`` (probabilities before and after), ``"logits"`` or ``"features"`` (the most changed), or
                ``"divergence"`` (KL by position).
            k: how many tokens or features.

        Raises:
            ConfigError: there is no such picture, or k is less than 1.
        """
        return figures().intervention(self, what=what, k=k)

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """The probabilities of the k most probable next tokens of either run: token, token_id, before, after.

        The most probable before comes first.
        """
        before, after = self.clean.probabilities, self.probabilities
        ids = torch.unique(torch.cat([before.topk(self.k).indices, after.topk(self.k).indices]))
        ids = ids[before[ids].argsort(descending=True, stable=True)]
        return pd.DataFrame(
            {
                "token": token_strings(self.clean.model, ids),
                "token_id": ids.cpu().numpy(),
                "before": _numpy(before[ids]),
                "after": _numpy(after[ids]),
            }
        )

    @cached_property
    @torch.no_grad()
    def features(self) -> pd.DataFrame:
        """The features downstream of the edits that are active before or after, the most changed first.

        Downstream is every layer above the lowest one that the edits write to, at the positions from the first
        edited one on. Columns: node_id, layer, feature, position, token, before and after (activations, 0
        where inactive), change, and pre_activation_change (of what goes into the JumpReLU).

        Activations are those that the CLT reads off the edited run. An edited feature appears with what it reads,
        too, not with the activation that it was edited to.
        """
        layers = range(self.first_layer + 1, self.clean.model.n_layers)
        changes = [self._changes(layer) for layer in layers] or [_no_changes(self.clean)]
        joined = {name: torch.cat([columns[name] for columns in changes]).cpu() for name in changes[0]}
        order = (joined["after"] - joined["before"]).abs().argsort(descending=True, stable=True)
        column = {name: values[order] for name, values in joined.items()}
        layer, feature, position = (column[name].tolist() for name in ("layer", "feature", "position"))
        triples = zip(layer, feature, position, strict=True)
        return pd.DataFrame(
            {
                "node_id": pd.Series([f"f/{at[0]}/{at[1]}/{at[2]}" for at in triples], dtype="str"),
                **{name: column[name].numpy().astype(np.int32) for name in ("layer", "feature", "position")},
                "token": pd.Categorical([self.clean.token_strings[at] for at in position]),
                "before": _numpy(column["before"]),
                "after": _numpy(column["after"]),
                "change": _numpy(column["after"] - column["before"]),
                "pre_activation_change": _numpy(column["pre_activation_change"]),
            }
        )

    def _changes(self, layer: int) -> dict[str, Tensor]:
        """Return the columns of one layer's features that are active before or after."""
        clt = self.clean.clt
        first = self.plan.first_position
        reads = [x.to(clt.W_enc.dtype) for x in (self.clean.reads[layer], self.reads_after[layer])]
        before, after = (clt.encode(layer, x) for x in reads)
        change = clt.pre_activations(layer, reads[1]) - clt.pre_activations(layer, reads[0])
        active = (before != 0) | (after != 0)
        active[:first] = False  # Nothing changes before the first edit, which stands after the start token.
        position, feature = active.nonzero(as_tuple=True)
        at = (position, feature)
        return {
            "layer": torch.full_like(position, layer),
            "feature": feature,
            "position": position,
            "before": before[at],
            "after": after[at],
            "pre_activation_change": change[at],
        }

    def __repr__(self) -> str:
        until = "" if self.until is None else f", until={self.until}"
        tops = [int(logits.argmax()) for logits in self.logits]
        strings = token_strings(self.clean.model, torch.tensor(tops))
        probabilities = [p[top] for p, top in zip((self.clean.probabilities, self.probabilities), tops, strict=True)]
        before, after = (f"{token!r} {float(p):.1%}" for token, p in zip(strings, probabilities, strict=True))
        n_edits = f"{len(self.edits)} edit" + ("" if len(self.edits) == 1 else "s")
        return f"Intervention({n_edits}, mode={self.mode!r}{until}: {before} → {after}, KL {self.kl:.3g} nats)"


def figures() -> Any:
    """Return :mod:`workbench.plots`.

    It stands above this package, so it is looked up when a picture is asked for, as pandas does with its plots.
    """
    return importlib.import_module("workbench.plots")


def _no_changes(clean: CleanRun) -> dict[str, Tensor]:
    whole, real = torch.empty(0, dtype=torch.long), clean.reads.new_empty(0)
    return dict.fromkeys(("layer", "feature", "position"), whole) | dict.fromkeys(
        ("before", "after", "pre_activation_change"), real
    )


def _numpy(values: Tensor) -> np.ndarray:
    """Return an array in the tensor's own precision, at least float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32)).cpu().numpy()
