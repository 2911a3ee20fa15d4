"""From prompts to clusters, their stability and their control."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.clt.formats.load import check_fits
from workbench.clt.training.trainer import StopFlag
from workbench.errors import ConfigError
from workbench.features.clusters.grouping import best_overlaps, grouped, mean_defined, typical_tokens
from workbench.features.clusters.result import FeatureClusters
from workbench.features.operands.prefixes import active_features
from workbench.memory import require_memory
from workbench.models import LoadedModel, tokenize

SIMILARITY = 0.5
N_RESAMPLES = 20
# Similarities of more pairs than this take gigabytes and minutes, again for every resample.
MAX_FEATURES = 4000


def cluster_features(
    model: LoadedModel,
    clt: CLT,
    prompts: Sequence[str],
    *,
    chat: bool = False,
    similarity: float = SIMILARITY,
    min_prompts: int = 2,
    min_features: int = 3,
    max_features: int = MAX_FEATURES,
    n_resamples: int = N_RESAMPLES,
    n_controls: int = 3,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> FeatureClusters:
    """Group the features that fire together over a set of prompts.

    ::

        clusters = bench.clusters(harmful + harmless, chat=True)
        clusters.table()        # name, size, stability
        clusters.control()      # what permuted prompts give

    Features that fire on fewer than ``min_prompts`` prompts, or equally on all, say nothing about what belongs
    together and are left out. An interrupt ends the resampling after the draw at
    work; what was drawn until then counts.

    Args:
        prompts: at least two different ones; the more, the less chance has a say.
        chat: put each through the model's chat template.
        similarity: the least mean correlation within a cluster, from −1 to 1.
        min_prompts: on how many prompts a feature must fire.
        min_features: smaller groups are no clusters.
        max_features: of more, those that vary most for their own size are kept.
        n_resamples: how often prompts are drawn again for the stability; 0 for none.
        n_controls: how many controls.

    Raises:
        ConfigError: there are fewer than two different prompts, an option is out of range, or no feature's
            activation varies over the prompts.
        PromptError: a prompt is empty or too long.
        CLTError: the CLT is of another model.
        ResourceError: memory will not suffice.
    """
    check_fits(clt.config, model, "given")
    prompts = tuple(prompts) if not isinstance(prompts, str) else (prompts,)
    if len(set(prompts)) < 2:
        raise ConfigError(
            f"{len(set(prompts))} prompt{'' if len(set(prompts)) == 1 else 's'} cannot show what fires together: "
            "give at least two different prompts."
        )
    if not -1 <= similarity <= 1 or min_prompts < 1 or min_features < 1 or max_features < 2:
        raise ConfigError(
            f"similarity is {similarity}, min_prompts {min_prompts}, min_features {min_features} and max_features "
            f"{max_features}: give a correlation from −1 to 1, at least 1, 1 and 2."
        )
    if n_resamples < 0 or n_controls < 0:
        raise ConfigError(f"n_resamples is {n_resamples} and n_controls {n_controls}: neither can be negative.")
    require_memory(
        clt.n_layers * clt.n_features * len(prompts) * 20 + max_features**2 * 24,
        f"Clustering features over {len(prompts)} prompts",
        "give fewer prompts or a smaller max_features",
    )
    profiles = _Profiles.of(model, clt, prompts, chat=chat, progress=progress)
    kept = _kept(profiles.activations, min_prompts, max_features)
    if not len(kept):
        raise ConfigError(
            f"No feature fires on at least {min_prompts} of the {len(prompts)} prompts and differently on them: "
            "give more varied prompts or a smaller min_prompts."
        )
    activations = profiles.activations[kept]
    labels = grouped(activations, similarity, min_features)
    random = np.random.default_rng(seed)
    overlaps: list[Float[np.ndarray, " cluster"]] = []
    controls: list[Int[np.ndarray, " feature"]] = []
    with (
        StopFlag.installed() as flag,
        tqdm(total=n_controls + n_resamples, unit=" draws", desc="Stability", disable=not progress) as bar,
    ):
        for draw in range(n_controls + n_resamples):
            if flag() or (stop is not None and stop()):
                break
            if draw < n_controls:
                controls.append(grouped(random.permuted(activations, axis=1), similarity, min_features))
            else:
                drawn = random.integers(len(prompts), size=len(prompts))
                overlaps.append(best_overlaps(labels, activations[:, drawn], similarity, min_features))
            bar.update()
    n_clusters = int(labels.max(initial=-1)) + 1
    return FeatureClusters(
        prompts=prompts,
        features=tuple((int(at) // clt.n_features, int(at) % clt.n_features) for at in kept),
        activations=activations,
        labels=labels,
        tokens=typical_tokens(profiles.peaks[kept], labels, n_clusters),
        stability=mean_defined(overlaps, n_clusters),
        control_clusters=tuple(int(control.max(initial=-1)) + 1 for control in controls),
        control_features=tuple(int((control >= 0).sum()) for control in controls),
    )


@dataclass(frozen=True)
class _Profiles:
    """The strongest activation of every feature in every prompt, and the token where it stands ("" where none)."""

    activations: Float[np.ndarray, "feature prompt"]
    peaks: np.ndarray

    @classmethod
    def of(cls, model: LoadedModel, clt: CLT, prompts: tuple[str, ...], *, chat: bool, progress: bool) -> _Profiles:
        rows = [tuple(tokenize(model, prompt, chat=chat).tolist()) for prompt in prompts]
        size = clt.n_layers * clt.n_features, len(prompts)
        activations, token_at = np.zeros(size, dtype=np.float32), np.full(size, -1, dtype=np.int64)
        with tqdm(total=sum(len(row) for row in rows), unit=" tokens", desc="Activations", disable=not progress) as bar:
            for active in active_features(model, clt, rows, [range(1, len(row)) for row in rows]):
                # The smallest first, so that the largest of a prompt is written last.
                by_value = np.argsort(active.value, kind="stable")
                row, position = active.row[by_value], active.position[by_value]
                flat = (active.layer * clt.n_features + active.feature)[by_value]
                value = active.value[by_value]
                larger = value > activations[flat, row]
                flat, row, position, value = flat[larger], row[larger], position[larger], value[larger]
                activations[flat, row] = value
                token_at[flat, row] = [rows[one][at] for one, at in zip(row, position, strict=True)]
                bar.update(len(np.unique(active.row * 2**32 + active.position)))
        ids = np.unique(token_at[token_at >= 0])
        texts = np.array([str(model.tokenizer.decode([int(token)])) for token in ids] + [""], dtype=object)
        place = np.where(token_at >= 0, np.searchsorted(ids, token_at), len(ids))
        return cls(activations, texts[place])


def _kept(
    activations: Float[np.ndarray, "feature prompt"], min_prompts: int, max_features: int
) -> Int[np.ndarray, " kept"]:
    """Return the features to cluster, in their order."""
    mean, spread = activations.mean(axis=1), activations.std(axis=1)
    kept = np.flatnonzero(((activations > 0).sum(axis=1) >= min_prompts) & (spread > 1e-5 * mean))
    if len(kept) > max_features:
        # A feature that fires a little differently everywhere separates less than one that is here and not there.
        relative = spread[kept] / mean[kept]
        kept = np.sort(kept[np.argsort(-relative, kind="stable")[:max_features]])
    return kept
