"""The names of an explorer's nodes and the labels of the CLT's features, each of which follows the other."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.attribution import Graph
from workbench.features.atlas.given_labels import GivenLabel, GivenLabels, Key


def nodes_of_features(graph: Graph) -> dict[Key, list[str]]:
    """Return the nodes of every feature of a graph, which may be active at several positions."""
    features = graph.nodes[graph.nodes["kind"] == "feature"]
    found: dict[Key, list[str]] = {}
    for layer, feature, node_id in zip(
        features["layer"].tolist(), features["feature"].tolist(), features["node_id"].astype(str), strict=True
    ):
        found.setdefault((layer, feature), []).append(node_id)
    return found


class SharedLabels:
    """Keeps the labels that people gave to features, and tells which names of nodes follow from them.

    Args:
        given: the labels of the CLT.
        graph: the graph that is shown.
    """

    def __init__(self, given: GivenLabels, graph: Graph) -> None:
        self.given = given
        self._nodes = nodes_of_features(graph)
        self._feature = {node: key for key, nodes in self._nodes.items() for node in nodes}

    def names(self) -> dict[str, str]:
        """Return the names of the graph's nodes whose features have a label of a person's."""
        return {node: text for key, text in self.given.human().items() for node in self._nodes.get(key, ())}

    def keep(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Keep what the user of one explorer wrote over a name, or took away; nodes that are no features have none.

        Raises:
            AtlasError: the file of labels is damaged.
            ResourceError: it cannot be written.
        """
        feature, human = self._feature, self.given.human()
        # A label of a callable's is nobody's to take away here.
        gone = {feature[node] for node in old if node not in new and node in feature} & human.keys()
        written = {
            feature[node]: GivenLabel(text.strip(), "human")
            for node, text in new.items()
            if node in feature and text != old.get(node) and text.strip()
        }
        # A new name at one position counts more than none at another one.
        self.given.set({**dict.fromkeys(gone), **written})

    def followed(self, names: Mapping[str, str], changed: frozenset[Key]) -> dict[str, str]:
        """Return an explorer's names after some features got other labels."""
        human = self.given.human()
        result = dict(names)
        for key in changed:
            for node in self._nodes.get(key, ()):
                if key in human:
                    result[node] = human[key]
                else:
                    result.pop(node, None)
        return result
