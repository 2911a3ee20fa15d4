"""The clean run: everything about one prompt that interventions on it need, captured once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.clt import CLT
from workbench.clt.formats.load import check_fits
from workbench.interventions.hooks import Hook, hooked
from workbench.interventions.suffix import KeysAndValues, later_arguments
from workbench.memory import require_memory
from workbench.models import WRITE_HOOK, LoadedModel, capture, checked_tokens, run_decoder, token_strings, tokenize

if TYPE_CHECKING:
    from transformer_lens.hook_points import HookPoint

    from workbench.interventions.edits import AnyEdit
    from workbench.interventions.result import Intervention
    from workbench.interventions.run import Mode

_FINAL = "ln_final.hook_out"
# Rounding apart, a run from a position on gives the clean run: the largest difference, as a share of the largest value.
_SAME = 1e-3
# The norms on the residual stream; those of queries and keys act on the pattern alone, which is frozen with them.
_SCALES = re.compile(r"(blocks\.\d+\.ln\w*|ln_final)\.hook_scale")


class BlockCall(NamedTuple):
    """The arguments of one block in the clean run: the residual stream, the mask, the rotary embeddings."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def residual(self) -> Float[Tensor, "1 position d_model"]:
        residual: Tensor = self.args[0] if self.args else self.kwargs["hidden_states"]
        return residual

    def with_residual(self, residual: Float[Tensor, "1 position d_model"]) -> BlockCall:
        if self.args:
            return BlockCall((residual, *self.args[1:]), self.kwargs)
        return BlockCall((), self.kwargs | {"hidden_states": residual})


