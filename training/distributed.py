"""Several processes that train one network: DistributedDataParallel under torchrun.

Every process draws the same batches and the same augmentation, and takes its share of each batch,
so N processes follow the curve of one at the same global batch. On GPUs batch normalisation is
synchronised, so that holds with it too. SyncBatchNorm does not run on CPUs: there each process
normalises over its own share, and the first one's running statistics are kept.
"""

import os
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn


def _own_device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


@dataclass(frozen=True)
class Workers:
    """The processes of a run, seen from one of them; alone unless torchrun started several."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=_own_device)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that measures and writes."""
        return self.rank == 0

    def rows(self, count: int) -> slice:
        """This process's share of `count` rows."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def average(self, value: Tensor) -> Tensor:
        """The mean over the processes; gradients flow through it."""
        if self.size == 1:
            return value
        from torch.distributed.nn.functional import all_reduce

        return all_reduce(value) / self.size

    def sum_in_place(self, value: Tensor) -> None:
        if self.size > 1:
            dist.all_reduce(value)

    def agree(self, decision: bool) -> bool:
        """The first process's decision, in all of them."""
        if self.size == 1:
            return decision
        shared = torch.tensor(float(decision), device=self.device)
        dist.broadcast(shared, src=0)
        return bool(shared)

    def synchronise_normalisation(self, network: nn.Module) -> nn.Module:
        if self.size > 1 and self.device.type == "cuda":
            return nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return network

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module, with its gradients averaged over the processes."""
        if self.size == 1:
            return module
        devices = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=devices)


def join_workers() -> Workers:
    """What torchrun's environment says; alone without it."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    if size == 1:
        return Workers()
    device = _own_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Workers(dist.get_rank(), size, device)


def refuse_several_processes() -> None:
    """Raise ValueError under torchrun, for commands whose processes would write the same files."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise ValueError("Start this command once, without torchrun; training.train takes several.")


def leave_workers() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()
