"""From measurements to lines: a number, its interval and its control, and what they mean in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.evaluation.bootstrap import Interval, Resamples, interval, mean_interval
from workbench.evaluation.scrutiny.attention import hidden_share
from workbench.evaluation.scrutiny.probe import Labelled
from workbench.evaluation.scrutiny.result import Line
from workbench.evaluation.validation.statistics import sign_agreement, spearman, with_interval

# Above these a cosine of two pictures counts as the same picture, and as a similar one; the first is also what a
# probe has to reach.
SAME, SIMILAR = 0.9, 0.7
PERMUTATIONS = 200


def path_line(own: pd.DataFrame, shuffled: pd.DataFrame, *, seed: int) -> Line:
    """Return how much error the shown paths pass."""
    question = "How much of what feeds the nodes along the paths shown is error, which nobody explains?"
    if not len(own):
        return Line("paths", question, "No path from a token to the answer is shown: keep more of the graph.")
    values = torch.tensor(own["error_share"].to_numpy("float64"))
    number = float(values.mean())
    control = float(shuffled["error_share"].mean()) if len(shuffled) else math.nan
    return Line(
        "paths",
        question,
        f"{number:.0%} of it, on average over the {len(own)} strongest paths; {control:.0%} with the same features "
        "and shuffled decoders.",
        number,
        control,
        mean_interval(values, Resamples.draw(len(values), seed=seed)),
        len(own),
    )


def direct_line(parts: Mapping[str, float], answer: str, shuffled_share: float) -> Line:
    """Return through what the answer's logit is written."""
    question = f"What writes the logit of {answer!r} (above the mean logit)?"
    total = sum(parts.values())
    share = parts.get("feature", 0.0) / total if total else math.nan
    told = [
        f"{name} {parts[kind]:+.2f}"
        for kind, name in (
            ("feature", "features"),
            ("error", "errors"),
            ("token", "tokens directly, through attention alone"),
            ("bias", "biases and the start token"),
        )
        if kind in parts
    ]
    return Line(
        "paths",
        question,
        f"Of {total:.2f} in all: {', '.join(told)}. The number is the features' share.",
        share,
        shuffled_share,
    )


def dictionary_line(own: float, shuffled: float) -> Line:
    """Return whether any dictionary with these activations would do."""
    question = "Would a shuffled CLT explain as much? (replacement score: influence that begins at tokens, not errors)"
    if own > shuffled + 0.1:
        said = "No"
    elif own > shuffled:
        said = "Nearly"
    else:
        said = "Yes, so the scores of this graph say nothing about its features"
    return Line("paths", question, f"{said}: {own:.2f} here, {shuffled:.2f} with shuffled decoders.", own, shuffled)


def variant_line(
    row: Mapping[str, Any],
    *,
    own_replacement: float,
    shuffled: Mapping[str, Any],
    to_reference: float | None,
    bounds: Interval | None,
    found: Tensor,
    seed: int,
) -> Line:
    """Return how alike the picture of a variant is.

    Args:
        shuffled: the row of the shuffled CLT.
        to_reference: the cosine with the reference's effects; None for the reference itself.
        bounds: of the cosine with the graph's effects.
    """
    value, control = float(row["effect_cosine"]), float(shuffled["effect_cosine"])
    if value >= SAME:
        said = "Hardly"
    elif value >= SIMILAR:
        said = "Somewhat"
    else:
        said = "Yes"
    if value <= control:
        said += ", and a shuffled CLT's picture is as close"
    beside = "" if to_reference is None else f" ({to_reference:.2f} with the reference's)"
    again = mean_interval(found.double(), Resamples.draw(len(found), seed=seed))
    between = "" if again is None else f" (95 % {again[0]:.0%} to {again[1]:.0%})"
    return Line(
        "variants",
        f"Does the picture change with {row['title']}?",
        f"{said}: what features add to the answer's logit, by layer and position, has a cosine of {value:.2f} with "
        f"this graph's{beside}; where influence sits, {row['influence_cosine']:.2f} (shuffled decoders: "
        f"{shuffled['influence_cosine']:.2f}). Replacement score {row['replacement']:.2f}, here "
        f"{own_replacement:.2f}. Of the {len(found)} most influential "
        f"features {row['found_again']:.0%}{between} are found again, {row['found_control']:.0%} among features of "
        f"another layer; {row['active_too']:.0%} are active there, too.",
        value,
        control,
        bounds,
        len(found),
    )


