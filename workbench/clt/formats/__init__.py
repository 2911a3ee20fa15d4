"""Reading and writing transcoders in the formats that people share them in."""

from workbench.clt.formats.circuit_tracer import load as read_circuit_tracer
from workbench.clt.formats.circuit_tracer import save as write_circuit_tracer
from workbench.clt.formats.load import load_clt, save_clt

__all__ = ["load_clt", "read_circuit_tracer", "save_clt", "write_circuit_tracer"]
