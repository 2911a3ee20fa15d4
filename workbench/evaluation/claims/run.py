"""Testing a claim: the edits and their matched controls on every prompt."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from workbench.errors import ConfigError, WorkbenchError
from workbench.evaluation.bootstrap import Resamples, mean_interval
from workbench.evaluation.claims.claim import Claim
from workbench.evaluation.claims.decide import EXPECTS, Expect, null_means, p_of_a_change, p_value
from workbench.evaluation.claims.metrics import Measure, Metric, measure_of, name_of
from workbench.evaluation.claims.table import check_table, claims_path, keep, with_verdicts
from workbench.evaluation.controls import matched_controls
from workbench.interventions import AnyEdit, CleanRun, Mode
from workbench.interventions.edits import flat
from workbench.models import LoadedModel

# The edits, or how to find them for a prompt.
Edits: TypeAlias = Sequence[AnyEdit] | Callable[[CleanRun], Sequence[AnyEdit]]


class _OnePrompt(NamedTuple):
    """What happened on one prompt."""

    prompt: str
    edits: str
    before: float
    after: float
    controls: list[tuple[str, float]]

    @property
    def effect(self) -> float:
        return self.after - self.before


def run_claim(
    model: LoadedModel,
    clean_run: Callable[[Any], CleanRun],
    statement: str,
    *,
    edits: Edits,
    metric: Metric | None = None,
    expect: Expect,
    over: Sequence[Any] | Mapping[str, Metric],
    controls: str | Sequence[Sequence[AnyEdit]] = "matched",
    n: int = 40,
    margin: float | None = None,
    mode: Mode = "propagated",
    until: int | None = None,
    seed: int = 0,
    clt_name: str = "",
    notebook: str | None = None,
    path: Path | str | None = None,
    progress: bool = True,
) -> Claim:
    """Test a claim about what edits do, and add the result to the table of claims.

    On every prompt the metric is read before and after the edits, and after those of matched controls: the same edits
    on other features that are active at the same layer and position and about as strongly. If the edited features were
    like any other ones, the effect could as well have been that of a control; the p-value is how often a random choice
    among them, on every prompt, does as much. It cannot fall below 1 / (controls + 1) on a single prompt: take several
    prompts, or more controls where the layer has so many active features.

    A claim that is refuted is a result: nothing is raised. The same test that is run again takes the place of its
    earlier row; a changed one counts as one more.

    Args:
        clean_run: gives the clean run of a prompt.
        statement: what is claimed, in words.
        edits: what is changed; or a function that finds the edits for a clean run.
        metric: :class:`LogitDifference`, :class:`Probability`, or a function of the next token's logits.
        expect: what the edits are claimed to do to it: ``"decrease"``, ``"increase"``, ``"change"`` (either), or
            ``"unchanged"`` (by less than ``margin``).
        over: prompts (texts, token ids or graphs), or a mapping of texts to metrics of their own.
        controls: ``"matched"``, or sets of edits to compare with.
        n: how many matched controls a prompt.
        margin: for ``"unchanged"``, in units of the metric.
        mode, until: as in :func:`workbench.interventions.intervene`.
        seed: of controls, draws and intervals.
        notebook: whose claims it belongs to; by default the one that runs.
        path: the table; see :func:`claims`.

    Raises:
        ConfigError: an option cannot be used, or a metric gives no finite number.
        InterventionError, PromptError: an edit or a prompt cannot be used; the message names the prompt.
        FormatError, ResourceError: the table cannot be read or written.
    """
    prompts = _checked(statement, expect, over, metric, controls, n, margin)
    where = claims_path(path)
    check_table(where)
    outcomes = []
    with tqdm(total=len(prompts), desc="testing the claim", disable=not progress) as bar:
        for number, (prompt, own_metric) in enumerate(prompts, start=1):
            clean, name = _opened(clean_run, prompt, number)
            measure = measure_of(own_metric, model)

            def after(changed: Sequence[AnyEdit], clean: CleanRun = clean, measure: Measure = measure) -> float:
                return measure(clean.intervene(changed, mode=mode, until=until).logits_after)

            try:
                wanted = list(edits(clean)) if callable(edits) else list(edits)
                sets = (
                    matched_controls(clean, wanted, n, seed=seed + number) if controls == "matched" else list(controls)
                )
                outcome = _OnePrompt(
                    prompt=name,
                    edits=_words(wanted),
                    before=measure(clean.logits),
                    after=after(wanted),
                    controls=[(_words(one), after(one)) for one in sets],  # type: ignore[arg-type]
                )
            except WorkbenchError as error:
                raise type(error)(f"Prompt {number} ({name!r}) cannot be tested: {error}") from error
            outcomes.append(outcome)
            bar.update()
    names = dict.fromkeys(name_of(one) for _, one in prompts)
    facts = {
        "notebook": notebook or current_notebook(),
        "statement": statement,
        "expect": expect,
        "metric": "; ".join(names),
        "margin": margin,
        "mode": mode,
        "until": until,
        "model": model.name,
        "clt": clt_name,
        "fingerprint": model.fingerprint,
        "seed": seed,
    }
    return _concluded(outcomes, facts, where, str(controls) if isinstance(controls, str) else "given")


def current_notebook() -> str:
    """Return the name of the notebook that runs, as Jupyter tells its kernels; ``"python"`` outside one."""
    return Path(os.environ.get("JPY_SESSION_NAME", "")).name or "python"


def _concluded(outcomes: Sequence[_OnePrompt], facts: dict[str, Any], path: Path, kind: str) -> Claim:
    seed, expect = facts["seed"], facts["expect"]
    effects = [outcome.effect for outcome in outcomes]
    controls = [[after - outcome.before for _, after in outcome.controls] for outcome in outcomes]
    means = [float(np.mean(own)) for own in controls]
    null = null_means(effects, controls, seed=seed)
    if expect == "unchanged":
        p = p_of_a_change(effects, facts["margin"], seed=seed)
    else:
        p = p_value(effects, null, expect)
    effect, control_effect, control_sd = float(np.mean(effects)), float(np.mean(means)), float(np.std(null))
    values = torch.tensor(effects, dtype=torch.float64)
    interval = mean_interval(values, Resamples.draw(len(effects), seed=seed))
    low, high = interval or (None, None)
    tested = {**facts, "edits": outcomes[0].edits, "prompts": [outcome.prompt for outcome in outcomes], "kind": kind}
    tested["controls"] = [[words for words, _ in outcome.controls] for outcome in outcomes]
    key = hashlib.sha256(json.dumps(tested, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
    row = {
        **facts,
        "key": key,
        "claimed_at": datetime.now(UTC),
        "effect": effect,
        "low": low,
        "high": high,
        "control_effect": control_effect,
        "control_sd": control_sd,
        "n_controls": min(map(len, controls)),
        "n_prompts": len(outcomes),
        "p": p,
        "edits": outcomes[0].edits,
        "prompts": [outcome.prompt for outcome in outcomes],
        "effects": effects,
    }
    keep(path, row)
    table = with_verdicts(path)
    own = table[table["key"] == key].iloc[0]
    return Claim(
        statement=facts["statement"],
        expect=expect,
        metric=facts["metric"],
        effect=effect,
        interval=interval,
        control_effect=control_effect,
        standardised=(effect - control_effect) / control_sd if control_sd > 0 else float("nan"),
        null=null,
        p=p,
        p_corrected=float(own["p_corrected"]),
        n_claims=int((table["notebook"] == facts["notebook"]).sum()),
        verdict=own["verdict"],
        prompts=_by_prompt(outcomes, controls),
        controls=pd.DataFrame(
            [
                (outcome.prompt, number, words, after - outcome.before)
                for outcome in outcomes
                for number, (words, after) in enumerate(outcome.controls)
            ],
            columns=["prompt", "control", "edits", "effect"],
        ),
        row=row,
    )


def _by_prompt(outcomes: Sequence[_OnePrompt], controls: Sequence[Sequence[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "prompt": outcome.prompt,
                "before": outcome.before,
                "after": outcome.after,
                "effect": outcome.effect,
                "n_controls": len(own),
                "control_effect": float(np.mean(own)),
                "control_low": float(np.quantile(own, 0.025)),
                "control_high": float(np.quantile(own, 0.975)),
            }
            for outcome, own in zip(outcomes, controls, strict=True)
        ]
    )


def _checked(
    statement: Any,
    expect: str,
    over: Any,
    metric: Metric | None,
    controls: str | Sequence[Sequence[AnyEdit]],
    n: int,
    margin: float | None,
) -> list[tuple[Any, Metric]]:
    """Return the prompts with their metrics after checking the options."""
    if not isinstance(statement, str) or not statement.strip():
        raise ConfigError("The claim has no statement: say in words what is claimed.")
    if expect not in EXPECTS:
        raise ConfigError(f"There is no expectation {expect!r}: choose from {', '.join(map(repr, EXPECTS))}.")
    if (expect == "unchanged") != (margin is not None) or (margin is not None and not margin > 0):
        raise ConfigError(
            f"expect is {expect!r} and margin {margin}: give a margin above 0 with 'unchanged', and with nothing else."
        )
    if isinstance(controls, str) and controls != "matched":
        raise ConfigError(f"There are no controls {controls!r}: give 'matched' or a list of sets of edits.")
    if n < 1 or (not isinstance(controls, str) and not len(controls)):
        raise ConfigError("A claim without a control says nothing: give at least 1.")
    if isinstance(over, str) or not len(over):
        raise ConfigError(f"The prompts are {over!r}: give a list of at least one.")
    if isinstance(over, Mapping):
        if metric is not None:
            raise ConfigError("The prompts have metrics of their own: leave out metric, or give a list of prompts.")
        prompts: list[tuple[Any, Metric]] = list(over.items())
    else:
        if metric is None:
            raise ConfigError("The claim has no metric: give one, or a mapping of prompts to metrics.")
        prompts = [(prompt, metric) for prompt in over]
    texts = [prompt for prompt, _ in prompts if isinstance(prompt, str)]
    twice = next((text for at, text in enumerate(texts) if text in texts[:at]), None)
    if twice is not None:
        raise ConfigError(f"The prompt {twice!r} is there twice and would count twice: drop one.")
    if expect == "unchanged" and len(prompts) < 2:
        raise ConfigError("Whether something is unchanged needs an interval: give at least two prompts.")
    return prompts


def _opened(clean_run: Callable[[Any], CleanRun], prompt: Any, number: int) -> tuple[CleanRun, str]:
    try:
        clean = clean_run(prompt)
    except WorkbenchError as error:
        raise type(error)(f"Prompt {number} cannot be tested: {error}") from error
    return clean, "".join(clean.token_strings[1:])


def _words(edits: Sequence[AnyEdit]) -> str:
    return "; ".join(map(str, flat(edits)))
