"""Graph JSON schema 1, which circuit-tracer writes and Neuronpedia's viewer shows, both ways.

A file is one object of ``metadata``, ``qParams`` (what the viewer has pinned, grouped and clicked), ``nodes`` and
``links``. Its ids appear here alone: feature ``{layer}_{feature}_{position}``, error ``0_{layer}_{position}`` (newer
versions of circuit-tracer: ``{layer}_-1_{position}``), token ``E_{token id}_{position}``, logit
``{n_layers + 1}_{token id}_{position}``. So the error of layer l and feature l of layer 0 can share an id.

``influence`` in a file is not what ``Graph.nodes`` calls so. It is cumulative: the share of all influence that the
nodes down to this one carry when they are sorted from the most influential on, so that the viewer prunes by showing
the nodes up to a threshold.

``data/schemas/graph-schema-1.json`` is the schema itself.
"""

from workbench.attribution.schema1.export import to_schema1
from workbench.attribution.schema1.ids import cantor_pair, cantor_unpair
from workbench.attribution.schema1.read import from_schema1

__all__ = ["cantor_pair", "cantor_unpair", "from_schema1", "to_schema1"]
