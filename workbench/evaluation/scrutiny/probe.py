"""A linear probe: can labelled prompts be told apart in the residual stream, without any transcoder?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.errors import ConfigError
from workbench.interventions.local_replacement import RESIDUAL_HOOK
from workbench.models import LoadedModel, capture

EMBEDDING_HOOK = "blocks.0.hook_in"
_FOLDS, _PERMUTATIONS = 5, 20
# Least prompts under a label: each fold then holds out one.
_LEAST = _FOLDS
# Of the mean squared length of a prompt's vector, once the mean prompt's is taken away.
_RIDGE = 0.1


@dataclass(frozen=True)
class Labelled:
    """Prompts under labels, the graph's own left out.

    Attributes:
        labels: names; the first is the one of the graph's prompt.
        prompts: token ids.
        label: of each prompt, an index into the names.
    """

    labels: tuple[str, ...]
    prompts: tuple[tuple[int, ...], ...]
    label: Int[Tensor, " prompt"]

    @classmethod
    def of(cls, examples: Mapping[str, Sequence[tuple[int, ...]]], own: tuple[int, ...]) -> Labelled:
        """Check prompts by label.

        Args:
            own: the graph's prompt, which the probe is asked about afterwards and therefore never fitted on.

        Raises:
            ConfigError: there are fewer than two labels, too few prompts under one, or a prompt stands under two.
        """
        if len(examples) < 2:
            raise ConfigError(
                f"The number of labels of the probe is {len(examples)}, and telling apart needs two: give "
                'probe={"label of this prompt": [prompts], "another label": [prompts]}.'
            )
        found: dict[tuple[int, ...], int] = {}
        for at, (name, given) in enumerate(examples.items()):
            kept = dict.fromkeys(ids for ids in given if ids != own)
            if len(kept) < _LEAST:
                raise ConfigError(
                    f"The number of different prompts under the probe's label {name!r} is {len(kept)}, the graph's own "
                    f"left out: give at least {_LEAST}, so that some can be left out of each fit."
                )
            twice = next((ids for ids in kept if ids in found), None)
            if twice is not None:
                number = list(kept).index(twice) + 1
                raise ConfigError(
                    f"Prompt {number} under the probe's label {name!r} stands under "
                    f"{list(examples)[found[twice]]!r} too: leave it in one of them."
                )
            found.update(dict.fromkeys(kept, at))
        return cls(tuple(examples), tuple(found), torch.tensor(list(found.values())))


@torch.no_grad()
def last_residuals(
    model: LoadedModel, prompts: Iterable[tuple[int, ...]], advance: Callable[[], object] = lambda: None
) -> Float[Tensor, "depth prompt d_model"]:
    """Return the residual stream at the last position: the token's embedding, then what stands behind each layer."""
    names = [EMBEDDING_HOOK, *(RESIDUAL_HOOK.format(layer=layer) for layer in range(model.n_layers))]
    rows = []
    for ids in prompts:
        kept = capture(model, torch.tensor([ids]), names)
        rows.append(torch.stack([kept[name][0, -1].cpu().double() for name in names]))
        advance()
    return torch.stack(rows, dim=1)


