"""Where a transcoder reads and writes, in the spellings of other projects."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import CLTError, FormatError

BLOCK = "blocks.{layer}."
_TRANSFORMER_LENS = re.compile(r"blocks\.(\d+)\.(.+)")
_HUGGING_FACE = re.compile(r"(?:.+\.)?layers\.(\d+|\{\w+\})\.(.+)")
# Hugging Face's modules of Gemma 3, whose MLP stands between two norms. `mlp.output` is not among them: it is
# not yet what reaches the residual stream.
_SITES = {
    "pre_feedforward_layernorm.output": "mlp.hook_in",
    "mlp.input": "mlp.hook_in",
    "pre_feedforward_layernorm.input": "hook_resid_mid",
    "post_feedforward_layernorm.output": "hook_mlp_out",
}
_BY_SITE = {"mlp.hook_in": "pre_feedforward_layernorm.output", "hook_mlp_out": "post_feedforward_layernorm.output"}


def template(hook: str, path: Path) -> str:
    """Return a hook of a block, with or without the block's name, as a template over the layer.

    Args:
        path: the file that names it.

    Raises:
        CLTError: the name is used for two different points.
    """
    if "{layer}" in hook and not hook.startswith(BLOCK):
        return hook
    site = hook.removeprefix(BLOCK)
    if site == "hook_mlp_in":
        # TransformerLens means the norm's input; SAELens' own loaders and converters of trained MLP inputs its output.
        raise CLTError(
            f"{path} names the hook 'hook_mlp_in', by which some mean the input of the norm before the MLP and some "
            "its output: write 'hook_resid_mid' or 'mlp.hook_in' there instead."
        )
    return BLOCK + site


def split(hook: str, path: Path) -> tuple[int, str] | None:
    """Return the layer and the template of a TransformerLens hook; None when it is of no block.

    Raises:
        CLTError: the name is used for two different points.
    """
    found = _TRANSFORMER_LENS.fullmatch(hook)
    return None if found is None else (int(found[1]), template(found[2], path))


def split_hugging_face(point: str) -> tuple[int | None, str] | None:
    """Return the layer (None for all layers) and the template of a module path of Gemma 3; None when unknown."""
    found = _HUGGING_FACE.fullmatch(point)
    if found is None or found[2] not in _SITES:
        return None
    return (int(found[1]) if found[1].isdecimal() else None), BLOCK + _SITES[found[2]]


def to_hugging_face(hook: str, layer: int | str) -> str:
    """Return the module path of Gemma 3 for a template.

    Raises:
        CLTError: there is none.
    """
    site = _BY_SITE.get(hook.removeprefix(BLOCK))
    if site is None:
        raise CLTError(f"Gemma Scope has no name for the hook {hook!r}: it knows {', '.join(map(repr, _BY_SITE))}.")
    return f"model.layers.{layer}.{site}"


def common(templates: Sequence[str], folder: Path) -> str:
    """Return the one template that all layers share.

    Raises:
        FormatError: they differ.
    """
    if len(set(templates)) > 1:
        one, other = sorted(set(templates))[:2]
        raise FormatError(
            f"The layers of {folder} use different hooks ({one!r}, {other!r}): all layers must use the same one."
        )
    return templates[0]