@dataclass(frozen=True, eq=False, repr=False)
class CleanRun:
    """The unedited run of one prompt, from which any number of interventions start.

    Make one with :meth:`of` when many edits of the same prompt are to be tried, as sliders do: each
    :meth:`intervene` then runs the layers from the lowest edited one on, and nothing below::

        clean = CleanRun.of(bench.loaded, bench.clt, "The capital of France is")
        for factor in (0, 1, 2):
            clean.intervene([Edit(12, 311, -1, factor=factor)]).tokens

    Attributes:
        tokens: the token ids, the start token first.
        reads: what the CLT reads at each layer.
        writes: what each MLP added to the residual stream.
        final: the final norm's output.
        calls: the arguments of each block; empty when the model cannot be entered between two blocks.
    """

    model: LoadedModel
    clt: CLT
    tokens: Int[Tensor, " position"]
    reads: Float[Tensor, "layer position d_model"]
    writes: Float[Tensor, "layer position d_model"]
    final: Float[Tensor, "position d_model"]
    calls: tuple[BlockCall, ...]

    @classmethod
    @torch.no_grad()
    def of(
        cls, model: LoadedModel, clt: CLT, prompt: str | Int[Tensor, " position"], *, chat: bool = False
    ) -> CleanRun:
        """Run the model once on a prompt.

        Args:
            prompt: text, or token ids whose first is the start token.
            chat: put the text through the model's chat template.

        Raises:
            PromptError: the prompt is empty or too long.
            CLTError: the CLT is of another model.
        """
        check_fits(clt.config, model, "given")
        tokens = _tokens(model, prompt, chat=chat)
        layers = range(model.n_layers)
        reads, writes = (
            [hook.format(layer=layer) for layer in layers] for hook in (clt.config.read_hook, clt.config.write_hook)
        )
        with model.lock, _recorded_calls(model) as calls:
            kept = capture(model, tokens[None], [*reads, *writes, _FINAL])
        clean = cls(
            model=model,
            clt=clt,
            tokens=tokens,
            reads=torch.stack([kept[name][0] for name in reads]),
            writes=torch.stack([kept[name][0] for name in writes]),
            final=kept[_FINAL][0],
            calls=tuple(calls),
        )
        # A model may do more between its last block and its unembedding than the final norm, or call blocks twice.
        enterable = len(calls) == len(layers) and torch.equal(clean._resume(len(layers) - 1, []), clean.final)
        return clean if enterable else cls(model, clt, tokens, clean.reads, clean.writes, clean.final, ())

    def intervene(
        self,
        edits: Iterable[AnyEdit],
        *,
        mode: Mode = "propagated",
        until: int | None = None,
        freeze_attention: bool = False,
        k: int = 10,
    ) -> Intervention:
        """Run the model on this prompt under edits; see :func:`workbench.interventions.intervene`."""
        from workbench.interventions.run import intervene_on

        return intervene_on(self, edits, mode=mode, until=until, freeze_attention=freeze_attention, k=k)

    @cached_property
    def hook_points(self) -> Mapping[str, HookPoint]:
        """The bridge's hook points by name, aliases included."""
        return dict(self.model.bridge.hook_dict)

    @property
    def n_positions(self) -> int:
        return len(self.tokens)

    @cached_property
    def token_strings(self) -> tuple[str, ...]:
        """The prompt's tokens as text, the start token first."""
        return tuple(token_strings(self.model, self.tokens))

    @cached_property
    def logits(self) -> Float[Tensor, " vocab"]:
        """The logits at the last position, before a soft cap."""
        return self.model.logits(self.final[-1])

    @cached_property
    def log_probabilities(self) -> Float[Tensor, " vocab"]:
        """The model's own log-probabilities of the next token, after its soft cap if it has one."""
        return self.model.log_probabilities(self.logits)

    @cached_property
    def probabilities(self) -> Float[Tensor, " vocab"]:
        """The model's own next-token probabilities."""
        return self.log_probabilities.exp()

    def activation(self, layer: int, feature: int, position: int) -> float:
        """Return a feature's activation, 0 where it is inactive; the start token has no features."""
        return float(self.activations(layer)[position, feature])

    def activations(self, layer: int) -> Float[Tensor, "position feature"]:
        """Return the activations of one layer's features, 0 where inactive; the start token has none."""
        # The whole layer, whatever is asked for: a product of another shape may round otherwise, and an edit to
        # exactly the clean activation must change nothing.
        if layer not in self._encoded:
            activations = self.clt.encode(layer, self.reads[layer].to(self.clt.W_enc.dtype))
            activations[0] = 0
            self._encoded[layer] = activations
        return self._encoded[layer]

    @cached_property
    def _encoded(self) -> dict[int, Float[Tensor, "position feature"]]:
        return {}

    @cached_property
    def frozen_attention(self) -> list[Hook]:
        """Hooks that hold attention patterns at their clean values, captured on first use."""
        model = self.model
        require_memory(
            model.n_layers * int(model.bridge.cfg.n_heads) * self.n_positions**2 * self.final.element_size(),
            f"Freezing the attention patterns of {self.n_positions} tokens",
            "shorten the prompt, or leave attention free in another mode than 'direct'",
        )
        return self._held(pattern_names(model))

    @cached_property
    def frozen_norms(self) -> list[Hook]:
        """Hooks that hold normalisation denominators at their clean values, captured on first use."""
        return self._held(scale_names(self.model, self.clt))

    def _held(self, names: Sequence[str]) -> list[Hook]:
        return [(name, _hold(value)) for name, value in capture(self.model, self.tokens[None], names).items()]

    @torch.no_grad()
    def run_from(self, layer: int, hooks: Sequence[Hook], *, position: int = 0) -> Float[Tensor, "later d_model"]:
        """Run the model under hooks from a layer on; return the final norm's output.

        Below the layer everything is as in the clean run, whatever the hooks say.

        Args:
            position: the first position that is run, one that :meth:`first_run` gave; the hooks see it and
                later ones alone.
        """
        if self.calls:
            return self._resume(layer, hooks, position)
        return run_decoder(self.model, self.tokens[None], [hook for hook in hooks if _layer_of(hook[0]) >= layer])[0]

    def first_run(self, position: int) -> int:
        """Return the first position that must be run when nothing before ``position`` changes: it, or 0.

        It is 0 where the model's blocks cannot be run from a position on.
        """
        return position if position and self._keys_and_values is not None else 0

    @cached_property
    @torch.no_grad()
    def _keys_and_values(self) -> KeysAndValues | None:
        """What attention sees of each position; None when a run from a position on does not give the clean run."""
        if not self.calls:
            return None
        known = KeysAndValues.of(self.model, self.tokens)
        if len(known.layers) != len(self.calls):
            return None
        # Two positions: with one alone a causal mask that is laid against the wrong corner would not show.
        position = max(1, self.n_positions - 2)
        try:
            final = self._resume(0, [], position, known)
        except (RuntimeError, TypeError, ValueError):
            return None  # blocks that take other arguments than those known here
        error = (final - self.final[position:]).abs().max()
        return known if float(error) <= _SAME * float(self.final.abs().max()) else None

    def _resume(
        self, layer: int, hooks: Sequence[Hook], position: int = 0, known: KeysAndValues | None = None
    ) -> Float[Tensor, "later d_model"]:
        bridge, calls = self.model.bridge, self.calls[layer:]
        residual = calls[0].residual[:, position:]
        if position:
            known = known or self._keys_and_values
            assert known is not None
            cache = known.before(position)
            calls = tuple(BlockCall(call.args, later_arguments(call.kwargs, position, cache)) for call in calls)
        with hooked(self.model, self.hook_points, hooks):
            for block, call in zip(list(bridge.blocks)[layer:], calls, strict=True):
                args, kwargs = call.with_residual(residual)
                output = block(*args, **kwargs)
                residual = output[0] if isinstance(output, tuple) else output
            final: Tensor = bridge.ln_final(residual)
        return final[0]

    def __repr__(self) -> str:
        return f"CleanRun({self.model.name!r}, {''.join(self.token_strings[1:])!r}, {self.n_positions} tokens)"


