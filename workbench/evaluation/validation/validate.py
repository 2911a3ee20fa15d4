"""A graph's predictions against what ablations and opposites do in the model, in one call."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from workbench.attribution import Graph
from workbench.attribution.supernodes import suggest_supernodes
from workbench.errors import ConfigError, InterventionError
from workbench.evaluation.controls import matched_controls
from workbench.evaluation.validation.measure import (
    Effects,
    Places,
    clean_residuals,
    measure,
    replacement_cosines,
)
from workbench.evaluation.validation.predict import influence_between, predicted_changes
from workbench.evaluation.validation.result import PAPER, Validation
from workbench.evaluation.validation.statistics import Figure, mean_of, sign_agreement, spearman, with_interval
from workbench.interventions import CleanRun, Edit, SupernodeEdit
from workbench.models import token_strings


def validate(
    clean: CleanRun,
    graph: Graph,
    *,
    k: int = 50,
    n_supernodes: int = 6,
    n_controls: int = 20,
    seed: int = 0,
    progress: bool = True,
) -> Validation:
    """Test a graph's predictions on the model.

    The ``k`` most influential features are ablated one by one, nothing held (mode ``propagated``), and so is for each
    a matched random feature: active at the same layer and position and about as strongly. A prediction that holds as
    well for the effects of the control says nothing about the feature. Then each supernode is replaced by its
    opposite (its members' activations times −1), beside ``n_controls`` sets of matched features.

    Args:
        clean: the clean run of the graph's prompt.
        graph: prune it or not; predictions follow the edges that it has. One of its outputs is a token at the last
            position, and the most probable of these is followed. Without supernodes some are suggested.
        k: how many features to ablate.
        n_supernodes: how many supernodes at most, the most influential first.
        n_controls: how many sets of matched features a supernode is compared with.
        seed: of controls and intervals.

    Raises:
        ConfigError: the graph has fewer than two features or explains no token at the last position, or a number
            cannot be used.

    Source: Ameisen et al., "Circuit Tracing" (2025), section "Evaluating mechanistic faithfulness".
    """
    if k < 2 or n_controls < 1 or n_supernodes < 0:
        raise ConfigError(
            f"k is {k}, n_controls {n_controls} and n_supernodes {n_supernodes}: give at least 2 nodes, 1 control and "
            "0 supernodes."
        )
    if graph.n_features < 2:
        raise ConfigError(f"The graph has {graph.n_features} features, and at least 2 are needed: keep more of it.")
    logit_row, token_id = followed_token(graph)
    features = graph.nodes.iloc[: graph.n_features]
    by_influence = np.argsort(-features["influence"].to_numpy(), kind="stable")
    top = np.sort(by_influence[:k])
    groups = _supernodes(graph, clean, n_supernodes)
    bar = tqdm(total=2 * len(top) + (n_controls + 1) * len(groups), desc="validating", disable=not progress)
    with bar:
        run = _Ablations(clean, graph, top, logit_row, token_id, seed, bar)
        nodes, pairs, cosines = run.tables()
        supernodes = run.opposites(groups, n_controls)
    return Validation(
        prompt=graph.prompt,
        target=token_strings(clean.model, torch.tensor([token_id]))[0],
        figures=_figures(nodes, pairs, seed),
        nodes=nodes,
        pairs=pairs,
        cosines=cosines,
        supernodes=supernodes,
    )


class _Ablations:
    """The top nodes of one graph, with what is reused from one edit to the next."""

    def __init__(
        self,
        clean: CleanRun,
        graph: Graph,
        top: np.ndarray,
        logit_row: int,
        token_id: int,
        seed: int,
        bar: Any,
    ) -> None:
        self._clean, self._graph, self._top, self._seed, self._bar = clean, graph, top, seed, bar
        self._logit_row, self._token_id = logit_row, token_id
        self._rows = graph.nodes.iloc[top]
        columns = (self._rows[name].to_numpy(np.int64).copy() for name in ("layer", "feature", "position"))
        self._places = Places(*(torch.from_numpy(column) for column in columns))
        self._residuals = clean_residuals(clean)

    def tables(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Ablate every node and its control."""
        sources = self._top.tolist()
        predicted, logits = predicted_changes(self._graph, [[source] for source in sources], 0.0)
        influence = influence_between(self._graph, sources)
        nodes, pairs, cosines = [], [], []
        row: Any
        for at, row in enumerate(self._rows.itertuples()):
            edit = Edit.node(str(row.node_id), factor=0)
            control = self._control(edit, at)
            own = self._measured([edit])
            other = self._measured([control]) if control is not None else None
            effects = [own] if other is None else [own, other]
            by_layer = replacement_cosines(
                self._clean, [edit], [effect.residuals for effect in effects], self._residuals
            )
            curves = [*by_layer, {}][:2]
            for layer, value in curves[0].items():
                if layer > row.layer:
                    control_cosine = curves[1].get(layer, np.nan)
                    cosines.append((row.node_id, layer, layer - row.layer, value, control_cosine))
            nodes.append(
                {
                    **{name: getattr(row, name) for name in ("node_id", "layer", "feature", "position", "token")},
                    **{name: getattr(row, name) for name in ("activation", "influence")},
                    "predicted_logit": float(logits[self._logit_row, at]),
                    "logit": own.logit,
                    "kl": own.kl,
                    "cosine": curves[0].get(row.layer + 1, np.nan),
                    "control_feature": -1 if control is None else control.feature,
                    "control_logit": np.nan if other is None else other.logit,
                    "control_kl": np.nan if other is None else other.kl,
                    "control_cosine": curves[1].get(row.layer + 1, np.nan),
                }
            )
            pairs.append(self._pairs(at, predicted[self._top, at], influence[self._top, at], own, other))
        return (
            pd.DataFrame(nodes),
            pd.concat(pairs, ignore_index=True),
            pd.DataFrame(cosines, columns=["node_id", "layer", "distance", "cosine", "control"]),
        )

    def opposites(self, groups: dict[str, list[str]], n_controls: int) -> pd.DataFrame:
        """Replace every supernode by its opposite, and matched features by theirs."""
        rows = []
        for name, ids in groups.items():
            members = self._graph.row_of_node.loc[ids].tolist()
            _, logits = predicted_changes(self._graph, [members], -1.0)
            edits = list(SupernodeEdit.nodes(ids, name=name, factor=-1).edits)
            own = self._measured(edits)
            controls = []
            for control in _controls(self._clean, edits, n_controls, self._seed):
                controls.append(self._measured(control))
            moved = np.array([effect.logit for effect in controls])
            rows.append(
                {
                    "supernode": name,
                    "members": len(ids),
                    "predicted": float(logits[self._logit_row, 0]),
                    "logit": own.logit,
                    "kl": own.kl,
                    "n_controls": len(controls),
                    "control_logit": float(moved.mean()) if len(moved) else np.nan,
                    "control_low": float(np.quantile(moved, 0.025)) if len(moved) else np.nan,
                    "control_high": float(np.quantile(moved, 0.975)) if len(moved) else np.nan,
                    "control_kl": float(np.mean([effect.kl for effect in controls])) if controls else np.nan,
                    "p": (1 + int((np.abs(moved) >= abs(own.logit)).sum())) / (1 + len(moved)),
                }
            )
        columns = ["supernode", "members", "predicted", "logit", "kl", "n_controls", "control_logit"]
        return pd.DataFrame(rows, columns=[*columns, "control_low", "control_high", "control_kl", "p"])

    def _measured(self, edits: list[Edit]) -> Effects:
        self._bar.update()
        return measure(self._clean, edits, token_id=self._token_id, places=self._places, residuals=self._residuals)

    def _control(self, edit: Edit, at: int) -> Edit | None:
        found = _controls(self._clean, [edit], 1, self._seed + at)
        return found[0][0] if found else None

    def _pairs(
        self, at: int, predicted: torch.Tensor, influence: torch.Tensor, own: Effects, other: Effects | None
    ) -> pd.DataFrame:
        """Return the pairs of one source with the nodes that the graph says it reaches."""
        reached = influence.numpy() > 0
        reached[at] = False
        activation = self._rows["activation"].to_numpy(np.float64)[reached]
        control = np.full(reached.sum(), np.nan) if other is None else other.activations.numpy()[reached] / activation
        return pd.DataFrame(
            {
                "source": self._rows["node_id"].iloc[at],
                "target": self._rows["node_id"].to_numpy()[reached],
                "influence": influence.numpy()[reached],
                "predicted": predicted.numpy()[reached],
                "measured": own.activations.numpy()[reached] / activation,
                "control": control,
            }
        )


def _controls(clean: CleanRun, edits: list[Edit], n: int, seed: int) -> list[list[Edit]]:
    try:
        return matched_controls(clean, edits, n, seed=seed)
    except InterventionError:
        return []  # No other feature is active there: the tables say that there is no control.


def followed_token(graph: Graph) -> tuple[int, int]:
    """Return the most probable token at the last position: its row among the outputs, and its id.

    Raises:
        ConfigError: the graph explains none.
    """
    outputs = graph.nodes[graph.nodes["kind"] == "logit"].reset_index(drop=True)
    is_token = outputs["node_id"].astype(str).str.startswith("l/") & (outputs["position"] == len(graph.tokens) - 1)
    if not is_token.any():
        raise ConfigError("The graph explains no token at the last position: attribute the prompt with tokens.")
    row = int(np.where(is_token, outputs["probability"].fillna(0), -1).argmax())
    return row, int(str(outputs["node_id"].iloc[row]).split("/")[1])


def _supernodes(graph: Graph, clean: CleanRun, n: int) -> dict[str, list[str]]:
    """Return the features of the most influential supernodes by name; suggested ones where the graph has none."""
    if n == 0:
        return {}
    if not (graph.nodes["supernode"].astype(str) != "").any():
        pruned = graph if "node_threshold" in graph.info else graph.prune()
        return dict(list(suggest_supernodes(pruned, clt=clean.clt, k=n).items())[:n])
    features = graph.nodes.iloc[: graph.n_features]
    named = features[features["supernode"].astype(str) != ""]
    total = named.groupby(named["supernode"].astype(str))["influence"].sum().sort_values(ascending=False)
    return {
        str(name): named.loc[named["supernode"].astype(str) == name, "node_id"].astype(str).tolist()
        for name in total.index[:n]
    }


def _figures(nodes: pd.DataFrame, pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    of_node = np.arange(len(nodes))
    of_pair = pairs["source"].map({node: at for at, node in enumerate(nodes["node_id"])}).to_numpy(np.int64)
    size = pairs[["measured", "control"]].abs()
    logit = nodes["predicted_logit"].to_numpy()
    cases: list[tuple[str, Figure, np.ndarray, pd.Series, pd.Series, np.ndarray]] = [
        ("influence_spearman", spearman, pairs["influence"].to_numpy(), size["measured"], size["control"], of_pair),
        ("spearman", spearman, pairs["predicted"].to_numpy(), pairs["measured"], pairs["control"], of_pair),
        ("sign_agreement", sign_agreement, pairs["predicted"].to_numpy(), pairs["measured"], pairs["control"], of_pair),
        ("logit_spearman", spearman, logit, nodes["logit"], nodes["control_logit"], of_node),
        ("logit_sign_agreement", sign_agreement, logit, nodes["logit"], nodes["control_logit"], of_node),
        ("kl_spearman", spearman, nodes["influence"].to_numpy(), nodes["kl"], nodes["control_kl"], of_node),
        ("cosine", mean_of, np.empty(0), nodes["cosine"], nodes["control_cosine"], of_node),
    ]  # fmt: skip
    rows = []
    for name, figure, predicted, own, control, unit in cases:
        row: dict[str, object] = {"figure": name}
        for prefix, values in (("", own), ("control_", control)):
            measured = values.to_numpy(np.float64)
            there = ~np.isnan(measured)
            first = measured if figure is mean_of else predicted
            value, bounds = with_interval(figure, first[there], measured[there], unit[there], seed=seed)
            low, high = bounds or (np.nan, np.nan)
            row |= {prefix + "value" if not prefix else "control": value, prefix + "low": low, prefix + "high": high}
        rows.append(row | {"paper": PAPER.get(name, np.nan), "n": int(own.notna().sum())})
    columns = ["figure", "value", "low", "high", "control", "control_low", "control_high", "paper", "n"]
    return pd.DataFrame(rows)[columns]
