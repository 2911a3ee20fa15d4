"""Training a cross-layer transcoder on stored activations, on one machine, so that it can be stopped at any time."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt.activations.batches import Batches
from workbench.clt.training.calibrate import batch_thresholds
from workbench.clt.training.checkpoint import TrainState, save_checkpoint
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.step import StepResult, backward, forward
from workbench.files import atomic_file

METRICS = "metrics.jsonl"
_THRESHOLD_GAIN = 0.15


@dataclass
class StopFlag:
    """Set by SIGINT or SIGTERM; work ends at the next safe point."""

    signal_number: int | None = None

    def __call__(self) -> bool:
        return self.signal_number is not None

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[StopFlag]:
        """Catch both signals inside the block; off the main thread, where Python forbids that, catch nothing."""
        flag = cls()
        if threading.current_thread() is not threading.main_thread():
            yield flag
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            flag.signal_number = number

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield flag
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def learning_rate(config: TrainConfig, step: int, n_steps: int) -> float:
    """Return the learning rate of a step: a linear rise, a plateau, a linear fall to ``lr_final``."""
    rise = min(1.0, (step + 1) / max(1.0, config.warmup * n_steps))
    left = min(1.0, (n_steps - step) / max(1.0, config.decay * n_steps))
    return config.lr * rise * (config.lr_final + (1 - config.lr_final) * left)


def active_features(config: TrainConfig, step: int, n_steps: int) -> int:
    """Return the k of a step: from ``k_start`` · k linearly down to k."""
    done = min(1.0, step / max(1.0, config.k_anneal * n_steps))
    return min(config.n_features, round(config.k * (config.k_start + (1 - config.k_start) * done)))


@dataclass
class Trainer:
    """The training loop.

    Attributes:
        stop: asked after every step whether to save and leave.
        dead: share of features that are dead, as of the last step.
    """

    config: TrainConfig
    state: TrainState
    batches: Batches
    out: Path
    stop: StopFlag = field(default_factory=StopFlag)
    progress: bool = True
    dead: float = 0.0

    def run(self) -> bool:
        """Train to the end; return False when a signal ended it before. The last step is always saved.

        Raises:
            ResourceError: the disk is full; the checkpoint before stays.
        """
        n_steps, config = self.batches.n_steps, self.config
        self._trim_metrics()
        saved = started = time.monotonic()
        before, tokens = self.state.seconds, 0
        bar = tqdm(total=n_steps, initial=self.state.step, desc="train", unit="step", disable=not self.progress)
        with bar, (self.out / METRICS).open("a", encoding="utf-8") as log:
            while self.state.step < n_steps and not self.stop():
                if self.batches.must_refill(self.state.step):
                    save_checkpoint(self.out, self.state, config)
                    if not self.batches.refill(self.state.step):
                        break
                result = self.step()
                tokens += config.batch_tokens
                now = time.monotonic()
                self.state.seconds = before + now - started
                bar.update()
                if self.state.step % config.log_every == 0 or self.state.step == n_steps:
                    line = self._metrics(result, tokens / (now - started))
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    bar.set_postfix({name: f"{line[name]:.3g}" for name in ("fvu", "l0", "dead", "tokens_per_s")})
                if now - saved > config.checkpoint_seconds:
                    save_checkpoint(self.out, self.state, config)
                    saved = now
        save_checkpoint(self.out, self.state, config)
        return self.state.step >= n_steps

    @torch.no_grad()
    def step(self) -> StepResult:
        """Do one optimiser step."""
        config, state, n_steps = self.config, self.state, self.batches.n_steps
        parameters, n_layers = state.parameters, state.parameters.config.n_layers
        activations = state.normalisation.apply_(self.batches.batch(state.step))
        reads, writes = activations[:n_layers], activations[n_layers:]
        thresholded = state.step >= config.threshold_from * n_steps
        if thresholded and not bool(state.threshold.any()):
            state.threshold.copy_(batch_thresholds(parameters, reads, k=config.k))
        result = forward(
            parameters,
            reads,
            writes,
            k=active_features(config, state.step, n_steps),
            threshold=state.threshold if thresholded else None,
        )
        backward(parameters, reads, result)
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(config, state.step, n_steps)
        state.optimiser.step()
        state.step += 1
        if thresholded:
            # Proportional control of log L0: the threshold follows the encoder as it learns.
            state.threshold *= (result.l0 / config.k).clamp(0.5, 2) ** _THRESHOLD_GAIN
        for layer, active in enumerate(result.active):
            state.last_fired[layer].index_fill_(0, active.feature[active.values > 0].long(), state.step)
        quiet = (state.step - state.last_fired) * config.batch_tokens > config.dead_after
        self.dead = float(quiet.float().mean())
        every = config.resample_every
        if every and state.step % every == 0 and state.step < config.resample_until * n_steps and self.dead:
            self._resample(quiet, reads, result)
        return result

    def _resample(self, dead: Tensor, reads: Tensor, result: StepResult) -> None:
        """Point dead features at tokens that are reconstructed badly.

        After Bricken et al., "Towards Monosemanticity" (2023): tokens are drawn in proportion to
        their squared error, the encoder row takes their direction and the decoder row half of what
        is missing there; moments start from zero. Under top-k a newcomer must win its place, so on its
        own token it is made as active as the layer's active features are on average.
        """
        state, parameters = self.state, self.state.parameters
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + state.step)
        for layer in torch.nonzero(dead.any(1)).flatten().tolist():
            rows = torch.nonzero(dead[layer]).flatten()
            weight = result.errors[layer].pow(2).sum(1)
            drawn = torch.multinomial(weight, min(len(rows), len(weight)), generator=generator)
            rows = rows[: len(drawn)]
            x, missing = reads[layer][drawn], -result.errors[layer][drawn]
            values = result.active[layer].values
            typical = float(values.sum() / (values > 0).sum().clamp_min(1)) or 1.0
            parameters.W_enc[layer][rows] = typical * x / x.pow(2).sum(1, keepdim=True).clamp_min(1e-6)
            parameters.b_enc[layer][rows] = 0.0
            parameters.W_dec[layer][0][rows] = 0.5 * missing / typical
            touched = [parameters.W_enc[layer], parameters.b_enc[layer], parameters.W_dec[layer][0]]
            for decoder in parameters.W_dec[layer][1:]:
                decoder[rows] = 0.0
                touched.append(decoder)
            for parameter in touched:
                moments = state.optimiser.state[parameter]
                moments["exp_avg"][rows] = 0.0
                moments["exp_avg_sq"][rows] = 0.0
            state.last_fired[layer][rows] = state.step

    def _metrics(self, result: StepResult, tokens_per_second: float) -> dict[str, Any]:
        return {
            "step": self.state.step,
            "tokens": self.state.step * self.config.batch_tokens,
            "fvu": result.loss,
            "fvu_by_layer": [round(value, 5) for value in result.fvu.tolist()],
            "l0": float(result.l0.mean()),
            "dead": self.dead,
            "lr": self.state.optimiser.param_groups[0]["lr"],
            "tokens_per_s": tokens_per_second,
            "seconds": self.state.seconds,
        }

    def _trim_metrics(self) -> None:
        """Drop the lines of steps that a killed run did after its last checkpoint: they are done again."""
        path = self.out / METRICS
        if not path.exists():
            return
        kept = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                if json.loads(line)["step"] <= self.state.step:
                    kept.append(line + "\n")
            except ValueError:
                break  # the last line of a killed process may be cut short
        with atomic_file(path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")