def pattern_names(model: LoadedModel) -> list[str]:
    """Return the hooks of the attention patterns."""
    return [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.n_layers)]


def scale_names(model: LoadedModel, clt: CLT) -> list[str]:
    """Return the hooks of the denominators of the norms on the residual stream."""
    names = [name for name in model.bridge.hook_dict if _SCALES.fullmatch(name)]
    if clt.config.write_hook == WRITE_HOOK:
        # What the MLP writes is put in place after its post-norm, so that nothing of this norm is left to freeze.
        names = [name for name in names if not name.endswith(".ln2_post.hook_scale")]
    return names


def same_prompt(
    clean: CleanRun, model: LoadedModel, clt: CLT, prompt: str | Int[Tensor, " position"], *, chat: bool
) -> bool:
    """Tell whether a clean run is of this model, CLT and prompt."""
    if clean.model.bridge is not model.bridge or clean.clt is not clt:
        return False
    return torch.equal(clean.tokens, _tokens(model, prompt, chat=chat))


def _tokens(model: LoadedModel, prompt: str | Int[Tensor, " position"], *, chat: bool) -> Int[Tensor, " position"]:
    tokens = tokenize(model, prompt, chat=chat) if isinstance(prompt, str) else checked_tokens(model, prompt)
    return tokens.to(model.device)


@contextmanager
def _recorded_calls(model: LoadedModel) -> Iterator[list[BlockCall]]:
    """Record the arguments of every block that runs inside."""
    calls: list[BlockCall] = []

    def record(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # By name, whatever the model's code does: GPT-2's passes most by position.
        names = list(inspect.signature(block.original_component.forward).parameters)
        calls.append(BlockCall(args[:1], dict(zip(names[1:], args[1:], strict=False)) | kwargs))

    handles = [block.register_forward_pre_hook(record, with_kwargs=True) for block in model.bridge.blocks]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _hold(value: Tensor) -> Callable[..., Tensor]:
    def hook(activation: Tensor, hook: Any) -> Tensor:
        return value

    return hook


def _layer_of(name: str) -> float:
    """Return the layer of a hook's name; what follows the blocks counts as above them all."""
    return int(name.split(".")[1]) if name.startswith("blocks.") else float("inf")
