"""The atlas of a CLT: cards, tables, labels and search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.errors import AtlasError, ConfigError, ModelError
from workbench.features.atlas.card import Card
from workbench.features.atlas.given_labels import FILE as LABELS
from workbench.features.atlas.given_labels import GivenLabel, GivenLabels
from workbench.features.atlas.identity import check_feature, clt_hash
from workbench.features.atlas.places import atlas_folder
from workbench.features.atlas.rows import LEVELS
from workbench.features.atlas.search import Search
from workbench.features.atlas.store import FILE, SCALARS, SCHEMA, AtlasFile
from workbench.models import LoadedModel, token_strings

if TYPE_CHECKING:
    from workbench.attribution import Graph

COMPACT_BYTES = 5_000_000
# Tried in this order until the file is small enough: examples, their tokens, logits.
_COMPACT_SHAPES = ((5, 12, 4), (5, 10, 3), (5, 8, 3), (5, 6, 2), (3, 6, 2), (1, 6, 1))

Labeller = Callable[[Card], "str | tuple[str, float | None] | None"]


@dataclass(frozen=True, eq=False, repr=False)
class Atlas(Search):
    """What is known of every feature of a CLT.

    ::

        atlas = bench.atlas
        atlas.card(12, 311)
        atlas.find_text("The capital of Texas is")
        atlas.set_label(12, 311, "capitals")

    Attributes:
        file: where it is stored; read piece by piece.
        given: labels of people and callables, which go before those by rule.
    """

    file: AtlasFile
    model: LoadedModel
    clt: CLT
    given: GivenLabels
    _texts: dict[int, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path | str, *, model: LoadedModel, clt: CLT, labels: Path | None = None) -> Atlas:
        """Open an atlas; little is read before it is asked for.

        Args:
            path: the folder of an atlas, or the file of a compact one.
            labels: the file with given labels; by default ``labels.json`` in the folder, for a file the one in the
                cache that belongs to the CLT.

        Raises:
            AtlasError: there is none, it is damaged, or it is of another model or CLT.
        """
        path = Path(path)
        stored = AtlasFile.open(path / FILE if path.is_dir() or not path.suffix else path)
        about = stored.metadata
        if about.get("fingerprint") != model.fingerprint:
            raise AtlasError(
                f"The atlas {stored.path} is of another model ({about.get('model')!r}) than {model.name!r}: build one "
                "with `workbench atlas CLT --model NAME`."
            )
        identity = clt_hash(clt)
        if about.get("clt_hash") != identity:
            raise AtlasError(
                f"The atlas {stored.path} is of another CLT of {model.name!r} (perhaps an earlier version of this "
                "one): build one with `workbench atlas CLT --model NAME`."
            )
        if labels is None:
            labels = (path if path.is_dir() else atlas_folder(identity)) / LABELS
        return cls(stored, model, clt, GivenLabels.of(labels, identity))

    @property
    def info(self) -> dict[str, Any]:
        """Model, CLT, corpus, tokens and settings of the build."""
        return dict(self.file.metadata)

    @property
    def complete(self) -> bool:
        """Whether this is a full atlas; a compact one has labels, densities and a few short examples."""
        return bool(self.file.metadata["complete"])

    def card(self, layer: int, feature: int) -> Card:
        """Return what is known of a feature.

        Raises:
            ConfigError: there is no such feature.
            AtlasError: the file is damaged.
        """
        check_feature(self.clt, layer, feature)
        row = self.file.row(layer * self.clt.n_features + feature)
        about = self.file.metadata
        given = self.given.all().get((layer, feature))
        lists: dict[str, list[Any]] = {name: row.get(name) or [] for name in SCHEMA.names}
        return Card(
            model=about["model"],
            clt=about["clt"],
            layer=layer,
            feature=feature,
            label=given.text if given else row["label"],
            label_source=given.source if given else "rule",
            label_score=given.score if given else row["label_score"],
            label_precision=None if given else row["label_precision"],
            label_recall=None if given else row["label_recall"],
            label_control=None if given else row["label_control"],
            label_reason=_given_reason(given) if given else row["label_reason"],
            kind=row["kind"],
            family=row["family"],
            density=row["density"],
            n_active=row["n_active"],
            n_tokens=about["n_tokens"],
            max_activation=row["max_activation"],
            histogram={"edges": lists["histogram_edges"], "counts": lists["histogram_counts"]},
            quantiles=dict(zip(LEVELS, lists["quantiles"], strict=False)) if row["n_active"] else {},
            examples=self._examples(lists),
            top_logits=self._logits(lists, "top"),
            bottom_logits=self._logits(lists, "bottom"),
            top_tokens=self._top_tokens(lists),
            positions={
                "edges": about["position_edges"] if lists["position_counts"] else [],
                "counts": lists["position_counts"],
                "n_tokens": about["position_tokens"] if lists["position_counts"] else [],
            },
            upstream=self._connected(lists, "upstream"),
            downstream=self._connected(lists, "downstream"),
            complete=self.complete,
        )

    def table(self) -> pd.DataFrame:
        """Return one row a feature: density, n_active, activations, label with its source and score, kind, family."""
        table = self._stored_table.copy()
        table["label_source"] = "rule"
        for (layer, feature), given in self.given.all().items():
            row = layer * self.clt.n_features + feature
            table.loc[row, ["label", "label_source", "label_reason"]] = [given.text, given.source, _given_reason(given)]
            table.loc[row, ["label_score", "label_precision", "label_recall", "label_control"]] = [given.score] + [
                None
            ] * 3
        return table

    def labels(self, *, human: bool = True) -> dict[tuple[int, int], str]:
        """Return the label of every feature: (layer, feature) → text.

        Args:
            human: whether labels of people go before those by rule.
        """
        table = self._stored_table
        found = dict(zip(zip(table["layer"], table["feature"], strict=True), table["label"], strict=True))
        given = self.given.all().items()
        return {**found, **{key: label.text for key, label in given if human or label.source != "human"}}

    def set_label(self, layer: int, feature: int, text: str | None) -> None:
        """Give a feature a label of your own, which all graphs and cards of this CLT show; None takes it away.

        Raises:
            ConfigError: there is no such feature, or the text is empty.
            ResourceError: the label cannot be written.
        """
        check_feature(self.clt, layer, feature)
        if text is not None and not text.strip():
            raise ConfigError("The label is empty: give a text, or None to take the label away.")
        self.given.set({(layer, feature): None if text is None else GivenLabel(text.strip(), "human")})

    def relabel(
        self,
        labeller: Labeller,
        *,
        features: Iterable[tuple[int, int]] | None = None,
        progress: bool = True,
    ) -> int:
        """Label features by a callable, for instance a language model of your own; labels of people stay.

        Args:
            labeller: gets a card; returns a text, a text and its score (0 … 1), or None to leave the label.
            features: (layer, feature) of those to label; by default all that ever fired.

        Returns:
            How many labels were given. They are saved every hundred features, and when the callable raises.

        Raises:
            ConfigError: a feature does not exist, or the callable returned something else.
        """
        if features is None:
            table = self._stored_table
            fired = table[table["n_active"] > 0]
            features = list(zip(fired["layer"].tolist(), fired["feature"].tolist(), strict=True))
        chosen = list(features)
        human = {key for key, label in self.given.all().items() if label.source == "human"}
        fresh: dict[tuple[int, int], GivenLabel | None] = {}
        n_given = 0
        try:
            for number, key in enumerate(tqdm(chosen, desc="Labels", unit=" features", disable=not progress), start=1):
                label = None if key in human else _returned(labeller(self.card(*key)), key)
                if label is not None:
                    fresh[key] = label
                if fresh and number % _SAVED_TOGETHER == 0:
                    n_given += len(fresh)
                    self.given.set(fresh)
                    fresh = {}
        finally:
            # What a callable was paid for is kept, however the loop ends.
            if fresh:
                n_given += len(fresh)
                self.given.set(fresh)
        return n_given

    def label_graph(self, graph: Graph, *, human: bool = True) -> Graph:
        """Return a graph of this model and CLT with the labels of its features, which exports carry along.

        Args:
            human: whether labels of people go before those by rule.

        Raises:
            ModelError: the graph is of another model.
        """
        if graph.info.get("fingerprint", self.model.fingerprint) != self.model.fingerprint:
            raise ModelError(
                f"The graph is of the model {graph.info.get('model')!r}, but the atlas of {self.model.name!r}: open "
                "the atlas of the graph's model."
            )
        features = graph.nodes[graph.nodes["kind"] == "feature"]
        known = self.labels(human=human)
        keys = zip(features["node_id"].astype(str), features["layer"], features["feature"], strict=True)
        return graph.with_labels({node: known.get((int(layer), int(index)), "") for node, layer, index in keys})

    def write_compact(self, path: Path | str) -> Path:
        """Write a short form of this atlas, at most 5 MB: labels, densities, logits, five short examples a feature.

        Beside a CLT's weights, as ``atlas.parquet``, it is found by whoever opens that CLT. Labels of people and
        callables stand in it in place of those by rule.

        Raises:
            AtlasError: this atlas is compact itself.
            ResourceError: the file cannot be written, or even the shortest form is larger.
        """
        if not self.complete:
            raise AtlasError(f"The atlas {self.file.path} is compact already: copy the file.")
        from workbench.features.atlas.compact import write_within

        path = Path(path)
        write_within(self, path, COMPACT_BYTES, _COMPACT_SHAPES)
        return path

    def __repr__(self) -> str:
        about = self.file.metadata
        kind = "" if self.complete else "compact, "
        return f"Atlas({about['clt']!r}, {kind}{len(self._stored_table):,} features, {about['n_tokens']:,} tokens)"

    @cached_property
    def _stored_table(self) -> pd.DataFrame:
        table: pd.DataFrame = self.file.read(list(SCALARS)).to_pandas()
        # The file's sorting is what rows are found by.
        return table.astype({"layer": "int32", "feature": "int32"})

    def _text(self, token: int) -> str:
        if token not in self._texts:
            import torch

            self._texts[token] = token_strings(self.model, torch.tensor([token]))[0]
        return self._texts[token]

    def _examples(self, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
        examples, start = [], 0
        for group, peak, length in zip(
            lists["example_group"], lists["example_peak"], lists["example_length"], strict=True
        ):
            token_ids = lists["example_token_ids"][start : start + length]
            activations = lists["example_activations"][start : start + length]
            start += length
            examples.append(
                {
                    "group": group,
                    "tokens": [self._text(token) for token in token_ids],
                    "token_ids": token_ids,
                    "activations": activations,
                    "peak": peak,
                    "activation": activations[peak],
                }
            )
        return examples

    def _logits(self, lists: Mapping[str, list[Any]], which: str) -> list[dict[str, Any]]:
        pairs = zip(lists[f"{which}_logit_ids"], lists[f"{which}_logit_values"], strict=True)
        return [{"token_id": token, "token": self._text(token), "value": value} for token, value in pairs]

    def _top_tokens(self, lists: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
        ids = lists["top_token_ids"]
        columns = [lists[f"top_token_{name}"] or [None] * len(ids) for name in ("counts", "means", "shares")]
        return [
            {"token_id": token, "token": self._text(token), "count": count, "mean_activation": mean, "share": share}
            for token, count, mean, share in zip(ids, *columns, strict=True)
        ]

    def _connected(self, lists: Mapping[str, list[Any]], which: str) -> list[dict[str, Any]]:
        if not lists[which]:
            return []
        given, labels = self.given.all(), self._stored_table["label"]
        found = []
        for partner, twera in zip(lists[which], lists[f"{which}_twera"], strict=True):
            layer, feature = divmod(partner, self.clt.n_features)
            own = given.get((layer, feature))
            label = own.text if own else cast(str, labels.iloc[partner])
            found.append({"layer": layer, "feature": feature, "label": label, "twera": twera})
        return found


_SAVED_TOGETHER = 100


def _given_reason(given: GivenLabel) -> str:
    if given.score is not None:
        return ""
    return "a person's label has no rule to test" if given.source == "human" else "the callable gave no score"


def _returned(value: Any, key: tuple[int, int]) -> GivenLabel | None:
    text, score = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if text is None:
        return None
    if not isinstance(text, str) or not (score is None or 0 <= score <= 1):
        raise ConfigError(
            f"The labeller returned {value!r} for the feature {key}: it has to return a text, (text, score of 0 to 1) "
            "or None."
        )
    return GivenLabel(text.strip(), "callable", None if score is None else float(score)) if text.strip() else None
