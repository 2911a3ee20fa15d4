"""Cross-layer transcoders: config, weights, training, formats."""

from workbench.clt.config import CLTConfig
from workbench.clt.transcoder import CLT

__all__ = ["CLT", "CLTConfig"]