def prediction_line(table: pd.DataFrame, *, seed: int) -> Line:
    """Return whether ablated features do what the graph says."""
    question = "Do features, when they are ablated in the model, do what the graph says?"
    predicted, measured = (table[name].to_numpy("float64") for name in ("predicted", "measured"))
    number, bounds = with_interval(spearman, predicted, measured, np.arange(len(table)), seed=seed)
    there = table["control"].notna().to_numpy()
    control = spearman(predicted[there], table["control"].to_numpy("float64")[there])
    if math.isnan(number):
        said = "Nobody can tell: there are too few features"
    elif bounds is not None and bounds[0] > max(control, 0.0):
        said = "Yes"
    elif number > 0:
        said = "Partly"
    else:
        said = "No"
    return Line(
        "model",
        question,
        f"{said}: rank correlation of predicted and measured change of the answer's logit; "
        f"{sign_agreement(predicted, measured):.0%} have the predicted sign. The control is the effects of matched "
        "features.",
        number,
        control,
        bounds,
        len(table),
    )


def lens_line(first: int | None, n_layers: int, half: int | None, answer: str) -> Line:
    """Return from where on the model itself holds the answer.

    Args:
        half: the layer from which on the features up to it add half of what all add directly; None where they add
            nothing.
    """
    question = f"From which layer on does the residual stream itself say {answer!r}? (logit lens, no transcoder)"
    if first is None:
        said = "From none on: the most probable token is another one, even behind the last layer."
    else:
        said = f"From layer {first} of {n_layers - 1} on."
    if half is not None:
        said += f" Half of what the graph's features add to it is there from layer {half} on."
    return Line("model", question, said, math.nan if first is None else float(first))


def mlp_line(table: pd.DataFrame, *, seed: int) -> Line:
    """Return whether MLPs matter where the graph's features do; shuffled layers within a position are the control."""
    return _place_line(
        table,
        "effect",
        "Do the MLPs matter where the graph puts its features? (each MLP output replaced by its mean, no transcoder)",
        "between the features' influence and the effect on the answer's logit, over layers and positions",
        "position",
        "layers shuffled within each position",
        seed,
    )


def patching_line(table: pd.DataFrame, *, seed: int) -> Line:
    """Return whether the answer is carried where the graph says; shuffled positions within a layer are the control."""
    strongest = table.iloc[int(table["recovered"].to_numpy().argmax())]
    told = (
        f" The most comes back at layer {strongest['layer']}, position {strongest['position']} "
        f"({strongest['token']!r}): {strongest['recovered']:.0%}."
    )
    line = _place_line(
        table,
        "recovered",
        "Is the answer carried where the graph says? (clean residual streams patched into the corrupted prompt's run)",
        "between the influence that stands in the residual stream and what patching brings back",
        "layer",
        "positions shuffled within each layer",
        seed,
    )
    return line._replace(answer=line.answer + told)


