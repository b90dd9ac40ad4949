"""One training on several processes, as torchrun starts them: each takes its share of the batches, gradients are averaged.

    torchrun --nproc-per-node 4 train.py        # train.py: with distributed(), session(folder): detector.fit(data)

Each process reads all of the data and keeps its share. Everything here does nothing, or returns what it is given, where
there is only one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


@contextmanager
def distributed() -> Iterator[None]:
    """Join the other processes of torchrun for the block: by nccl and on its own GPU each, or by gloo on the processor."""
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number; number 0 writes the files."""
    return dist.get_rank() if processes() > 1 else 0


def share(items: Iterator[T]) -> Iterator[T]:
    """Yield one of every `processes()` items, this process's own; a last group that is not full is left out."""
    while len(group := list(islice(items, processes()))) == processes():
        yield group[rank()]


def averaged(module: nn.Module, losses: Sequence[Callable[[Any], Tensor]]) -> list[Callable[[Any], Tensor]]:
    """Return losses with the mean value over all processes, whose gradients in `module` are the mean over them, too.

    `module` begins with process 0's weights everywhere, and with its buffers at each call.
    """
    if processes() == 1:
        return list(losses)
    together = DistributedDataParallel(_Losses(module, losses), find_unused_parameters=True)

    def mean(turn: int, batch: Any) -> Tensor:
        own: Tensor = together(turn, batch)
        value = own.detach().clone()
        dist.all_reduce(value)
        return own + (value / processes() - own.detach())  # the value of the mean, the gradient of one's own

    return [partial(mean, turn) for turn in range(len(losses))]


class _Losses(nn.Module):
    """The losses as the forward pass of one module: that is what DistributedDataParallel knows how to average."""

    def __init__(self, module: nn.Module, losses: Sequence[Callable[[Any], Tensor]]) -> None:
        super().__init__()
        self.module, self.losses = module, list(losses)

    def forward(self, turn: int, batch: Any) -> Tensor:
        return self.losses[turn](batch)


def level(module: nn.Module) -> None:
    """Give all processes the weights and buffers of process 0."""
    if processes() > 1:
        for tensor in module.state_dict().values():
            if tensor.numel():
                dist.broadcast(tensor, 0)


def agreed(value: float, device: torch.device) -> float:
    """Return process 0's value."""
    if processes() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def told(text: str) -> str:
    """Return process 0's text, of at most 4096 bytes."""
    if processes() == 1:
        return text
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    letters = torch.zeros(4096, dtype=torch.uint8, device=device)
    own = text.encode()
    letters[: len(own)] = torch.tensor(list(own), dtype=torch.uint8)
    dist.broadcast(letters, 0)
    return bytes(letters[letters > 0].tolist()).decode()


def wait() -> None:
    """Wait until all processes are here."""
    if processes() > 1:
        dist.barrier()
