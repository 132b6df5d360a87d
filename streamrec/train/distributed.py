"""Training one model in several processes, as ``torchrun`` starts them; without it there is one process."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from streamrec.errors import ModelError, need
from streamrec.runtime.load import check_device

need("torch", extra="train")

import torch  # noqa: E402
from torch import Tensor, distributed, nn  # noqa: E402
from torch.nn.parallel import DistributedDataParallel  # noqa: E402

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's mallopt
PATIENCE = timedelta(hours=2)  # one process may still be decoding its clips while another waits


@dataclass(frozen=True, slots=True, eq=False)
class Ranks:
    """The rank of this process. Each reads its own streams; gradients are averaged; rank 0 writes and prints."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model to call while learning: its gradients become the mean over all processes."""
        if self.count == 1:
            return model
        gc.collect()  # an old wrapper keeps averaging gradients until it is collected
        devices = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=devices)

    def any(self, here: bool) -> bool:
        """Whether ``here`` is true in any process; all processes must call it."""
        return bool(self.sum([here])[0])

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Each number summed over all processes; all processes must call it."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def average_buffers(self, model: nn.Module) -> None:
        """Average the buffers (statistics of batch norm) over all processes."""
        if self.count > 1:
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    distributed.all_reduce(buffer)
                    buffer /= self.count

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, of one shape, on the CPU; all processes must call it."""
        if self.count == 1:
            return [tensor.cpu()]
        here = tensor.to(self.device).contiguous()
        there = [torch.empty_like(here) for _ in range(self.count)]
        distributed.all_gather(there, here)
        return [each.cpu() for each in there]


@contextmanager
def joined(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that ``torchrun`` started; without it, this one alone. Raises ``ModelError``.

    >>> with joined("cpu") as ranks:
    ...     ranks.first, ranks.count
    (True, 1)
    """
    count, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    chosen = choose_device(device, int(os.environ.get("LOCAL_RANK", 0)) if count > 1 else None)
    if count == 1:
        yield Ranks(device=chosen)
        return
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    try:
        distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"the {count} processes did not find each other: {str(error).splitlines()[0]}; start them with torchrun"
        ) from error
    try:
        yield Ranks(rank, count, chosen)
    finally:
        distributed.destroy_process_group()


def choose_device(device: str, local_rank: int | None = None) -> torch.device:
    """The torch device of a name; ``auto`` is a GPU where there is one, one for each process. Raises ``ModelError``."""
    check_device(device)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if device == "cuda" and local_rank is not None:
            device = f"cuda:{local_rank}"
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"torch cannot use the device {device!r}: {str(error).splitlines()[0]}") from error
    return chosen


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next step; on other systems nothing happens.

    By default it returns large tensors to the system at once, and each step pays for zeroed pages again: up to two
    fifths of the time on virtual machines.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 << 20)
