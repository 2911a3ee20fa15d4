"""Generating text under edits, token by token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.clt import CLT
from workbench.clt.formats.load import check_fits
from workbench.errors import ConfigError, PromptError
from workbench.interventions.edits import AnyEdit
from workbench.interventions.generation.cached_run import CachedRun
from workbench.interventions.generation.result import (
    Alternative,
    Continuation,
    Ending,
    Generation,
    Run,
    Token,
)
from workbench.interventions.generation.sampling import Sampling
from workbench.interventions.plan import Plan
from workbench.interventions.run import Mode, check_mode
from workbench.models import LoadedModel, checked_tokens, token_strings, tokenize

# Called with every token; returning False ends the generation.
OnToken = Callable[[Token], object]


def generate(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    edits: Iterable[AnyEdit] = (),
    *,
    on_token: OnToken | None = None,
    **options: Any,
) -> Generation:
    """Let the model go on with a prompt, with and without edits.

    Args:
        on_token: called with every :class:`Token` as it is produced, clean and steered in turns; returning False
            ends the generation.
        options: those of :class:`Generating`, which does the same as an iterator.

    Returns:
        What was generated; what there was, if it was ended early.

    Raises:
        InterventionError, ConfigError, PromptError, CLTError: as :class:`Generating`.
    """
    generating = Generating(model, clt, prompt, edits, **options)
    for token in generating:
        if on_token is not None and on_token(token) is False:
            generating.cancel()
    return generating.result


class Generating(Iterator[Token]):
    """A generation at work: iterate to get its tokens as they are produced.

    At every step the edited model gives exactly what :func:`workbench.interventions.intervene` gives for the text so
    far: what the edits change is measured against the activations that the unedited model has on that text, which is
    run beside it, and the modes hold what it computes there:

    - ``"propagated"``: Δ is added to what the MLPs compute; nothing is held. This is steering.
    - ``"constrained"`` with ``until=m``: at every position, new ones included, the MLP outputs up to layer m are those
      of the unedited model on the same text, plus Δ.
    - ``"direct"``: at every step the tokens that the graph's edges for the text so far would choose, attention and
      norms as in the unedited model on it.

    The keys and values of earlier positions are kept, so a step costs one token, not the text. An earlier position
    keeps what it was run with; that is no approximation, because a position's edit depends on the tokens up to it alone
    (a ramp's strength, too: it belongs to the position). Positions count from the end of the prompt, and an edit
    without an end (``Edit.everywhere``, ``slice(5, None)``) follows the new tokens::

        generating = Generating(model, clt, prompt, [Edit.everywhere(12, 311, add=4)])
        for token in generating:
            print(token.token, end="")
        generating.result.side_by_side

    Args:
        prompt: text, or token ids whose first is the start token.
        edits: what to change; without any there is the clean text alone.
        max_new_tokens: how many tokens at most.
        mode, until, freeze_attention: as in :func:`workbench.interventions.intervene`.
        temperature, top_k, top_p, seed: see :class:`Sampling`; the most probable token by default.
        chat: put the text through the model's chat template.
        compare: also generate without the edits, a token in turns.
        stop_at_end: end where the model ends its text.
        k: how many alternatives to note at every place.

    Raises:
        InterventionError: an edit cannot be applied to this prompt, or ``mode`` and ``until`` do not fit.
        ConfigError: a number cannot be used.
        PromptError: the prompt is empty, or too long with the new tokens.
        CLTError: the CLT is of another model.
    """

    def __init__(
        self,
        model: LoadedModel,
        clt: CLT,
        prompt: str | Int[Tensor, " position"],
        edits: Iterable[AnyEdit] = (),
        *,
        max_new_tokens: int = 20,
        mode: Mode = "propagated",
        until: int | None = None,
        freeze_attention: bool = False,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int = 0,
        chat: bool = False,
        compare: bool = True,
        stop_at_end: bool = True,
        k: int = 5,
    ) -> None:
        check_fits(clt.config, model, "given")
        for name, number in (("max_new_tokens", max_new_tokens), ("k", k)):
            if number < 1:
                raise ConfigError(f"{name} is {number}: give at least 1.")
        ids = tokenize(model, prompt, chat=chat) if isinstance(prompt, str) else checked_tokens(model, prompt)
        if len(ids) + max_new_tokens > model.max_tokens:
            raise PromptError(
                f"The prompt's {len(ids)} tokens and {max_new_tokens} new ones are more than the {model.max_tokens} "
                f"that {model.name!r} can read: shorten it or ask for fewer."
            )
        self._model, self._prompt = model, ids
        self._plan = Plan.of(edits, clt, model_name=model.name, token_ids=ids.tolist(), generating=True)
        check_mode(clt, model.name, mode, until, self._plan)
        self._mode, self._until, self._k = mode, until, min(k, model.d_vocab)
        self._sampling = Sampling(temperature, top_k, top_p, seed)
        self._n_tokens = max_new_tokens
        self._ends = _end_tokens(model) if stop_at_end else frozenset()
        empty = Plan((), len(ids), generating=True)
        plans: dict[Run, Plan] = {"clean": empty} if compare or not self._plan.placed else {}
        if self._plan.placed:
            plans["steered"] = self._plan
        self._runs = {
            name: CachedRun(model, clt, plan, mode=mode, until=until, freeze_attention=freeze_attention)
            for name, plan in plans.items()
        }
        self._tokens: dict[Run, list[Token]] = {name: [] for name in plans}
        self._endings: dict[Run, Ending] = {}
        self._cancelled = threading.Event()
        self._steps = self._produce()

    def __next__(self) -> Token:
        return next(self._steps)

    def cancel(self) -> None:
        """End the generation after the token that is being computed; from any thread."""
        self._cancelled.set()

    @property
    def result(self) -> Generation:
        """What has been generated so far."""
        runs = {}
        for name, tokens in self._tokens.items():
            text = str(self._model.tokenizer.decode([token.token_id for token in tokens]))
            runs[name] = Continuation(tuple(tokens), text, self._endings.get(name, "cancelled"))
        return Generation(
            prompt=tuple(token_strings(self._model, self._prompt)),
            prompt_ids=tuple(self._prompt.tolist()),
            runs=runs,
            edits=self._plan.edits,
            mode=self._mode,
            until=self._until,
        )

    def _produce(self) -> Iterator[Token]:
        for step in range(self._n_tokens):
            for name, run in self._runs.items():
                if name in self._endings:
                    continue
                if self._cancelled.is_set():
                    return
                token = self._next_token(name, run, step)
                self._tokens[name].append(token)
                if token.token_id in self._ends:
                    self._endings[name] = "end"
                elif step + 1 == self._n_tokens:
                    self._endings[name] = "length"
                yield token

    @torch.no_grad()
    def _next_token(self, name: Run, run: CachedRun, step: int) -> Token:
        before = self._tokens[name]
        final = run.extend(torch.tensor([before[-1].token_id]) if before else self._prompt)
        log_probabilities = self._model.log_probabilities(self._model.logits(final))
        clean, own = log_probabilities[0], log_probabilities[-1]
        chosen = self._sampling.pick(own, step=step)
        top = own.topk(self._k)
        strings = token_strings(self._model, torch.cat([torch.tensor([chosen]), top.indices.cpu()]))
        return Token(
            run=name,
            step=step,
            position=run.length,
            token=strings[0],
            token_id=chosen,
            probability=float(own[chosen].exp()),
            clean_probability=float(clean[chosen].exp()),
            kl=max(0.0, float((clean.exp() * (clean - own)).double().sum())),
            alternatives=tuple(
                Alternative(string, token_id, probability)
                for string, token_id, probability in zip(
                    strings[1:], top.indices.tolist(), top.values.exp().tolist(), strict=True
                )
            ),
        )


def _end_tokens(model: LoadedModel) -> frozenset[int]:
    """Return the tokens by which a model ends its text."""
    config = getattr(model.bridge.original_model, "generation_config", None)
    named = getattr(config, "eos_token_id", None)
    ids = [*(named if isinstance(named, list | tuple) else [named]), model.tokenizer.eos_token_id]
    return frozenset(int(token) for token in ids if isinstance(token, int))
