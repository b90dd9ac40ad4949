"""One training on several processes, started by torchrun: each takes its share of the batches, gradients are averaged.

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

from blemish.training.random_state import generators, seeded

T = TypeVar("T")


@contextmanager
def distributed() -> Iterator[None]:
    """Join the other processes of torchrun for the block: with NCCL on one GPU each, or with Gloo on the CPU.

    Yields:
        Nothing.
    """
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
    """Keep this process's share of items: one of every `processes()`.

    Args:
        items: Items, the same in every process.

    Yields:
        This process's item of each group; a last group that is not full is left out.
    """
    while len(group := list(islice(items, processes()))) == processes():
        yield group[rank()]


def averaged(module: nn.Module, losses: Sequence[Callable[[Any], Tensor]]) -> list[Callable[[Any], Tensor]]:
    """Average losses, and their gradients, over all processes.

    Args:
        module: What is trained; everywhere it begins with process 0's weights, and at each call with its buffers.
        losses: Losses of a batch.

    Returns:
        The losses with the mean value over all processes; their gradients in `module` are the mean, too.
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
    """The losses as the forward pass of one module, which is what DistributedDataParallel can average."""

    def __init__(self, module: nn.Module, losses: Sequence[Callable[[Any], Tensor]]) -> None:
        super().__init__()
        self.module, self.losses = module, list(losses)

    def forward(self, turn: int, batch: Any) -> Tensor:
        return self.losses[turn](batch)


def level(module: nn.Module) -> None:
    """Give all processes the weights and buffers of process 0.

    Args:
        module: The module; it is changed in place.
    """
    if processes() > 1:
        for tensor in module.state_dict().values():
            if tensor.numel():
                dist.broadcast(tensor, 0)


def agreed(value: float, device: torch.device) -> float:
    """Share process 0's value with all processes.

    Args:
        value: This process's value.
        device: Device for the transfer.

    Returns:
        Process 0's value.
    """
    if processes() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(shared, 0)
    return float(shared)


def told(text: str) -> str:
    """Share process 0's text with all processes.

    Args:
        text: This process's text, of at most 4096 bytes in UTF-8.

    Returns:
        Process 0's text.
    """
    if processes() == 1:
        return text
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    letters = torch.zeros(4096, dtype=torch.uint8, device=device)
    own = text.encode()
    letters[: len(own)] = torch.tensor(list(own), dtype=torch.uint8)
    dist.broadcast(letters, 0)
    return bytes(letters[letters > 0].tolist()).decode()


def wait() -> None:
    """Wait until all processes have reached this call."""
    if processes() > 1:
        dist.barrier()


@contextmanager
def own_randomness(step: int) -> Iterator[None]:
    """Let each of several processes draw its own random numbers, and all of them the same ones again afterwards.

    Args:
        step: Steps taken before, so that a resumed phase draws other numbers than it began with.

    Yields:
        Nothing.
    """
    if processes() == 1:
        yield
        return
    shared = int(torch.randint(2**31, ()))
    outer = [(generator, generator.get_state()) for generator in generators.get()]
    own = shared + processes() * step + rank()
    try:
        with seeded(own):
            for generator, _ in outer:
                generator.manual_seed(own)
            yield
    finally:
        for generator, state in outer:
            generator.set_state(state)
