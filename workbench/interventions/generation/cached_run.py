"""A text that grows, run with the keys and values of what came before: the clean model and the edited one together.

Both are rows of one batch. An edit says what becomes of the activations that the unedited model has on this very text,
so both are needed at every step, and a second row costs far less than a second pass. The first row's activations are
there when the second one needs them: a layer's features are read before anything is written to it or above.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.interventions.clean import pattern_names, scale_names
from workbench.interventions.hooks import Hook, hooked
from workbench.interventions.plan import Plan, written
from workbench.interventions.run import Mode
from workbench.models import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class CachedRun:
    """The model on a growing text, under the edits of a plan.

    Args:
        plan: the edits; without any there is the clean row alone.
    """

    def __init__(
        self, model: LoadedModel, clt: CLT, plan: Plan, *, mode: Mode, until: int | None, freeze_attention: bool
    ) -> None:
        from transformers import DynamicCache

        self._model, self._clt, self._plan = model, clt, plan
        self._mode, self._until = mode, until
        self._hold_attention = freeze_attention or mode == "direct"
        # Without the model's config no layer forgets: what a sliding window hides, the mask hides.
        self._cache: Any = DynamicCache()
        self._length = 0
        self._deltas: dict[int, Tensor] = {}
        self._read_changes: dict[int, Tensor] = {}
        self._hooks = self._all_hooks() if plan.placed else []
        self._points = dict(model.bridge.hook_dict) if plan.placed else {}

    @property
    def length(self) -> int:
        """The tokens that have been run."""
        return self._length

    @torch.no_grad()
    def extend(self, tokens: Int[Tensor, " later"]) -> Float[Tensor, "row d_model"]:
        """Run the next tokens; return the final norm's output at the last one: of the clean model, then of the edited.

        Raises:
            InterventionError: a factor is of a feature that is inactive on the prompt, which is the first to be run.
        """
        rows = 2 if self._hooks else 1
        decoder = cast("PreTrainedModel", self._model.bridge.original_model.base_model)
        batch = tokens.to(self._model.device).expand(rows, -1)
        self._deltas, self._read_changes = {}, {}
        with hooked(self._model, self._points, self._hooks), warnings.catch_warnings():
            # Holding a norm's denominator is the point of the mode "direct".
            warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
            final = decoder(input_ids=batch, past_key_values=self._cache, use_cache=True).last_hidden_state
        self._length += len(tokens)
        return cast(Tensor, final[:, -1])

    def _all_hooks(self) -> list[Hook]:
        config, n_layers = self._clt.config, self._clt.n_layers
        first = min(self._plan.by_layer)
        with_skip = self._mode == "direct" and self._clt.W_skip is not None
        hooks: list[Hook] = []
        for layer in range(first, n_layers):
            if layer in self._plan.by_layer or with_skip:
                hooks.append((config.read_hook.format(layer=layer), self._read(layer)))
            held = self._mode == "direct" or (self._until is not None and layer <= self._until)
            hooks.append((config.write_hook.format(layer=layer), self._write(layer, held=held)))
        if self._hold_attention:
            hooks += [(name, _as_in_the_clean_row) for name in pattern_names(self._model)]
        if self._mode == "direct":
            hooks += [(name, _as_in_the_clean_row) for name in scale_names(self._model, self._clt)]
        return hooks

    def _read(self, layer: int) -> Callable[..., None]:
        def hook(x: Tensor, hook: Any) -> None:
            if self._clt.W_skip is not None:
                self._read_changes[layer] = x[1] - x[0]
            if layer not in self._plan.by_layer:
                return
            activations = self._clt.encode(layer, x[0].to(self._clt.W_enc.dtype))
            if self._length == 0:
                activations[0] = 0  # The start token has no features.
                self._plan.check_active(layer, activations)
            changes = self._plan.changes(layer, activations, first=self._length)
            for target, delta in written(changes, self._clt, like=x[0], until=self._until).items():
                self._deltas[target] = self._deltas[target] + delta if target in self._deltas else delta

        return hook

    def _write(self, layer: int, *, held: bool) -> Callable[..., Tensor]:
        def hook(y: Tensor, hook: Any) -> Tensor:
            clean, edited = y[0], y[0] if held else y[1]
            if layer in self._deltas:
                edited = edited + self._deltas[layer].to(y)
            if self._mode == "direct" and layer in self._read_changes:
                change = self._read_changes[layer].to(self._clt.W_enc.dtype)
                if self._length == 0:
                    change[0] = 0  # The start token has no skip path.
                edited = edited + self._clt.skip(layer, change).to(y)
            return torch.stack([clean, edited])

        return hook


def _as_in_the_clean_row(value: Tensor, hook: Any) -> Tensor:
    return value[:1].expand_as(value)
