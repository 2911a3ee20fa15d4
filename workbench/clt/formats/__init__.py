"""Reading and writing transcoders in the formats that people share them in."""

from workbench.clt.formats.circuit_tracer import load as read_circuit_tracer
from workbench.clt.formats.circuit_tracer import save as write_circuit_tracer
from workbench.clt.formats.gemma_scope import load as read_gemma_scope
from workbench.clt.formats.gemma_scope import save as write_gemma_scope
from workbench.clt.formats.load import load_clt, save_clt
from workbench.clt.formats.recognise import FormatName
from workbench.clt.formats.saelens import load as read_saelens
from workbench.clt.formats.saelens import save as write_saelens

__all__ = [
    "FormatName",
    "load_clt",
    "read_circuit_tracer",
    "read_gemma_scope",
    "read_saelens",
    "save_clt",
    "write_circuit_tracer",
    "write_gemma_scope",
    "write_saelens",
]
