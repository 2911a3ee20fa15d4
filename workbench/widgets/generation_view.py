"""Text as the clean and the steered model write it, side by side, token by token."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import pandas as pd
import traitlets

from workbench.errors import ConfigError, WorkbenchError
from workbench.interventions.generation import Generation, Token
from workbench.widgets.kit import NewestWins, Widget
from workbench.widgets.kit.plain import plain_text
from workbench.widgets.kit.requests import Method

_log = logging.getLogger(__name__)

# Seconds between two pictures of a text that grows, and what each token that there is adds to them: every picture
# holds the whole text.
_REST, _REST_A_TOKEN = 0.08, 0.001


class Generating(Protocol):
    """A generation at work: :class:`workbench.interventions.generation.Generating`, or what has the same."""

    def __iter__(self) -> Iterator[Token]: ...
    def cancel(self) -> None: ...
    @property
    def result(self) -> Generation: ...


class Settings(NamedTuple):
    """What the widget can change between two generations."""

    seed: int = 0
    temperature: float = 0.0
    max_new_tokens: int = 20


Stream: TypeAlias = Callable[[Settings], Generating]


class GenerationView(Widget, bundle="generation-view"):
    """How the clean and the steered model go on with a prompt, side by side, as it is produced.

    Every token tells its probability, what the clean model gives it after the same text, and the most probable
    tokens in its place; where the two texts part is marked. ``bench.steer`` makes one that is at work::

        view = bench.steer("The weather today is", [wb.Edit.everywhere(12, 311, add=4)], max_new_tokens=30)
        view                      # the last line of a cell shows it
        view.wait()
        view.side_by_side, view.tokens, view.alternatives
        view.seed = 1
        view.start()              # once more

    ``wb.GenerationView(bench.generate(...))`` shows what was generated before.

    Args:
        source: a generation that is there, or a function that begins one with the given settings.
        settings: the seed, the temperature and the number of tokens.
        chat: whether the prompt went through the model's chat template; None where that is not known.

    Attributes:
        seed, temperature, max_new_tokens: of the next :meth:`start`.
        chosen: the run and the step of the token that was clicked, such as ``("steered", 3)``, or None.
        running: whether tokens are still being produced.
        error: why the last generation failed, or "".

    Raises:
        WorkbenchError: the generation cannot begin: an edit does not fit the prompt, or a setting cannot be used.
    """

    prompt: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    edits: Any = traitlets.List(traitlets.Unicode()).tag(sync=True)
    mode = traitlets.Unicode().tag(sync=True)
    chat = traitlets.Bool(None, allow_none=True).tag(sync=True)
    seed = traitlets.Int(0).tag(sync=True)
    temperature = traitlets.Float(0.0).tag(sync=True)
    max_new_tokens = traitlets.Int(20).tag(sync=True)
    # Run → its tokens, and how it ended ("" while it goes on).
    texts = traitlets.Dict().tag(sync=True)
    endings = traitlets.Dict().tag(sync=True)
    # The settings of the text that is shown; those above are of the next one.
    made = traitlets.Dict().tag(sync=True)
    chosen: Any = traitlets.Tuple(traitlets.Unicode(), traitlets.Int(), default_value=None, allow_none=True).tag(
        sync=True
    )
    running = traitlets.Bool(False).tag(sync=True)
    error = traitlets.Unicode().tag(sync=True)
    can_start = traitlets.Bool(False).tag(sync=True)

    def __init__(
        self, source: Generation | Stream, *, settings: Settings | None = None, chat: bool | None = None
    ) -> None:
        settings = settings or Settings()
        self._generating: Generating | None = None
        self._closed = False
        self._stream: Stream | None = None
        if isinstance(source, Generation):
            self._generation = source
        else:
            self._stream = source
            # Begun here, so that what cannot begin is the caller's error and leaves no widget.
            self._generating = source(settings)
            self._generation = self._generating.result
        # Which generation is wanted, and which one was asked for last: they differ once it was stopped.
        self._wanted = self._asked = 0
        self._worker: NewestWins[tuple[int, Settings, Generating | None]] = NewestWins(
            self._run, name=type(self).__name__
        )
        until = self._generation.until
        super().__init__(
            prompt=[plain_text(token) for token in self._generation.prompt],
            edits=[plain_text(str(edit)) for edit in self._generation.edits],
            mode=self._generation.mode + ("" if until is None else f" until layer {until}"),
            chat=chat,
            can_start=self._stream is not None,
            texts={name: [] for name in self._generation.runs},
            endings=dict.fromkeys(self._generation.runs, ""),
            **settings._asdict(),
        )
        if self._generating is None:
            self._show(running=False)
        else:
            self.running = True
            self._worker.submit((0, settings, self._generating))

    @property
    def settings(self) -> Settings:
        """The settings of the next generation."""
        return Settings(self.seed, self.temperature, self.max_new_tokens)

    @property
    def result(self) -> Generation:
        """What has been generated so far."""
        generating = self._generating
        return self._generation if generating is None else generating.result

    @property
    def tokens(self) -> pd.DataFrame:
        """One row a token; see :attr:`workbench.interventions.generation.Generation.tokens`."""
        return self.result.tokens

    @property
    def alternatives(self) -> pd.DataFrame:
        """The most probable tokens at every place, or at the chosen one where there is one."""
        table = self.result.alternatives
        if self.chosen is None:
            return table
        run, step = self.chosen
        here: pd.DataFrame = table[(table["run"] == run) & (table["step"] == step)]
        return here.reset_index(drop=True)

    @property
    def side_by_side(self) -> pd.DataFrame:
        """Clean and steered, one row a step; see :attr:`workbench.interventions.generation.Generation.side_by_side`."""
        return self.result.side_by_side

    @property
    def parts_at(self) -> int | None:
        """The first step at which the two texts differ; None where they do not, or there is only one."""
        ids = [[token["id"] for token in tokens] for tokens in self.texts.values()]
        if len(ids) < 2:
            return None
        for step, (one, other) in enumerate(zip(*ids, strict=False)):
            if one != other:
                return step
        # One has ended where the other goes on; while they are being produced one is a token ahead.
        shorter = min(map(len, ids))
        return None if self.running or len(ids[0]) == len(ids[1]) else shorter

    def start(self) -> None:
        """Generate once more, with the settings that stand; what is being generated ends.

        Raises:
            ConfigError: this view shows a generation that was made elsewhere, or the widget was closed.
        """
        if self._stream is None or self._closed:
            raise ConfigError("This view cannot generate: make one with bench.steer(prompt, edits).")
        settings = _checked(self.settings)
        with self.state_lock:
            self._wanted = self._asked = max(self._wanted, self._asked) + 1
            self.running = True
            self._worker.submit((self._asked, settings, None))

    def stop(self) -> None:
        """End the generation after the token that is being computed; what there is stays."""
        with self.state_lock:
            self._wanted += 1

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is being generated.

        Args:
            timeout: seconds, or None for as long as it takes.

        Returns:
            False when time ran out or the generation failed; :attr:`error` says why.
        """
        if self._worker.runs_here or self.state_lock.is_mine:
            raise ConfigError("The text cannot end before this observer returns: observe 'running' instead.")
        return self._worker.wait(timeout) and not self.error

    def methods(self) -> Mapping[str, Method]:
        """Return what the widget asks for."""
        return {"start": lambda params: self.start(), "stop": lambda params: self.stop()}

    def close(self) -> None:
        """Close the widget and end its threads."""
        self._closed = True
        if worker := getattr(self, "_worker", None):  # None when the constructor raised
            worker.close()
            self.stop()
        super().close()

    def _run(self, asked: tuple[int, Settings, Generating | None]) -> None:
        """Produce a text and show it as it grows; on the worker's thread."""
        number, settings, generating = asked
        error = ""
        try:
            if generating is None:
                assert self._stream is not None
                generating = self._stream(settings)
            self._generating = generating
            told = 0.0
            self.publish(chosen=None, made=settings._asdict())
            self._show(running=True)
            for count, _ in enumerate(generating, 1):
                if self._closed or number != self._wanted:
                    generating.cancel()
                elif time.monotonic() - told > _REST + _REST_A_TOKEN * count:
                    self._show(running=True)
                    told = time.monotonic()
        except WorkbenchError as raised:
            error = plain_text(str(raised))
        except Exception as raised:  # noqa: BLE001
            # Whoever looks at the widget must learn of it; on a worker thread nobody else would.
            _log.exception("The generation failed: %s", settings)
            error = plain_text(f"{type(raised).__name__}: {raised}")
        self._generation, self._generating = self.result, None
        if not self._closed:
            # Another one may have been asked for meanwhile.
            self._show(running=number != self._asked, error=error)

    def _show(self, *, running: bool, error: str = "") -> None:
        runs = self.result.runs
        self.publish(
            texts={name: [_shown(token) for token in run.tokens] for name, run in runs.items()},
            # While it runs, what has no ending is not cancelled but under way.
            endings={name: "" if running and run.ending == "cancelled" else run.ending for name, run in runs.items()},
            error=error,
            running=running,
        )


def _shown(token: Token) -> dict[str, Any]:
    return {
        "token": plain_text(token.token),
        "id": token.token_id,
        "probability": token.probability,
        "clean": token.clean_probability,
        "kl": token.kl if math.isfinite(token.kl) else None,
        "alternatives": [
            {"token": plain_text(other.token), "id": other.token_id, "probability": other.probability}
            for other in token.alternatives
        ],
    }


def _checked(settings: Settings) -> Settings:
    """Check what would otherwise be said on a thread of its own.

    Raises:
        ConfigError: a number cannot be used.
    """
    if settings.max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens is {settings.max_new_tokens}: give at least 1.")
    if not (math.isfinite(settings.temperature) and settings.temperature >= 0):
        raise ConfigError(f"The temperature is {settings.temperature}: give 0 or a positive number.")
    return settings
