"""Cross-layer transcoders: config, weights, training, formats."""

from workbench.clt.config import CLTConfig
from workbench.clt.formats import load_clt, save_clt
from workbench.clt.store import default_clt, find_clts, training_record
from workbench.clt.transcoder import CLT

__all__ = ["CLT", "CLTConfig", "default_clt", "find_clts", "load_clt", "save_clt", "training_record"]