def probed(
    residuals: Float[Tensor, "depth prompt d_model"],
    own: Float[Tensor, "depth d_model"],
    labelled: Labelled,
    *,
    seed: int,
) -> tuple[pd.DataFrame, Float[Tensor, " prompt"]]:
    """Fit a ridge classifier at every depth; test it on prompts that it was not fitted on.

    Five folds, each with the same share of every label. Labels weigh alike, however many prompts they have.

    Args:
        own: of the graph's prompt, which is in no fold.
        seed: of the folds and of the permuted labels.

    Returns:
        One row a depth: layer (−1 is the embedding), accuracy (mean recall of the labels), control (the same with
        labels exchanged at random, mean), best_control (of the best depth, mean; the same in every row), says (the
        label of the graph's prompt). And of every prompt, whether it is told right at the best depth.

    Source: Alain & Bengio, "Understanding intermediate layers using linear classifier probes" (2016); the control's
    idea: Hewitt & Liang, "Designing and Interpreting Probes with Control Tasks" (2019).
    """
    generator, n_labels = np.random.default_rng(seed), len(labelled.labels)
    kernels, across = _kernels(residuals, own)
    label = labelled.label
    guesses = _cross_validated(kernels, label, n_labels, generator)
    accuracy = _recall(guesses == label, label, n_labels)
    chance = []
    for _ in range(_PERMUTATIONS):
        exchanged = label[torch.from_numpy(generator.permutation(len(label)))]
        right = _cross_validated(kernels, exchanged, n_labels, generator) == exchanged
        chance.append(_recall(right, exchanged, n_labels))
    control = torch.stack(chance)
    everything = torch.ones(len(label), dtype=torch.bool)
    says = _guess(kernels, across[:, None], label, everything, n_labels)[:, 0]
    table = pd.DataFrame(
        {
            "layer": range(-1, len(residuals) - 1),
            "accuracy": accuracy.numpy(),
            "control": control.mean(0).numpy(),
            # The best of many depths is good by chance, too.
            "best_control": float(control.max(dim=1).values.mean()),
            "says": [labelled.labels[int(at)] for at in says],
        }
    )
    return table, (guesses[int(accuracy.argmax())] == label).double()


def _kernels(
    residuals: Float[Tensor, "depth prompt d_model"], own: Float[Tensor, "depth d_model"]
) -> tuple[Float[Tensor, "depth prompt prompt"], Float[Tensor, "depth prompt"]]:
    """Return products between prompts and with the graph's own, about the mean prompt, of mean length 1."""
    mean = residuals.mean(dim=1, keepdim=True)
    centred = residuals - mean
    # Prompts that are all alike at a depth (the same last token) have no length.
    scale = (centred**2).sum(-1).mean(1).clamp_min(1e-12)
    kernels = centred @ centred.transpose(1, 2) / scale[:, None, None]
    across = ((own[:, None] - mean) * centred).sum(-1) / scale[:, None]
    return kernels, across


def _cross_validated(
    kernels: Float[Tensor, "depth prompt prompt"],
    label: Int[Tensor, " prompt"],
    n_labels: int,
    generator: np.random.Generator,
) -> Int[Tensor, "depth prompt"]:
    """Return the label that each prompt gets from a classifier that was not fitted on it."""
    fold = torch.empty(len(label), dtype=torch.long)
    for one in range(n_labels):
        mine = (label == one).nonzero().flatten()
        fold[mine[torch.from_numpy(generator.permutation(len(mine)))]] = torch.arange(len(mine)) % _FOLDS
    guesses = torch.empty(len(kernels), len(label), dtype=torch.long)
    for held_out in range(_FOLDS):
        out = fold == held_out
        guesses[:, out] = _guess(kernels, kernels[:, out], label, ~out, n_labels)
    return guesses


def _guess(
    kernels: Float[Tensor, "depth prompt prompt"],
    across: Float[Tensor, "depth other prompt"],
    label: Int[Tensor, " prompt"],
    fitted: Tensor,
    n_labels: int,
) -> Int[Tensor, "depth other"]:
    """Return the labels of others by a weighted kernel ridge, one label against the rest."""
    own = label[fitted]
    weight = 1.0 / torch.bincount(own, minlength=n_labels).double()[own]
    weight = weight / weight.sum()
    inside = kernels[:, fitted][:, :, fitted]
    # About the weighted mean of those that are fitted, so that no intercept is needed.
    mean = inside @ weight
    middle = mean @ weight
    inside = inside - mean[:, :, None] - mean[:, None] + middle[:, None, None]
    others = across[:, :, fitted]
    others = others - (others @ weight)[:, :, None] - mean[:, None] + middle[:, None, None]
    target = torch.nn.functional.one_hot(own, n_labels).double() - 1.0 / n_labels
    solved = torch.linalg.solve(inside + torch.diag(_RIDGE / (weight * len(own))), target.expand(len(inside), -1, -1))
    guesses: Tensor = (others @ solved).argmax(-1)
    return guesses


def _recall(right: Tensor, label: Int[Tensor, " prompt"], n_labels: int) -> Float[Tensor, " depth"]:
    """Return the mean over the labels of the share of their prompts that is told right."""
    recalls = [right[:, label == one].double().mean(dim=1) for one in range(n_labels)]
    return torch.stack(recalls).mean(dim=0)
