"""What was generated: the clean and the steered text, token by token, as tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pandas as pd

from workbench.errors import ConfigError
from workbench.interventions.result import figures

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.interventions.edits import Edit
    from workbench.interventions.run import Mode

Run = Literal["clean", "steered"]
Ending = Literal["length", "end", "cancelled"]


class Alternative(NamedTuple):
    """One of the most probable tokens at a place."""

    token: str
    token_id: int
    probability: float


class Token(NamedTuple):
    """A generated token.

    Attributes:
        run: ``"clean"`` or ``"steered"``.
        step: from 0.
        position: in the text, the start token being 0.
        probability: that its run's model gave it, before temperature, top_k and top_p.
        clean_probability: that the unedited model gives it after the same text.
        kl: KL(clean ‖ edited) in nats of the two next-token distributions after the same text; 0 in the clean run.
        alternatives: the most probable tokens there, the most probable first.
    """

    run: Run
    step: int
    position: int
    token: str
    token_id: int
    probability: float
    clean_probability: float
    kl: float
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True)
class Continuation:
    """One run's text.

    Attributes:
        tokens: what was generated.
        text: the same as text.
        ending: ``"length"`` (as many tokens as were asked for), ``"end"`` (the model ended it) or ``"cancelled"``.
    """

    tokens: tuple[Token, ...]
    text: str
    ending: Ending

    @property
    def token_ids(self) -> tuple[int, ...]:
        return tuple(token.token_id for token in self.tokens)


@dataclass(frozen=True, repr=False)
class Generation:
    """A prompt and how the clean and the steered model go on with it.

    Attributes:
        prompt: its tokens as text, the start token first.
        prompt_ids: its token ids.
        runs: ``"clean"``, ``"steered"`` or both.
        edits: the edits, their positions counted from 0.
        mode: ``"direct"``, ``"constrained"`` or ``"propagated"``.
        until: the last layer held in the mode ``"constrained"``.
    """

    prompt: tuple[str, ...]
    prompt_ids: tuple[int, ...]
    runs: Mapping[Run, Continuation]
    edits: tuple[Edit, ...]
    mode: Mode
    until: int | None

    @property
    def clean(self) -> Continuation:
        """How the unedited model goes on.

        Raises:
            ConfigError: it was not asked for.
        """
        return self._run("clean")

    @property
    def steered(self) -> Continuation:
        """How the edited model goes on.

        Raises:
            ConfigError: there were no edits.
        """
        return self._run("steered")

    @property
    def text(self) -> str:
        """The steered text; without edits the clean one."""
        return self._run("steered" if "steered" in self.runs else "clean").text

    @cached_property
    def tokens(self) -> pd.DataFrame:
        """One row a generated token: run, step, position, token, token_id, probability, clean_probability, kl."""
        columns = Token._fields[:-1]
        rows = [token[:-1] for run in self.runs.values() for token in run.tokens]
        return _typed(pd.DataFrame(rows, columns=list(columns)))

    @cached_property
    def alternatives(self) -> pd.DataFrame:
        """The most probable tokens at every place: run, step, rank (from 0), token, token_id, probability."""
        rows = [
            (token.run, token.step, rank, *alternative)
            for run in self.runs.values()
            for token in run.tokens
            for rank, alternative in enumerate(token.alternatives)
        ]
        return _typed(pd.DataFrame(rows, columns=["run", "step", "rank", *Alternative._fields]))

    @cached_property
    def side_by_side(self) -> pd.DataFrame:
        """Clean and steered, one row a step: clean, clean_probability, steered, steered_probability, same.

        The probabilities are those of each run's own model. Where one text is shorter its cells are empty.
        """
        sides: dict[str, Any] = {}
        for name, run in self.runs.items():
            sides[name] = pd.Series({token.step: token.token for token in run.tokens}, dtype="object")
            sides[f"{name}_probability"] = pd.Series(
                {token.step: token.probability for token in run.tokens}, dtype="float64"
            )
        table = pd.DataFrame(sides).rename_axis("step")
        if len(self.runs) == 2:
            table["same"] = table["clean"] == table["steered"]
        return table

    def plot(self) -> go.Figure:
        """Draw the probability of every token in its own run and in the unedited model, as a plotly figure."""
        figure: go.Figure = figures().generation(self)
        return figure

    def _run(self, name: Run) -> Continuation:
        if name not in self.runs:
            raise ConfigError(f"There is no {name} text: {'give compare=True' if name == 'clean' else 'give edits'}.")
        return self.runs[name]

    def __repr__(self) -> str:
        lines = [f"{name + ':':9}{run.text!r} ({run.ending})" for name, run in self.runs.items()]
        return "\n".join([f"Generation({len(self.edits)} edits, mode={self.mode!r})", *lines])


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    types: dict[str, Any] = dict.fromkeys(("step", "position", "rank", "token_id"), "int32")
    types |= dict.fromkeys(("probability", "clean_probability", "kl"), "float64")
    return table.astype({name: kind for name, kind in types.items() if name in table})
