"""Reading the fields of a schema-1 file, each complaint being one sentence that says where it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench.attribution.schema1.ids import KIND_OF_TYPE, cantor_unpair
from workbench.errors import FormatError

_THREE_NUMBERS = re.compile(r"(\d+)_(\d+)_(\d+)")
_TOKEN_ID = re.compile(r"E_(\d+)_\d+")


class Node(NamedTuple):
    """A node of a file.

    Attributes:
        layer: -1 for tokens; for logits, the number of layers.
        number: the feature's index, the token id of a token or logit (-1 when unknown), or -1.
        probability: of a logit.
        influence: cumulative, as the schema has it.
    """

    name: str
    kind: str
    layer: int
    position: int
    number: int
    clerp: str
    probability: float
    influence: float
    activation: float

    @property
    def node_id(self) -> str:
        """Our id."""
        return {
            "feature": f"f/{self.layer}/{self.number}/{self.position}",
            "error": f"e/{self.layer}/{self.position}",
            "token": f"t/{self.position}",
            "logit": f"l/{self.number}/{self.position}",
        }[self.kind]


class Links(NamedTuple):
    """The links of a file."""

    source: list[str]
    target: list[str]
    weight: np.ndarray


def read_part(document: Any, name: str, kind: type) -> Any:
    """Return a part of the document (an object or a list).

    Raises:
        FormatError: it is missing or of another kind.
    """
    part = document.get(name) if isinstance(document, Mapping) else None
    if not isinstance(part, kind) or isinstance(part, str):
        what = "list" if kind is Sequence else "object"
        raise FormatError(f"The graph has no {what} {name!r}: give a graph in JSON schema 1.")
    return part


def read_tokens(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the prompt's tokens.

    Raises:
        FormatError: there are none, or a version other than 1 is named.
    """
    version = metadata.get("schema_version")
    if version not in (None, 1):
        raise FormatError(f"The graph is of schema version {version!r}: only version 1 can be read.")
    tokens = metadata.get("prompt_tokens")
    if not isinstance(tokens, list) or not tokens or not all(isinstance(token, str) for token in tokens):
        raise FormatError("The graph's metadata.prompt_tokens is no list of texts: give a graph in JSON schema 1.")
    return tuple(tokens)


def read_nodes(nodes: Sequence[Any], n_tokens: int) -> list[Node]:
    """Return the nodes in the file's order.

    Raises:
        FormatError: a field is missing or cannot be used, or a node stands there twice.
    """
    found = [_node(node, f"nodes[{at}]", n_tokens) for at, node in enumerate(nodes)]
    for key in ("name", "node_id"):
        seen: set[tuple[str, str]] = set()
        for at, node in enumerate(found):
            if (pair := (getattr(node, key), node.kind)) in seen:
                raise FormatError(f"nodes[{at}]: the {node.kind} {node.name!r} stands in the graph twice.")
            seen.add(pair)
    # Only a feature and an error may share an id; see ``from_schema1`` for what their links mean then.
    kind_of: dict[str, str] = {}
    for at, node in enumerate(found):
        other = kind_of.setdefault(node.name, node.kind)
        if other != node.kind and {other, node.kind} != {"feature", "error"}:
            raise FormatError(f"nodes[{at}]: the {node.kind} {node.name!r} has the id of a node of kind {other!r}.")
    if not any(node.kind == "logit" for node in found):
        raise FormatError("The graph has no logit node: every path must end in one.")
    return found


