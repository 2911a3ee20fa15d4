"""Training a cross-layer transcoder on stored activations, by one process or several, stopped at any time."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor
from tqdm.auto import tqdm

from workbench.clt.activations.batches import Batches, shuffled
from workbench.clt.training.calibrate import batch_thresholds
from workbench.clt.training.checkpoint import TrainState, save_checkpoint
from workbench.clt.training.config import TrainConfig
from workbench.clt.training.distributed import ALONE, Ranks
from workbench.clt.training.end_to_end import EndToEnd
from workbench.clt.training.objective import Objective
from workbench.clt.training.step import StepResult, backward, forward
from workbench.errors import CLTError
from workbench.files import atomic_file, is_finite

METRICS = "metrics.jsonl"
_THRESHOLD_GAIN = 0.15


@dataclass
class StopFlag:
    """Set by SIGINT or SIGTERM; work ends at the next safe point.

    Attributes:
        idle: seconds that the work spent waiting when it asked; they count neither as training nor for the speed.
    """

    signal_number: int | None = None
    idle: float = 0.0

    def __call__(self) -> bool:
        return self.signal_number is not None

    @classmethod
    @contextmanager
    def installed(cls) -> Iterator[StopFlag]:
        """Yield a flag that both signals set inside the block."""
        flag = cls()
        with flag.catching():
            yield flag

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Let both signals set this flag inside the block; off the main thread, where Python forbids that, do nothing.

        A notebook's interrupt is a SIGINT to the main thread of its kernel, so that it stops after the step too.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.signal_number = number

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
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


def objective_at(config: TrainConfig, step: int, n_steps: int, dead: Tensor) -> Objective:
    """Return what a step minimises; the penalty on activity rises linearly, so that features are born first."""
    penalised = config.activation == "jumprelu"
    auxk = config.dead == "auxk"
    risen = min(1.0, (step + 1) / max(1.0, config.sparsity_warmup * n_steps))
    return Objective(
        activation=config.activation,
        bandwidth=config.bandwidth,
        saturation=config.saturation,
        sparsity=config.sparsity * risen if penalised else 0.0,
        pre_activation=config.pre_activation if penalised else 0.0,
        aux_k=config.aux_k if auxk else 0,
        aux_coefficient=config.aux_coefficient,
        dead=dead if auxk or penalised else None,
    )


@dataclass
class Trainer:
    """The training loop.

    Attributes:
        stop: asked after every step whether to save and leave.
        observe: called with the metrics of every step, whether they are logged or not.
        end_to_end: the replacement model's term, where the recipe gives it a weight.
        dead: share of features that are dead, as of the last step.
        kl: of the replacement model in the last step, in nats; None where it has no weight (yet).
    """

    config: TrainConfig
    state: TrainState
    batches: Batches
    out: Path
    stop: StopFlag = field(default_factory=StopFlag)
    progress: bool = True
    ranks: Ranks = ALONE
    observe: Callable[[Mapping[str, Any]], object] | None = None
    end_to_end: EndToEnd | None = None
    dead: float = 0.0
    kl: float | None = None

    def run(self) -> bool:
        """Train to the end; return False when a signal ended it before. The last step is always saved.

        Raises:
            CLTError: the loss or the weights became NaN or infinite; the checkpoint before stays.
            ResourceError: the disk is full; the checkpoint before stays.
        """
        n_steps, config, ranks = self.batches.n_steps, self.config, self.ranks
        if ranks.is_first:
            self._trim_metrics()
        saved = started = self._now()
        before, tokens = self.state.seconds, 0
        quiet = not (self.progress and ranks.is_first)
        bar = tqdm(total=n_steps, initial=self.state.step, desc="train", unit="step", disable=quiet)
        with bar, (self.out / METRICS if ranks.is_first else Path(os.devnull)).open("a", encoding="utf-8") as log:
            # A signal may reach one process a step before another: what is done next is agreed on.
            while self.state.step < n_steps and not ranks.any(self.stop()):
                if ranks.any(self.batches.must_refill(self.state.step)):
                    self.save()
                    if not ranks.all(self.batches.refill(self.state.step)):
                        break
                result = self.step()
                tokens += config.batch_tokens
                now = self._now()
                self.state.seconds = before + now - started
                bar.update()
                line = self._metrics(result, tokens / (now - started))
                if self.observe is not None and ranks.is_first:
                    self.observe(line)
                if self.state.step % config.log_every == 0 or self.state.step == n_steps:
                    log.write(json.dumps(line) + "\n")
                    log.flush()
                    bar.set_postfix({name: f"{line[name]:.3g}" for name in ("fvu", "l0", "dead", "tokens_per_s")})
                if ranks.any(now - saved > config.checkpoint_seconds):
                    self.save()
                    saved = now
        self.save()
        return self.state.step >= n_steps

    def _now(self) -> float:
        return time.monotonic() - self.stop.idle

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            CLTError: the weights are no numbers any more; the checkpoint before stays.
            ResourceError: the disk is full; the checkpoint before stays.
        """
        broken = [name for name, tensor in self.state.parameters.named() if not is_finite(tensor)]
        if self.ranks.any(bool(broken)):
            raise self._diverged(f"weights {broken[0]}" if broken else "weights of another process")
        save_checkpoint(self.out, self.state, self.config, self.ranks)

    def _diverged(self, what: str) -> CLTError:
        return CLTError(
            f"Training diverged at step {self.state.step}: the {what} became NaN or infinite; lower lr. "
            f"The last checkpoint in {self.out} is from before."
        )

    @torch.no_grad()
    def step(self) -> StepResult:
        """Do one optimiser step."""
        config, state, n_steps = self.config, self.state, self.batches.n_steps
        parameters, n_layers = state.parameters, state.parameters.config.n_layers
        batch = self.batches.batch(state.step).to(self.ranks.device)
        activations = state.normalisation.apply_(batch)
        reads, writes = activations[:n_layers], activations[n_layers:]
        learned = config.activation == "jumprelu"
        thresholded = state.step >= config.threshold_from * n_steps and not learned
        k = active_features(config, state.step, n_steps)
        if learned and state.step == 0 and config.warm_start is None:
            first = batch_thresholds(parameters, reads, k=k, ranks=self.ranks).log()
            for layer, log_threshold in enumerate(parameters.log_threshold):
                log_threshold.fill_(float(first[layer]))
        if thresholded and not bool(state.threshold.any()):
            state.threshold.copy_(batch_thresholds(parameters, reads, k=config.k, ranks=self.ranks))
        objective = objective_at(config, state.step, n_steps, self._quiet())
        result = forward(
            parameters,
            reads,
            writes,
            k=k,
            threshold=state.threshold if thresholded else None,
            objective=objective,
            ranks=self.ranks,
            overwrite=True,
        )
        if not is_finite(result.fvu):
            layers = torch.nonzero(~result.fvu.isfinite()).flatten().tolist()
            raise self._diverged(f"loss of layer {', '.join(map(str, layers))}")
        backward(parameters, reads, result, objective)
        if self.end_to_end is not None and state.step >= config.kl_from * n_steps:
            rows, positions = self._kl_rows()
            kl = self.end_to_end.add_gradient(
                parameters, state.normalisation, state.threshold, rows, weight=config.kl_weight, positions=positions
            )
            self.kl = float(self.ranks.mean_tokens(torch.tensor(kl, device=self.ranks.device)))
        self.ranks.average_gradients(parameters.tensors())
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(config, state.step, n_steps)
        state.optimiser.step()
        state.step += 1
        if thresholded:
            # Proportional control of log L0: the threshold follows the encoder as it learns.
            state.threshold *= (result.l0 / config.k).clamp(0.5, 2) ** _THRESHOLD_GAIN
        for layer, active in enumerate(result.active):
            state.last_fired[layer].index_fill_(0, active.feature[active.values > 0].long(), state.step)
        self.ranks.newest(state.last_fired)
        quiet = self._quiet()
        self.dead = int(self.ranks.sum_features(quiet.sum())) / (n_layers * config.n_features)
        every = config.resample_every if config.dead == "resample" else 0
        if every and state.step % every == 0 and state.step < config.resample_until * n_steps and self.dead:
            self._resample(quiet, reads, result)
        return result

    def _quiet(self) -> Tensor:
        """Return which features are dead: that have not fired for ``dead_after`` tokens."""
        return (self.state.step - self.state.last_fired) * self.config.batch_tokens > self.config.dead_after

    def _kl_rows(self) -> tuple[Int[Tensor, " row"], Int[Tensor, " position"]]:
        """Return the rows that the replacement model runs on in this step, and which of their predictions count.

        Each row comes once before any comes again; of each, a random sample of the predictions is taken.
        """
        assert self.end_to_end is not None
        config, (n_rows, length) = self.config, self.end_to_end.rows.shape
        round_, first = divmod(self.state.step * config.kl_rows, n_rows)
        rows = shuffled(n_rows, seed=config.seed, round_=round_).roll(-first)[: config.kl_rows]
        sample = min(length - 1, config.kl_positions)
        # Drawn for every row by itself, so that several processes draw what one would.
        drawn = [
            shuffled(length - 1, seed=config.seed, round_=self.state.step * config.kl_rows + row)[:sample].sort().values
            for row in range(len(rows))
        ]
        mine = self.ranks.share(len(rows)) if self.ranks.by_data else slice(None)
        positions = [row * (length - 1) + chosen for row, chosen in enumerate(drawn[mine])]
        return rows[mine], torch.cat(positions)

    def _resample(self, dead: Tensor, reads: Tensor, result: StepResult) -> None:
        """Point dead features at tokens that are reconstructed badly.

        After Bricken et al., "Towards Monosemanticity" (2023): tokens are drawn in proportion to
        their squared error, the encoder row takes their direction and the decoder row half of what
        is missing there; moments start from zero. Under top-k a newcomer must win its place, so on its
        own token it is made as active as the layer's active features are on average.
        """
        state, parameters, ranks = self.state, self.state.parameters, self.ranks
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + state.step)
        counts = dead.sum(1)
        counts = ranks.gather(counts) if ranks.by_features else counts[None]
        for layer in torch.nonzero(counts.sum(0)).flatten().tolist():
            rows = torch.nonzero(dead[layer]).flatten()
            weight = ranks.tokens(result.errors[layer].pow(2).sum(1)).cpu()
            # Drawn alike by all; each process takes the tokens of its own features.
            drawn = torch.multinomial(weight, min(int(counts[:, layer].sum()), len(weight)), generator=generator)
            first = int(counts[: ranks.rank, layer].sum()) if ranks.by_features else 0
            drawn = drawn[first : first + len(rows)].to(dead.device)
            rows = rows[: len(drawn)]
            x = ranks.drawn_tokens(reads[layer], drawn, len(weight))
            missing = -ranks.drawn_tokens(result.errors[layer], drawn, len(weight))
            values = result.active[layer].values
            active, n_active = ranks.total(torch.stack([values.sum(), (values > 0).sum()])).tolist()
            typical = active / max(n_active, 1.0) or 1.0
            parameters.W_enc[layer][rows] = typical * x / x.pow(2).sum(1, keepdim=True).clamp_min(1e-6)
            parameters.b_enc[layer][rows] = 0.0
            parameters.W_dec[layer][0][rows] = 0.5 * missing / typical
            touched = [parameters.W_enc[layer], parameters.b_enc[layer], parameters.W_dec[layer][0]]
            for decoder in parameters.W_dec[layer][1:]:
                decoder[rows] = 0.0
                touched.append(decoder)
            for j, scale in enumerate(parameters.decoder_scale[layer] if parameters.decoder_scale else ()):
                scale[rows] = 1.0 if j == 0 else 0.0
                touched.append(scale)
            if parameters.log_threshold:
                parameters.log_threshold[layer][rows] = ranks.all_features(parameters.log_threshold[layer]).median()
                touched.append(parameters.log_threshold[layer])
            for parameter in touched:
                moments = state.optimiser.state[parameter]
                moments["exp_avg"][rows] = 0.0
                moments["exp_avg_sq"][rows] = 0.0
            state.last_fired[layer][rows] = state.step

    def _metrics(self, result: StepResult, tokens_per_second: float) -> dict[str, Any]:
        return {
            "step": self.state.step,
            "n_steps": self.batches.n_steps,
            "tokens": self.state.step * self.config.batch_tokens,
            "fvu": result.loss,
            "fvu_by_layer": [round(value, 5) for value in result.fvu.tolist()],
            "l0": float(result.l0.mean()),
            "kl": self.kl,
            "dead": self.dead,
            "lr": self.state.optimiser.param_groups[0]["lr"],
            "tokens_per_s": tokens_per_second,
            "seconds": self.state.seconds,
            "cpu_seconds": time.process_time(),
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
