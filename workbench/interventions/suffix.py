"""Running a prompt from one of its positions on: what lies before is seen through the clean run's keys and values.

An edit at a position changes nothing before it, because a causal model's activations depend on what precedes them
alone. So the positions before the first edited one need not be run again: attention looks back at their keys and
values, which the clean run has already computed. At the last position of a long prompt this saves nearly everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.models import LoadedModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# The arguments of a block that vary with the position, and the axis along which they do.
_AXES: Mapping[str, int] = {"attention_mask": -2, "position_ids": -1, "cache_position": -1, "position_embeddings": -2}


@dataclass(frozen=True, eq=False, repr=False)
class KeysAndValues:
    """What attention sees of every position of the clean run.

    Attributes:
        layers: of each layer the keys (after rotary embedding) and the values, ``[1, head, position, d_head]``.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    @torch.no_grad()
    def of(cls, model: LoadedModel, tokens: Int[Tensor, " position"]) -> KeysAndValues:
        """Run the model once and keep them."""
        from transformers import DynamicCache

        # Without the model's config no layer forgets: what a sliding window hides, the mask hides.
        cache: Any = DynamicCache()
        decoder = cast("PreTrainedModel", model.bridge.original_model.base_model)
        with model.lock:
            decoder(input_ids=tokens[None].to(model.device), past_key_values=cache, use_cache=True)
        return cls(tuple((layer.keys, layer.values) for layer in cache.layers))

    def before(self, position: int) -> Any:
        """Return a fresh cache of the positions before ``position``; a run appends its own to it."""
        from transformers import DynamicCache

        return DynamicCache([(keys[:, :, :position], values[:, :, :position]) for keys, values in self.layers])


def later_arguments(kwargs: Mapping[str, Any], position: int, cache: Any) -> dict[str, Any]:
    """Return a block's keyword arguments for the positions from ``position`` on.

    Args:
        kwargs: those of a run over all positions.
        cache: what attention sees of the positions before.
    """
    later = dict(kwargs)
    for name, value in kwargs.items():
        # A model with several kinds of layer may pass several sets of rotary embeddings, named after them.
        axis = next((axis for begin, axis in _AXES.items() if name.startswith(begin)), None)
        if axis is not None:
            later[name] = _sliced(value, axis, position)
    return later | {"past_key_values": cache, "use_cache": True}


def _sliced(value: Any, axis: int, position: int) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_sliced(part, axis, position) for part in value)
    if not isinstance(value, Tensor) or value.shape[axis] <= 1:
        return value  # nothing, or the same for all positions
    return value.narrow(axis, position, value.shape[axis] - position)


def joined(
    clean: Float[Tensor, "position d_model"], later: Float[Tensor, "later d_model"]
) -> Float[Tensor, "position d_model"]:
    """Return the activations of all positions: the clean ones, and from some position on the later ones."""
    return later if len(later) == len(clean) else torch.cat([clean[: len(clean) - len(later)], later])
