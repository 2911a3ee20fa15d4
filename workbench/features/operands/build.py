"""Building operand grids: the run over all prompts, its cache on disk, and which features are kept."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from workbench.clt import CLT
from workbench.clt.formats.load import check_fits
from workbench.clt.training.trainer import StopFlag
from workbench.errors import ConfigError, FormatError
from workbench.features.operands.grids import OperandGrids
from workbench.features.operands.prefixes import active_features
from workbench.features.operands.template import Template
from workbench.files import read_safetensors, write_json, write_safetensors
from workbench.memory import require_memory
from workbench.models import LoadedModel, cache_folder

MIN_ACTIVE = 0.005
# Prompts between two looks at whether to stop: some seconds of work.
_PROMPTS_A_PART = 256


def operand_grids(
    model: LoadedModel,
    clt: CLT,
    *,
    template: str,
    a: Iterable[int],
    b: Iterable[int],
    role: str = "last",
    features: Sequence[tuple[int, int]] | None = None,
    min_active: float = MIN_ACTIVE,
    cache: Path | str | None = None,
    stop: Callable[[], bool] | None = None,
    progress: bool = True,
) -> OperandGrids:
    """Return features' activations over all pairs of operands, at one role of a template.

    ::

        grids = bench.operands(template="{a} + {b} = ", a=range(100), b=range(100), role="last")
        grids.families()

    What the prompts share at their beginnings is run once, no logits are computed, and no layer above the highest
    feature asked for. Finished parts are written to disk: a run that was killed or stopped goes on where it was, and
    a finished one is read back.

    Args:
        template: the prompt with ``{a}`` and ``{b}``, once each; ``{a:02d}`` pads with zeros.
        a: the first operands.
        b: the second operands.
        role: the token whose features are meant: ``a_first``, ``a_last``, ``b_first``, ``b_last`` (an operand's first
            or last token), ``last``, or a literal of the template such as ``"="`` (the token of its last character).
        features: (layer, index) of the features; by default all that are active on ``min_active`` of the pairs.
        min_active: a share of the pairs.
        cache: the folder for finished parts; by default one in the workbench's cache folder.
        stop: asked after every part whether to end; by default an interrupt or SIGTERM ends. The grids then hold
            the first operands that were finished (``stopped`` says so), and the same call goes on.

    Raises:
        ConfigError: the template lacks an operand or the role, a range is empty or has a number twice, or a feature
            is out of range or named twice.
        PromptError: a prompt is too long for the model.
        CLTError: the CLT is of another model.
        ResourceError: memory or disk do not suffice.
    """
    check_fits(clt.config, model, "given")
    run = _Run.of(model, clt, Template.parse(template), _operands("a", a), _operands("b", b), role, features)
    if not 0 <= min_active <= 1:
        raise ConfigError(f"min_active is {min_active}: give a share of the pairs, from 0 to 1.")
    folder = (Path(cache) if cache is not None else cache_folder() / "operands") / run.key()
    with (
        StopFlag.installed() as flag,
        tqdm(total=len(run.a) * len(run.b), unit=" prompts", desc="Operand grids", disable=not progress) as bar,
    ):
        done, parts = 0, []
        for number, first in enumerate(range(0, len(run.a), run.a_together)):
            rows = run.a[first : first + run.a_together]
            path = folder / f"part-{number:05d}.safetensors"
            part = _read_part(path)
            if part is None:
                part = run.part(rows)
                if number == 0:
                    write_json(folder / "run.json", run.description())
                write_safetensors(path, {name: torch.from_numpy(column) for name, column in part.items()})
            parts.append((first, part))
            done += len(rows)
            bar.update(len(rows) * len(run.b))
            if done < len(run.a) and (flag() or (stop is not None and stop())):
                break
    return run.grids(parts, n_a=done, min_active=min_active)


@dataclass(frozen=True)
class _Run:
    model: LoadedModel
    clt: CLT
    template: Template
    a: tuple[int, ...]
    b: tuple[int, ...]
    role: str
    features: tuple[tuple[int, int], ...] | None

    @classmethod
    def of(
        cls,
        model: LoadedModel,
        clt: CLT,
        template: Template,
        a: tuple[int, ...],
        b: tuple[int, ...],
        role: str,
        features: Sequence[tuple[int, int]] | None,
    ) -> _Run:
        template.character(role, a[0], b[0])
        chosen = None
        if features is not None:
            chosen = tuple((int(layer), int(feature)) for layer, feature in features)
            if not chosen:
                raise ConfigError("features is empty: give at least one pair of layer and index, or leave it out.")
            if len(set(chosen)) < len(chosen):
                raise ConfigError("features names one more than once: give every pair of layer and index once.")
            for layer, feature in chosen:
                if not (0 <= layer < clt.n_layers and 0 <= feature < clt.n_features):
                    raise ConfigError(
                        f"There is no feature {feature} in layer {layer}: the CLT has {clt.n_layers} layers of "
                        f"{clt.n_features} features, counted from 0."
                    )
        # The longest prompt is known to fit before hours of work, not after them.
        template.prompts(model, [min(a), max(a, key=lambda n: len(str(n)))], [max(b, key=lambda n: len(str(n)))], role)
        return cls(model, clt, template, a, b, role, chosen)

    @property
    def a_together(self) -> int:
        """How many first operands make one part."""
        return max(1, _PROMPTS_A_PART // len(self.b))

    def description(self) -> dict[str, object]:
        """Return what the parts depend on, for the file beside them."""
        return {
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "dtype": str(self.model.dtype),
            "clt": _encoder_sha256(self.clt),
            "template": self.template.text,
            "a": list(self.a),
            "b": list(self.b),
            "role": self.role,
            "features": sorted(self.features) if self.features is not None else None,
            "prompts_a_part": _PROMPTS_A_PART,
        }

    def key(self) -> str:
        """Return the name of the folder of the parts: another run has another."""
        return hashlib.sha256(json.dumps(self.description(), sort_keys=True).encode()).hexdigest()[:20]

    def part(self, a: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Run the prompts of some first operands; return (pair, feature, value) of what is active."""
        prompts = self.template.prompts(self.model, a, self.b, self.role)
        layers = None if self.features is None else {layer for layer, _ in self.features}
        found = list(
            active_features(self.model, self.clt, prompts.rows, [[at] for at in prompts.positions], layers=layers)
        )
        pair = np.concatenate([active.row for active in found] or [np.zeros(0)])
        flat = np.concatenate(
            [active.layer * self.clt.n_features + active.feature for active in found] or [np.zeros(0)]
        )
        value = np.concatenate([active.value for active in found] or [np.zeros(0)])
        if self.features is not None:
            kept = np.isin(flat, [layer * self.clt.n_features + feature for layer, feature in self.features])
            pair, flat, value = pair[kept], flat[kept], value[kept]
        return {"pair": pair.astype(np.int32), "feature": flat.astype(np.int32), "value": value.astype(np.float32)}

    def grids(self, parts: list[tuple[int, dict[str, np.ndarray]]], *, n_a: int, min_active: float) -> OperandGrids:
        """Put the parts together."""
        n_features = self.clt.n_features
        n_pairs = n_a * len(self.b)
        if self.features is None:
            counts = np.zeros(self.clt.n_layers * n_features, dtype=np.int64)
            for _, part in parts:
                counts += np.bincount(part["feature"], minlength=len(counts))
            flat = np.flatnonzero(counts >= max(1, np.ceil(min_active * n_pairs)))
            features = tuple((int(at) // n_features, int(at) % n_features) for at in flat)
        else:
            features = self.features
            flat = np.array([layer * n_features + feature for layer, feature in features])
        require_memory(
            len(features) * n_pairs * 4,
            f"Grids of {len(features):,} features over {n_pairs:,} pairs",
            "raise min_active or choose fewer features or operands",
        )
        values = np.zeros((len(features), n_pairs), dtype=np.float32)
        place = np.full(self.clt.n_layers * n_features, -1)
        place[flat] = np.arange(len(flat))
        for first, part in parts:
            row = place[part["feature"]]
            kept = row >= 0
            values[row[kept], first * len(self.b) + part["pair"][kept]] = part["value"][kept]
        return OperandGrids(
            template=self.template.text,
            a=self.a[:n_a],
            b=self.b,
            role=self.role,
            features=features,
            values=values.reshape(len(features), n_a, len(self.b)),
            stopped=n_a < len(self.a),
        )


def _read_part(path: Path) -> dict[str, np.ndarray] | None:
    """Return a finished part; None where there is none or it is damaged, so that it is computed again."""
    if not path.exists():
        return None
    try:
        part = {name: tensor.numpy() for name, tensor in read_safetensors(path).items()}
    except FormatError:
        return None
    return part if part.keys() == {"pair", "feature", "value"} else None


def _operands(name: str, values: Iterable[int]) -> tuple[int, ...]:
    try:
        operands = tuple(operator.index(value) for value in values)
    except TypeError as error:
        raise ConfigError(
            f"The range of {name} does not hold whole numbers ({error}): give range(100), say."
        ) from error
    if not operands:
        raise ConfigError(f"The range of {name} is empty: give at least one number, such as range(100).")
    if len(set(operands)) < len(operands):
        twice = next(value for value in operands if operands.count(value) > 1)
        raise ConfigError(f"The range of {name} holds {twice} more than once: give every number once.")
    return operands


def _encoder_sha256(clt: CLT) -> str:
    """Return the hash of what activations depend on."""
    digest = hashlib.sha256(clt.config.read_hook.encode())
    for tensor in (clt.W_enc, clt.b_enc, clt.threshold):
        digest.update(str(tensor.dtype).encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