def read_links(links: Sequence[Any]) -> Links:
    """Return the links.

    Raises:
        FormatError: a field is missing, or a weight is no finite number in float32.
    """
    try:
        weights: list[Any] = [link["weight"] for link in links]
        source: list[Any] = [link["source"] for link in links]
        target: list[Any] = [link["target"] for link in links]
    except (KeyError, TypeError) as error:
        at = next(at for at, link in enumerate(links) if not _has_ends(link))
        raise FormatError(f"links[{at}] lacks a source, a target or a weight: every link needs all three.") from error
    fields = (("weight", weights, {int, float}), ("source", source, {str}), ("target", target, {str}))
    for what, values, allowed in fields:
        if not set(map(type, values)) <= allowed:
            at = next(at for at, value in enumerate(values) if type(value) not in allowed)
            raise FormatError(
                f"links[{at}].{what} is {values[at]!r}: it must be a {'number' if what == 'weight' else 'text'}."
            )
    with np.errstate(over="ignore"):
        weight = np.array(weights, dtype=np.float64).astype(np.float32)
    if not np.isfinite(weight).all():
        at = int(np.flatnonzero(~np.isfinite(weight))[0])
        raise FormatError(f"links[{at}].weight is {weights[at]!r}, no finite number in float32.")
    return Links(source, target, weight)


def _has_ends(link: Any) -> bool:
    return isinstance(link, Mapping) and {"source", "target", "weight"} <= set(link)


def _node(node: Any, where: str, n_tokens: int) -> Node:
    if not isinstance(node, Mapping):
        raise FormatError(f"{where} is {node!r}, no object.")
    for key in ("node_id", "feature_type", "layer", "ctx_idx"):
        if key not in node:
            raise FormatError(f"{where} has no field {key!r}: every node needs it.")
    name, position, kind = node["node_id"], node["ctx_idx"], KIND_OF_TYPE.get(str(node["feature_type"]))
    if not isinstance(name, str) or not name:
        raise FormatError(f"{where}.node_id is {name!r}, no text.")
    if kind is None:
        raise FormatError(
            f"{where} ({name!r}) has the feature_type {node['feature_type']!r}: "
            f"only {', '.join(KIND_OF_TYPE)} are known."
        )
    if type(position) is not int or not 0 <= position < n_tokens:
        raise FormatError(f"{where} ({name!r}) has the ctx_idx {position!r}, but the prompt has {n_tokens} tokens.")
    layer = -1 if kind == "token" else _layer(node["layer"], where, name)
    if kind == "logit":
        if layer < 1:
            raise FormatError(f"{where} ({name!r}) is a logit in layer {layer}: logits stand above all layers.")
        layer -= 1
    numbers = {key: _number(node.get(key), f"{where}.{key}") for key in ("token_prob", "influence", "activation")}
    clerp = node.get("clerp")
    return Node(
        name=name,
        kind=kind,
        layer=layer,
        position=position,
        number=_index(node, kind, name, layer, position, where),
        clerp=clerp if isinstance(clerp, str) else "",
        probability=0.0 if np.isnan(numbers["token_prob"]) else numbers["token_prob"],
        influence=numbers["influence"],
        activation=numbers["activation"],
    )


def _layer(value: Any, where: str, name: str) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,6}", str(value)):
        raise FormatError(f"{where} ({name!r}) has the layer {value!r}, no whole number from 0 on.")
    return int(value)


def _number(value: Any, where: str) -> float:
    """Return a number that may be missing: NaN then."""
    if value is None:
        return float("nan")
    if type(value) not in (int, float) or not np.isfinite(value):
        raise FormatError(f"{where} is {value!r}, no finite number.")
    return float(value)


def _index(node: Mapping[str, Any], kind: str, name: str, layer: int, position: int, where: str) -> int:
    """Return the feature's index or the token id, from the id where it can be read, else from ``feature``."""
    number = node.get("feature")
    number = number if type(number) is int and number >= 0 else None
    spelled = _THREE_NUMBERS.fullmatch(name)
    if kind == "error":
        return -1
    if kind == "token":
        token = _TOKEN_ID.fullmatch(name)
        return int(token[1]) if token else -1
    if kind == "logit":
        return int(spelled[2]) if spelled else (-1 if number is None else number)
    # Older files have other numbers in ``feature`` than Cantor's, so the id comes first.
    if spelled and (int(spelled[1]), int(spelled[3])) == (layer, position):
        return int(spelled[2])
    if number is not None and (pair := cantor_unpair(number))[0] == layer:
        return pair[1]
    raise FormatError(
        f"{where} ({name!r}) does not tell which feature it is: neither its id nor its field 'feature' "
        f"({node.get('feature')!r}) fits layer {layer}."
    )
