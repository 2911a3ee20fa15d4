"""Running the real model under edits: direct, constrained, propagated."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.errors import InterventionError
from workbench.interventions.clean import CleanRun, same_prompt
from workbench.interventions.edits import AnyEdit
from workbench.interventions.hooks import Hook
from workbench.interventions.plan import Plan, written
from workbench.interventions.result import Intervention
from workbench.interventions.suffix import joined
from workbench.models import READ_HOOK, WRITE_HOOK, LoadedModel

Mode = Literal["direct", "constrained", "propagated"]
MODES: tuple[Mode, ...] = get_args(Mode)

Deltas = Mapping[int, Float[Tensor, "position d_model"]]


def intervene(
    model: LoadedModel,
    clt: CLT,
    prompt: str | Int[Tensor, " position"],
    edits: Iterable[AnyEdit],
    *,
    mode: Mode = "propagated",
    until: int | None = None,
    freeze_attention: bool = False,
    chat: bool = False,
    k: int = 10,
    clean: CleanRun | None = None,
) -> Intervention:
    """Change feature activations in the model and return what follows for its next token.

    The activations that the edits ask for, minus those of the clean run, times the features' decoder rows are
    added to the outputs of the real model's MLPs: Δ = (a_edited − a_clean) · W_dec. Δ is computed once, from
    the clean run. The modes differ in what else may change:

    - ``"direct"``: nothing but what is linear. Attention patterns and normalisation denominators stay as in
      the clean run, and so do the MLPs' outputs but for Δ (and what the transcoder's skip, if it has one,
      makes of the change at its input). The changes are the weights of the attribution graph: scaling feature
      s by f changes a target t by (f − 1) · A[t, s].
    - ``"constrained"`` with ``until=m``: MLP outputs up to layer m are the clean ones plus Δ, and Δ is written
      up to layer m only. Attention and norms, and everything above m, respond. What happens above m is due to
      the edited features' own outputs: no MLP up to m has amplified or undone them.
    - ``"propagated"``: nothing is held. Δ is added to what the MLPs compute, at every layer that the features
      write to. The real MLPs of these layers see the change as well and respond to it, so an MLP that still
      computes what the feature stands for may answer on top of Δ.

    Args:
        prompt: text, or token ids whose first is the start token.
        edits: what to change: single edits and those of supernodes; an empty list returns the clean run. All apply
            to the clean activations; where two are of the same feature and position the later one counts.
        mode: what is held at its clean value, see above.
        until: the last layer that is held, for ``"constrained"`` only.
        freeze_attention: hold the attention patterns at their clean values, which ``"direct"`` does anyway.
        chat: put the text through the model's chat template.
        k: how many of the most probable tokens, before and after, enter :attr:`Intervention.tokens`.
        clean: the prompt's clean run, to save its forward pass; see :meth:`CleanRun.of`.

    Raises:
        InterventionError: an edit cannot be applied to this prompt, or ``mode``, ``until`` or ``clean`` do
            not fit.
        PromptError: the prompt is empty or too long.
        CLTError: the CLT is of another model.

    Source of the modes: Ameisen et al., "Circuit Tracing" (2025), section "Validating attribution graph
    hypotheses with interventions".
    """
    if clean is None:
        clean = CleanRun.of(model, clt, prompt, chat=chat)
    elif not same_prompt(clean, model, clt, prompt, chat=chat):
        raise InterventionError(
            f"The clean run given is of another prompt, model or CLT ({clean!r}): leave it out or make a new one."
        )
    return intervene_on(clean, edits, mode=mode, until=until, freeze_attention=freeze_attention, k=k)


def intervene_on(
    clean: CleanRun,
    edits: Iterable[AnyEdit],
    *,
    mode: Mode = "propagated",
    until: int | None = None,
    freeze_attention: bool = False,
    k: int = 10,
) -> Intervention:
    """Run the model under edits from a clean run on; see :func:`intervene`.

    Raises:
        InterventionError: an edit cannot be applied to this prompt, or ``mode`` or ``until`` do not fit.
    """
    plan = Plan.of(edits, clean.clt, model_name=clean.model.name, token_ids=clean.tokens.tolist())
    return run_plan(clean, plan, mode=mode, until=until, freeze_attention=freeze_attention, k=k)


@torch.no_grad()
def run_plan(
    clean: CleanRun,
    plan: Plan,
    *,
    mode: Mode = "propagated",
    until: int | None = None,
    freeze_attention: bool = False,
    k: int = 10,
) -> Intervention:
    """Run the model under edits that have been checked; the clean run may be longer than the prompt of the plan.

    Raises:
        InterventionError: a factor is of an inactive feature, or ``mode`` or ``until`` do not fit.
    """
    check_mode(clean.clt, clean.model.name, mode, until, plan)
    if k < 1:
        raise InterventionError(f"The number of tokens k is {k}: give at least 1.")
    changes = []
    for layer in sorted(plan.by_layer):
        plan.check_active(layer, clean.activations(layer)[: plan.n_prompt])
        changes += plan.changes(layer, clean.activations(layer))
    deltas = written(changes, clean.clt, like=clean.final, until=until)
    reads: tuple[Tensor, ...] = tuple(clean.reads)
    final = clean.final
    first_layer = min(deltas, default=clean.model.n_layers)
    if deltas:
        hold_attention = freeze_attention or mode == "direct"
        # Frozen attention patterns have a column for every position: they run them all.
        start = 0 if hold_attention else clean.first_run(plan.first_position)
        run = _Run(clean, deltas, first_layer, start, clean.frozen_attention if hold_attention else [])
        later = run.propagated() if mode == "propagated" else run.held(mode, until)
        reads = tuple(
            joined(read, run.reads[layer]) if layer in run.reads else read for layer, read in enumerate(reads)
        )
        final = joined(final, later)
    return Intervention(
        clean=clean,
        plan=plan,
        changes=tuple(changes),
        mode=mode,
        until=until,
        freeze_attention=freeze_attention,
        logits_after=clean.model.logits(final[-1]) if deltas else clean.logits,
        final_after=final,
        reads_after=reads,
        first_layer=first_layer,
        k=min(k, clean.model.d_vocab),
    )


@dataclass
class _Run:
    """One forward pass under Δ, from the lowest layer and the first position that Δ is written to.

    Attributes:
        first: that layer.
        start: that position, or 0; ``reads`` are of it and later ones.
        attention: hooks that hold attention patterns, if they are to be held.
    """

    clean: CleanRun
    deltas: Deltas
    first: int
    start: int
    attention: list[Hook]
    reads: dict[int, Float[Tensor, "later d_model"]] = field(default_factory=dict)

    def propagated(self) -> Float[Tensor, "later d_model"]:
        def add(delta: Tensor) -> Callable[..., Tensor]:
            def hook(y: Tensor, hook: Any) -> Tensor:
                return y + delta[self.start :].to(y)

            return hook

        hooks = [*self.attention, *self._keep_reads()]
        hooks += [(self._write_hook(layer), add(delta)) for layer, delta in self.deltas.items()]
        return self.clean.run_from(self.first, hooks, position=self.start)

    def held(self, mode: Mode, until: int | None) -> Float[Tensor, "later d_model"]:
        """Run with the MLP outputs held up to a layer, all of them in the mode ``direct``, where norms are too."""
        layers = range(self.first, self.clean.model.n_layers if until is None else until + 1)
        hooks = [*self.attention, *self._keep_reads()]
        hooks += self._hold_writes(layers, with_skip=mode == "direct")
        if mode != "direct":
            return self.clean.run_from(self.first, hooks, position=self.start)
        with warnings.catch_warnings():
            # Holding a norm's denominator is the point here, and that the norm then rounds otherwise is harmless.
            warnings.filterwarnings("ignore", message="A forward hook edited hook_scale")
            return self.clean.run_from(self.first, [*hooks, *self.clean.frozen_norms])

    def _write_hook(self, layer: int) -> str:
        return self.clean.clt.config.write_hook.format(layer=layer)

    def _keep_reads(self) -> list[Hook]:
        """Return hooks that keep what the CLT reads above the first layer, where it can have changed."""

        def keep(layer: int) -> Callable[..., None]:
            def hook(x: Tensor, hook: Any) -> None:
                self.reads[layer] = x.detach()[0]

            return hook

        config = self.clean.clt.config
        layers = range(self.first + 1, self.clean.model.n_layers)
        return [(config.read_hook.format(layer=layer), keep(layer)) for layer in layers]

    def _hold_writes(self, layers: Sequence[int], *, with_skip: bool) -> list[Hook]:
        clean, clt = self.clean, self.clean.clt

        def hold(layer: int) -> Callable[..., Tensor]:
            def hook(y: Tensor, hook: Any) -> Tensor:
                out = clean.writes[layer][self.start :]
                if layer in self.deltas:
                    out = out + self.deltas[layer][self.start :]
                if with_skip and clt.W_skip is not None and layer in self.reads:
                    change = (self.reads[layer] - clean.reads[layer]).to(clt.W_skip)
                    change[0] = 0  # The start token has no skip path.
                    out = out + clt.skip(layer, change).to(out)
                return out[None]

            return hook

        def keep_start(x: Tensor, hook: Any) -> Tensor:
            return x[:, :1]

        hooks: list[Hook] = []
        for layer in layers:
            mlp_input = READ_HOOK.format(layer=layer)
            # What the MLP computes is thrown away, and the MLPs are most of the cost of a pass.
            if clt.config.write_hook == WRITE_HOOK and mlp_input in clean.hook_points:
                hooks.append((mlp_input, keep_start))
            hooks.append((self._write_hook(layer), hold(layer)))
        return hooks


def check_mode(clt: CLT, model_name: str, mode: Mode, until: int | None, plan: Plan) -> None:
    """Check that a mode and its last held layer fit together and fit the edits.

    Raises:
        InterventionError: they do not.
    """
    if mode not in MODES:
        raise InterventionError(f"There is no mode {mode!r}: choose one of {', '.join(map(repr, MODES))}.")
    if mode != "constrained":
        if until is not None:
            raise InterventionError(
                f"until={until} belongs to the mode 'constrained', not {mode!r}: leave it out or change the mode."
            )
        return
    n_layers = clt.n_layers
    if until is None:
        raise InterventionError(
            "The mode 'constrained' needs until, the last layer whose MLP output is held: "
            f"give one of the layers 0 to {n_layers - 1}."
        )
    if not 0 <= until < n_layers:
        raise InterventionError(f"until={until} is out of range: {model_name!r} has layers 0 to {n_layers - 1}.")
    for edit in plan.edits:
        if edit.layer > until:
            raise InterventionError(
                f"The {edit.target} writes nothing up to layer {until}: give until={edit.layer} or a higher layer."
            )
