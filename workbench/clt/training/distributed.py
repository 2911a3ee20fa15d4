"""Training by several processes: which part of the work each has, and what they tell each other.

``parallel = "data"``: every process holds the whole transcoder and a slice of each batch; gradients are averaged.
``parallel = "features"``: every process holds an equal range of every layer's features, with their optimiser state,
and sees the whole batch; the parts of the reconstruction are summed before the error is formed, and top-k is over the
features of all. What has no feature dimension (decoder biases, the skip) is computed alike by all.

``Ranks`` of one process does nothing at every call, so that the trainer has one path.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.clt.config import CLTConfig
from workbench.clt.training.kernels import Active
from workbench.clt.training.parameters import Form, Parameters
from workbench.errors import ConfigError

# The others wait at a barrier while the first harvests; a process that dies ends them all through torchrun.
_PATIENCE = timedelta(days=7)
# Everything else that a run keeps has its features along the first dimension.
_WITHOUT_FEATURES = frozenset({"b_dec", "W_skip", "mean", "scale", "threshold"})


def feature_dimension(name: str) -> int | None:
    """Return which dimension of a tensor of a checkpoint counts features; None where no dimension does."""
    bare = name.removeprefix("exp_avg_sq.").removeprefix("exp_avg.").split(".")[0]
    if bare == "last_fired":
        return 1
    return None if bare in _WITHOUT_FEATURES else 0


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: its number; the first, 0, logs and writes what is written once.
        world: how many there are.
        device: where its tensors live.
    """

    rank: int = 0
    world: int = 1
    parallel: Literal["data", "features"] = "data"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    @property
    def by_data(self) -> bool:
        return self.world > 1 and self.parallel == "data"

    @property
    def by_features(self) -> bool:
        return self.world > 1 and self.parallel == "features"

    def share(self, n: int) -> slice:
        """Return this process's part of ``n`` things that all divide evenly."""
        return slice(n * self.rank // self.world, n * (self.rank + 1) // self.world)

    def features(self, n_features: int) -> slice:
        """Return the features of a layer that this process holds."""
        return self.share(n_features) if self.by_features else slice(0, n_features)

    def local(self, config: CLTConfig) -> CLTConfig:
        """Return the shape of the part of a transcoder that this process holds."""
        mine = self.features(config.n_features)
        return config.model_copy(update={"n_features": mine.stop - mine.start})

    def require_even(self, *, n_features: int, batch_tokens: int, kl_rows: int = 0) -> None:
        """Check that the work divides among the processes.

        Raises:
            ConfigError: it does not.
        """
        for name, value, split in (
            ("n_features", n_features, self.by_features),
            ("batch_tokens", batch_tokens, self.world > 1),
            ("kl_rows", kl_rows, self.by_data),
        ):
            if split and value % self.world:
                raise ConfigError(
                    f"{name} = {value} does not divide among {self.world} processes: change it or --nproc-per-node."
                )

    # --- what all must agree on ---------------------------------------------------------------------------------------

    def barrier(self) -> None:
        """Wait for the others."""
        if self.world > 1:
            self.any(False)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set anywhere."""
        if self.world == 1:
            return flag
        told = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(told, op=dist.ReduceOp.MAX)
        return bool(told.item())

    def all(self, flag: bool) -> bool:
        """Return whether the flag is set everywhere."""
        return not self.any(not flag)

    # --- sums and means -----------------------------------------------------------------------------------------------

    def begin_feature_sum(self, tensor: Tensor) -> list[dist.Work]:
        """Begin to add up in place what the features of all processes contribute; wait for what is returned."""
        return [dist.all_reduce(tensor, async_op=True)] if self.by_features else []

    def sum_features(self, tensor: Tensor) -> Tensor:
        """Add up in place what the features of all processes contribute."""
        if self.by_features:
            dist.all_reduce(tensor)
        return tensor

    def mean_tokens(self, tensor: Tensor) -> Tensor:
        """Average in place what is a mean over each process's tokens."""
        if self.by_data:
            dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def whole(self, tensor: Tensor) -> Tensor:
        """From a mean over own tokens of a sum over own features to that of the whole batch and layer, in place."""
        return self.sum_features(self.mean_tokens(tensor))

    def total(self, tensor: Tensor) -> Tensor:
        """Add up in place what each process counts in its part, of whichever kind."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def average_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Make the gradients of each slice of a batch those of the batch."""
        if not self.by_data:
            return
        grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for work in [dist.all_reduce(grad, async_op=True) for grad in grads]:
            work.wait()
        torch._foreach_div_(grads, float(self.world))

    def newest(self, last_fired: Tensor) -> None:
        """Make the step at which a feature fired last, in any process's slice, known to all, in place."""
        if self.by_data:
            dist.all_reduce(last_fired, op=dist.ReduceOp.MAX)

    # --- gathering ----------------------------------------------------------------------------------------------------

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors of all processes, which have one shape, stacked in a new first dimension."""
        if self.world == 1:
            return tensor[None]
        out = tensor.new_empty((self.world * tensor.shape[0], *tensor.shape[1:]))
        dist.all_gather_into_tensor(out, tensor.contiguous())
        return out.view(self.world, *tensor.shape)

    def tokens(self, tensor: Float[Tensor, " token"]) -> Float[Tensor, " all_tokens"]:
        """Return one number a token of the whole batch."""
        return self.gather(tensor).flatten() if self.by_data else tensor

    def all_features(self, tensor: Float[Tensor, " feature"]) -> Float[Tensor, " all_features"]:
        """Return one number a feature of a whole layer."""
        return self.gather(tensor).flatten() if self.by_features else tensor

    def largest(self, values: Tensor, n: int) -> Tensor:
        """Return the ``n`` largest of the values of all processes, descending; all of them when there are fewer."""
        mine = values.flatten()
        mine = mine.topk(min(n, mine.numel())).values
        everyone = self.gather(mine).flatten()
        return everyone.topk(min(n, everyone.numel())).values

    def top_k(self, candidates: list[Active], k: int) -> list[Active]:
        """Return, by layer, those of each token's own candidates that are among the k largest of all processes.

        Args:
            candidates: by layer, as many a token for every token and process: each process's own top k.
        """
        if not self.by_features:
            return candidates
        n_tokens = candidates[0].n_tokens
        values = torch.stack([active.values.view(n_tokens, -1) for active in candidates])
        n_mine = values.shape[-1]
        everyone = self.gather(values).permute(1, 2, 0, 3).flatten(2)
        # Every process ranks the same numbers in the same order, so that ties break alike.
        kept = torch.zeros_like(everyone, dtype=torch.bool)
        kept.scatter_(2, everyone.topk(min(k, everyone.shape[-1]), sorted=False).indices, True)
        mine = kept[..., self.rank * n_mine : (self.rank + 1) * n_mine] & (values > 0)
        return [_selected(active, mask) for active, mask in zip(candidates, mine, strict=True)]

    def drawn_tokens(
        self, rows: Float[Tensor, "token d_model"], drawn: Tensor, n_tokens: int
    ) -> Float[Tensor, "drawn d_model"]:
        """Return some rows of the whole batch, of which each process may hold a slice.

        Args:
            rows: this process's rows.
            drawn: which rows of the whole batch; the same on every process.
            n_tokens: rows of the whole batch.
        """
        if not self.by_data:
            return rows[drawn]
        span = self.share(n_tokens)
        here = (drawn >= span.start) & (drawn < span.stop)
        found = rows.new_zeros(len(drawn), rows.shape[1])
        found[here] = rows[drawn[here] - span.start]
        dist.all_reduce(found)
        return found

    def scattered(self, whole: Parameters | None, config: CLTConfig, form: Form) -> Parameters:
        """Return this process's part of the first one's parameters, on its device.

        Args:
            whole: on the first process; tensors of ``config`` and ``form`` that it lacks are zero.
        """
        with self.device:
            mine = Parameters.zeros(self.local(config), form)
        given = dict(whole.named()) if whole is not None else {}
        features = self.features(config.n_features)
        for name, tensor in mine.named():
            dimension = feature_dimension(name)
            shape = list(tensor.shape)
            if dimension is not None:
                shape[dimension] = config.n_features
            full = given[name].to(self.device) if name in given else tensor.new_zeros(shape)
            self.broadcast(full)
            tensor.copy_(full if dimension is None else full[features])
        return mine

    def broadcast(self, tensor: Tensor) -> Tensor:
        """Replace a tensor in place by the first process's."""
        if self.world > 1:
            dist.broadcast(tensor, 0)
        return tensor


ALONE = Ranks()


def _selected(active: Active, mask: Bool[Tensor, "token candidate"]) -> Active:
    chosen = mask.flatten()
    offsets = torch.zeros_like(active.offsets)
    offsets[1:] = mask.sum(1).cumsum(0)
    return Active(active.values[chosen], active.feature[chosen], active.token[chosen], offsets)


@contextmanager
def joined(parallel: Literal["data", "features"], *, device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that torchrun started (none: train alone); NCCL on GPUs, gloo elsewhere.

    Args:
        device: "cpu", "cuda", or "auto" for a GPU where there is one; each process takes the GPU of its LOCAL_RANK.

    Raises:
        ConfigError: there are more processes than GPUs on this machine.
    """
    rank, world, local = (int(os.environ.get(name, default)) for name, default in _ENVIRONMENT)
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpu and local >= torch.cuda.device_count():
        raise ConfigError(
            f"Process {local} of this machine has no GPU of its own ({torch.cuda.device_count()} found): "
            "lower --nproc-per-node."
        )
    place = torch.device("cuda", local) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if world == 1:
        yield Ranks(parallel=parallel, device=place)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(rank=rank, world=world, parallel=parallel, device=place)
    finally:
        dist.destroy_process_group()


_ENVIRONMENT = (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))
