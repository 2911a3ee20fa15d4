"""How large a model is, told without loading it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import torch

from workbench.errors import ConfigError, FormatError
from workbench.models.loading import locate
from workbench.models.weights import count_parameters

# Where the blocks of the supported architectures keep their weights.
_IN_A_BLOCK = re.compile(r"(^|\.)(layers|h|blocks)\.\d+\.")


@dataclass(frozen=True)
class ModelShape:
    """What the cost of a harvest depends on.

    Attributes:
        block_parameters: parameters of all blocks; embedding and unembedding take no part in a harvest.
        n_parameters: all that have to be in memory.
    """

    n_layers: int
    d_model: int
    block_parameters: int
    n_parameters: int

    @classmethod
    def parse(cls, text: str) -> ModelShape:
        """Read "LAYERSxD_MODELxPARAMETERS", such as 26x2304x2.6e9.

        Raises:
            ConfigError: the text is of another form.
        """
        try:
            n_layers, d_model, n_parameters = text.lower().split("x")
            shape = cls(int(n_layers), int(d_model), int(float(n_parameters)), int(float(n_parameters)))
        except ValueError as error:
            raise ConfigError(
                f"The shape {text!r} of a model is none: give LAYERSxD_MODELxPARAMETERS, such as 26x2304x2.6e9."
            ) from error
        if min(shape.n_layers, shape.d_model, shape.n_parameters) < 1:
            raise ConfigError(f"The shape {text!r} of a model is none: its numbers have to be positive.")
        return shape


def model_shape(name: str) -> ModelShape:
    """Read the shape of a model whose files are here from its config and the headers of its weights.

    Raises:
        ModelError: the model is not here.
        FormatError: its files are damaged.
    """
    from safetensors import safe_open
    from transformers import AutoConfig

    folder = locate(name).folder
    n_parameters = count_parameters(folder, name)
    in_blocks = 0
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as weights:
            for key in weights.keys():
                if _IN_A_BLOCK.search(key):
                    in_blocks += int(torch.Size(weights.get_slice(key).get_shape()).numel())
    try:
        config: Any = AutoConfig.from_pretrained(folder)
        config = config.get_text_config()
        return ModelShape(config.num_hidden_layers, config.hidden_size, in_blocks, n_parameters)
    except (OSError, ValueError, AttributeError, json.JSONDecodeError) as error:
        raise FormatError(
            f"The config of {name!r} in {folder} tells no shape: {error}; get the files again."
        ) from error