def probe_line(table: pd.DataFrame, right: Tensor, labelled: Labelled, *, seed: int) -> Line:
    """Return whether labelled prompts can be told apart without any transcoder, and as what this one is told.

    Args:
        right: of every prompt, whether it is told right at the best depth.
    """
    question = "Can what the prompt is about be read off the residual stream? (linear probe, no transcoder)"
    best = table.iloc[int(table["accuracy"].to_numpy().argmax())]
    counts = torch.bincount(labelled.label).double()
    # Labels weigh alike: the mean of these is the mean recall.
    weighted = right * len(right) / (len(counts) * counts[labelled.label])
    own, says = labelled.labels[0], table["says"].to_numpy()
    wrong = np.flatnonzero(says != own)
    held = 0 if not len(wrong) else int(wrong[-1]) + 1
    if held == len(table):
        told = f"It takes this prompt for {says[-1]!r} behind the last layer."
    else:
        since = "the embedding" if held == 0 else f"layer {table['layer'].iloc[held]}"
        told = f"It takes this prompt for {own!r} from {since} on."
    names = ", ".join(repr(name) for name in labelled.labels)
    number, control = float(best["accuracy"]), float(best["best_control"])
    bounds = mean_interval(weighted, Resamples.draw(len(weighted), seed=seed))
    above = bounds is not None and bounds[0] > control
    verdict = "Yes" if above and number >= SAME else "Partly" if above else "Not clearly"
    where = "in the embedding" if best["layer"] < 0 else f"behind layer {best['layer']}"
    return Line(
        "model",
        question,
        f"{verdict}: a probe at the last position tells {names} apart in {number:.0%} of the prompts that it was not "
        f"fitted on, at best ({where}); {control:.0%} with labels exchanged at random, "
        f"{table['accuracy'].iloc[0]:.0%} from the last token's embedding alone. {told}",
        number,
        control,
        bounds,
        len(right),
    )


def _place_line(
    table: pd.DataFrame, column: str, question: str, what: str, within: str, shuffling: str, seed: int
) -> Line:
    influence, effect = table["influence"].to_numpy("float64"), table[column].abs().to_numpy("float64")
    number, bounds = with_interval(spearman, influence, effect, np.arange(len(table)), seed=seed)
    random = np.random.default_rng(seed)
    groups = [np.flatnonzero(table[within].to_numpy() == one) for one in table[within].unique()]
    drawn = []
    for _ in range(PERMUTATIONS):
        shuffled = influence.copy()
        for group in groups:
            shuffled[group] = random.permutation(influence[group])
        drawn.append(spearman(shuffled, effect))
    control, above = float(np.mean(drawn)), float(np.quantile(drawn, 0.95))
    if math.isnan(number):
        said = "Nobody can tell: one of the two does not vary"
    elif number > above:
        said = "More than by chance" if number < 0.5 else "Largely"
    else:
        said = "Not more than by chance"
    return Line(
        "model",
        question,
        f"{said}: rank correlation {what}; {control:.2f} with {shuffling}, 95 % of them below {above:.2f}.",
        number,
        control,
        bounds,
        len(table),
    )


def through_line(share: float, n_edges: int) -> Line:
    """Return how much of the picture runs through frozen attention."""
    return Line(
        "attention",
        "How much of the picture runs through attention, whose patterns the graph takes as given?",
        f"{share:.0%} of the edges' influence passes at least one attention layer; why a head looks where it looks "
        "(QK) is not in the graph.",
        share,
        n=n_edges,
    )


def frozen_line(table: pd.DataFrame, *, seed: int) -> Line:
    """Return how much of the ablations' effects is due to attention patterns that change."""
    free, frozen = (torch.tensor(table[name].to_numpy("float64")) for name in ("measured", "frozen"))
    number = hidden_share(free, frozen)
    resamples = Resamples.draw(len(table), seed=seed)
    drawn = resamples.totals((free - frozen).abs()) / resamples.totals(free.abs())
    there = table.dropna(subset=["control", "control_frozen"])
    others = (torch.tensor(there[name].to_numpy("float64")) for name in ("control", "control_frozen"))
    if math.isnan(number):
        said = "Nobody can tell: the ablations change nothing"
    elif number < 0.1:
        said = "Little"
    elif number < 0.5:
        said = "Some of it"
    else:
        said = "Much of it"
    return Line(
        "attention",
        "How much of what ablated features do is due to attention patterns that change, which the graph holds frozen?",
        f"{said}: Σ|free − frozen| / Σ|free| over the ablations; the control is that of matched features.",
        number,
        hidden_share(*others),
        interval(drawn, number) if len(table) > 1 and not math.isnan(number) else None,
        len(table),
    )


def missing_line(part: str, question: str, why: str) -> Line:
    """Return a line of what was not measured."""
    return Line(part, question, f"Not measured: {why}")
