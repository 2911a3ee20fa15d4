"""Setting hooks for one run of the model.

The bridge's own ``hooks`` looks every name up among all of its hooks, aliases included, each time anew. That is
milliseconds, and a slider runs the model many times a second: here the names are looked up once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from workbench.models import LoadedModel

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

Hook: TypeAlias = tuple[str, Callable[..., Any]]


@contextmanager
def hooked(model: LoadedModel, points: Mapping[str, HookPoint], hooks: Sequence[Hook]) -> Iterator[None]:
    """Set hooks while the block runs, under the model's lock; those that were there before stay.

    Args:
        points: the bridge's hook points by name, see :attr:`CleanRun.hook_points`.
    """
    handles = []
    with model.lock:
        try:
            for name, function in hooks:
                point = points[name]
                # Says so where a hook would never fire.
                model.bridge.check_hooks_to_add(point, name, function)
                handles.append((point, point.add_hook(function)))
            yield
        finally:
            for point, handle in handles:
                handle.hook.remove()
                point.fwd_hooks = [other for other in point.fwd_hooks if other is not handle]
