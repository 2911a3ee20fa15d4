"""What a validation found, as tables and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
import torch

from workbench.errors import ConfigError
from workbench.evaluation.bootstrap import Resamples, mean, mean_interval
from workbench.interventions.result import figures

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Figures of "Circuit Tracing" (2025), 18-layer CLT: influence against effect between features, and the cosine of the
# perturbation one layer on.
PAPER = {"influence_spearman": 0.72, "cosine": 0.8}


@dataclass(frozen=True, repr=False)
class Validation:
    """Predicted against measured effects of a graph's nodes, beside those of matched controls.

    Attributes:
        prompt: the graph's prompt.
        target: the token whose logit is followed.
        figures: one row a figure: ``value`` with its 95 % bootstrap interval (``low``, ``high``) over the ablated
            nodes, ``control`` with ``control_low`` and ``control_high`` (the same figure with the effects of matched
            random features in place of the nodes' own), ``paper`` (what "Circuit Tracing" reports, where it does) and
            ``n`` (how many pairs or nodes).

            - ``influence_spearman``: influence of a node on another against |relative change| of its activation;
            - ``spearman``: the same with signs, predicted over all paths;
            - ``sign_agreement``: share of pairs whose change has the predicted sign;
            - ``logit_spearman``, ``logit_sign_agreement``: predicted against measured change of the target's logit;
            - ``kl_spearman``: influence on the output against KL(clean ‖ edited);
            - ``cosine``: of the residual stream's perturbation one layer on, predicted by the local replacement model.
        nodes: one row an ablated node: node_id, layer, feature, position, token, activation, influence,
            predicted_logit, logit, kl, cosine, and of its control: control_feature, control_logit, control_kl,
            control_cosine.
        pairs: one row a pair of nodes: source, target, influence, predicted, measured, control (relative changes of
            the target's activation).
        cosines: one row a node and layer: node_id, layer, distance (layers on), cosine, control.
        supernodes: one row a supernode replaced by its opposite (−1 times its activations): supernode, members,
            predicted (change of the target's logit), logit, kl, and of its controls their number, the mean and the
            interval of the middle 95 % of the logit change, the mean KL, and ``p``: the share of controls, it included,
            that move the logit at least as far.
    """

    prompt: str
    target: str
    figures: pd.DataFrame
    nodes: pd.DataFrame
    pairs: pd.DataFrame
    cosines: pd.DataFrame
    supernodes: pd.DataFrame

    @staticmethod
    def pooled(validations: Sequence[Validation], *, seed: int = 0) -> pd.DataFrame:
        """Return the mean of every figure over several prompts, with its 95 % bootstrap interval over prompts.

        Returns:
            The columns of :attr:`figures`; ``n`` is how many prompts have the figure.

        Raises:
            ConfigError: there is none, or two are of the same prompt.
        """
        prompts = [validation.prompt for validation in validations]
        if not prompts or len(set(prompts)) < len(prompts):
            raise ConfigError(f"The validations are of the prompts {prompts}: give at least one, and each prompt once.")
        resamples = Resamples.draw(len(prompts), seed=seed)
        rows = []
        tables = [validation.figures.set_index("figure") for validation in validations]
        for name in tables[0].index:
            row: dict[str, object] = {"figure": name}
            for column, prefix in (("value", ""), ("control", "control_")):
                values = torch.tensor([table[column][name] for table in tables], dtype=torch.float64)
                low, high = mean_interval(values, resamples) or (float("nan"), float("nan"))
                row |= {column: mean(values), prefix + "low": low, prefix + "high": high}
            n = sum(not pd.isna(table["value"][name]) for table in tables)
            rows.append(row | {"paper": tables[0]["paper"][name], "n": n})
        return pd.DataFrame(rows)[list(validations[0].figures.columns)]

    def plot(self) -> go.Figure:
        """Draw all of it in one picture, as a plotly figure."""
        figure: go.Figure = figures().validation(self)
        return figure

    def __repr__(self) -> str:
        by_name = self.figures.set_index("figure")
        shown = [
            f"{name} {by_name['value'][name]:.2f} (control {by_name['control'][name]:.2f})"
            for name in ("influence_spearman", "sign_agreement", "cosine")
        ]
        return f"Validation({self.prompt!r}: {', '.join(shown)}; {len(self.nodes)} nodes)"
