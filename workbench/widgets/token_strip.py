"""A text as its tokens, each coloured by what was measured at it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
import traitlets
from jaxtyping import Float
from numpy.typing import ArrayLike

from workbench.errors import ConfigError
from workbench.widgets.kit import Columns, Widget
from workbench.widgets.kit.plain import plain_text

Kind: TypeAlias = Literal["activation", "probability", "entropy", "surprise"]
SCALES = ("own", "shared")
# As many hues as can be told apart.
MOST_SHOWN = 6


class TokenStrip(Widget, bundle="token-strip"):
    """A text coloured by the activations of features, or by the model's probability, entropy or surprise.

    ::

        strip = wb.TokenStrip(tokens, activations, names=["12/311", "14/7"])
        strip.shown = [1]       # colour by the second feature alone
        strip.selected          # the position that was clicked, or None

    Args:
        tokens: the text's tokens as text, as ``token_strings`` gives them.
        values: one or several series with a value for each token; NaN where there is none, as for the probability of
            the first token.
        names: the series' names; by default the kind, numbered where there are several.
        kind: what the values are. Probabilities are from 0 to 1, entropy and surprise in nats.
        scale: the value of the full colour: "own" for the largest of each series, "shared" for the largest of all, or
            a number. By default 1 for probabilities and "own" for the rest.
        shown: the series that colour the text, six at most; by default the first.

    Attributes:
        selected: the position of the token that was clicked, or None.
        shown: the indices of the series that colour the text; each is a hue of its own.
        scale: as above.

    Raises:
        ConfigError: no token, values that do not belong to the tokens or cannot be of their kind, a series that does
            not exist, a scale that is none.
    """

    tokens: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    names: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    kind = traitlets.Enum(get_args(Kind), "activation").tag(sync=True)
    data = Columns()
    # Not Any, which takes None without a check.
    scale: Any = traitlets.TraitType("own").tag(sync=True)
    shown: Any = traitlets.List(traitlets.Int()).tag(sync=True)
    selected: Any = traitlets.Int(None, allow_none=True).tag(sync=True)

    def __init__(
        self,
        tokens: Sequence[str],
        values: ArrayLike | Sequence[ArrayLike],
        *,
        names: Sequence[str] | None = None,
        kind: Kind = "activation",
        scale: Literal["own", "shared"] | float | None = None,
        shown: Sequence[int] | None = None,
    ) -> None:
        if kind not in get_args(Kind):
            raise ConfigError(f"A token strip shows no kind {kind!r}: choose {', '.join(get_args(Kind))}.")
        texts = _checked_tokens(tokens)
        self._values = _checked_values(values, len(texts), kind)
        if names is None:
            names = [kind] if len(self._values) == 1 else [f"{kind} {i + 1}" for i in range(len(self._values))]
        if isinstance(names, str) or len(names) != len(self._values):
            given = "one text" if isinstance(names, str) else str(len(names))
            raise ConfigError(f"There are {len(self._values)} series and {given} as names: give one name a series.")
        super().__init__(
            tokens=texts,
            names=[plain_text(str(name)) for name in names],
            kind=kind,
            data={"values": self._values.reshape(-1)},
            scale=(1.0 if kind == "probability" else "own") if scale is None else scale,
            shown=[0] if shown is None else list(shown),
        )

    @property
    def values(self) -> pd.DataFrame:
        """The values by position (index) and series (columns)."""
        return pd.DataFrame(self._values.T, columns=list(self.names)).rename_axis("position")

    @traitlets.validate("scale")
    def _check_scale(self, proposal: Any) -> str | float:
        scale = proposal["value"]
        if scale in SCALES:
            return str(scale)
        is_number = isinstance(scale, numbers.Real) and not isinstance(scale, bool)
        if not is_number or not math.isfinite(scale) or scale <= 0:
            raise ConfigError(f"The scale is {scale!r}: give 'own', 'shared' or a number above 0.")
        return float(scale)

    @traitlets.validate("shown")
    def _check_shown(self, proposal: Any) -> list[int]:
        shown: list[int] = list(dict.fromkeys(proposal["value"]))
        unknown = [index for index in shown if not 0 <= index < len(self._values)]
        if unknown or not shown:
            asked = f"series {unknown[0]}" if unknown else "no series"
            raise ConfigError(f"The strip cannot show {asked}: choose from 0 … {len(self._values) - 1}.")
        if len(shown) > MOST_SHOWN:
            raise ConfigError(f"{len(shown)} series cannot be told apart by colour: show {MOST_SHOWN} at most.")
        return shown

    @traitlets.validate("selected")
    def _check_selected(self, proposal: Any) -> int | None:
        selected: int | None = proposal["value"]
        if selected is not None and not 0 <= selected < len(self.tokens):
            raise ConfigError(f"There is no token {selected}: choose a position from 0 … {len(self.tokens) - 1}.")
        return selected


def _checked_tokens(tokens: Sequence[Any]) -> list[str]:
    if isinstance(tokens, str):
        raise ConfigError("The tokens are one text: give a list with the text of each token.")
    texts = [plain_text(token) if isinstance(token, str) else token for token in tokens]
    if not texts:
        raise ConfigError("There is no token to show: give a text of at least one token.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ConfigError(f"Token {position} is a {type(text).__name__}: give the tokens as text, not as ids.")
    return texts


def _checked_values(values: Any, n_tokens: int, kind: Kind) -> Float[np.ndarray, "series token"]:
    try:
        array = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"The values are no numbers in series of equal length ({error}): give an array.") from None
    array = array[None] if array.ndim == 1 else array
    if array.ndim != 2 or array.shape[1] != n_tokens or not len(array):
        raise ConfigError(
            f"The values have the shape {tuple(np.shape(values))} and there are {n_tokens} tokens: give one value a "
            "token, or an array (series, token)."
        )
    if np.isinf(array).any():
        raise ConfigError("A value is infinite: give finite values, and NaN where there is none.")
    # Rounding may carry a probability or an entropy a little beyond its bounds.
    if kind != "activation" and np.nanmin(array, initial=0.0) < -1e-3:
        raise ConfigError(f"A value is {np.nanmin(array):g}: {kind} cannot be negative.")
    if kind == "probability" and np.nanmax(array, initial=0.0) > 1.001:
        raise ConfigError(f"A value is {np.nanmax(array):g}: probabilities are from 0 to 1.")
    return array
