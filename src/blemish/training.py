"""The one gradient loop, and the small things every learner needs: seeds and endless batches.

A method calls `optimise`; it is not called by it. Several phases are several calls. A method that needs two optimisers
writes its own loop over `cycle`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from blemish.errors import InputError
from blemish.progress import progress
from blemish.types import Batch

T = TypeVar("T")
Loss = Callable[[Batch], Tensor]


def optimise(
    module: nn.Module,
    loss: Loss | Sequence[Loss],
    data: Iterable[Batch],
    *,
    steps: int,
    optimiser: torch.optim.Optimizer | Sequence[torch.optim.Optimizer],
    schedule: torch.optim.lr_scheduler.LRScheduler | Sequence[torch.optim.lr_scheduler.LRScheduler] | None = None,
    every: Sequence[int] | None = None,
    clip: float | None = None,
    label: str = "fit",
) -> list[float]:
    """Take `steps` gradient steps on `loss(batch)` over `data` (again and again) and return the loss of each.

    `module` is put in train mode and left in eval mode, whatever happens. `clip` bounds the norm of the gradient.
    Adversaries take turns: give a sequence of losses and as many optimisers; with each batch, each loss is lowered in its
    turn by its optimiser (and schedule), or with each `every[i]`-th batch only. The first loss is the one returned.

    Raises:
        InputError: `steps` is not positive, there is no data, or a loss is no longer finite.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1")
    lower, by = _listed(loss), _listed(optimiser)
    falling = _listed(schedule) if schedule is not None else [None] * len(lower)
    turns = list(zip(lower, by, falling, every or [1] * len(lower), strict=True))
    losses: list[float] = []
    module.train()
    try:
        for drawn in progress(cycle(data, steps), label, total=steps):
            batch, step = to(drawn, device_of(module)), len(losses) + 1
            found = [_turn(one, opt, fall, batch, clip) for one, opt, fall, each in turns if step % each == 0]
            losses.append(found[0])
            if not np.isfinite(found).all():
                raise InputError(
                    f"the loss became {' and '.join(map(str, found))} at step {step}; try a smaller learning rate."
                )
    finally:
        module.eval()
    return losses


def _turn(
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    batch: Batch,
    clip: float | None,
) -> float:
    optimiser.zero_grad(set_to_none=True)
    value = loss(batch)
    value.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], clip)
    optimiser.step()
    if schedule is not None:
        schedule.step()
    return float(value.detach())


def _listed(one: T | Sequence[T]) -> Sequence[T]:
    return one if isinstance(one, Sequence) else [one]


def cycle(data: Iterable[Batch], steps: int) -> Iterator[Batch]:
    """Yield exactly `steps` batches, starting over whenever `data` ends.

    Raises:
        InputError: `data` holds no batch.
    """
    done = 0
    while done < steps:
        before = done
        for batch in data:
            yield batch
            done += 1
            if done == steps:
                return
        if done == before:
            raise InputError("there is no batch to learn from; check that the training folder holds images.")


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed Python, numpy and torch inside the block and put their states back after it."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield torch.Generator().manual_seed(seed)
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


def choose_device(name: str) -> torch.device:
    """Return the device of a name: "auto" is a CUDA GPU if there is one, else the processor.

    Raises:
        InputError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device {name!r} is not known; use 'auto', 'cpu' or 'cuda:0'") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: this machine has no usable CUDA GPU; use 'cpu' or 'auto'")
    return device


def device_of(module: nn.Module) -> torch.device:
    """Return the device a module's parameters or buffers live on; the processor if it has none."""
    for tensor in chain(module.parameters(), module.buffers()):
        return tensor.device
    return torch.device("cpu")


def to(batch: Batch, device: torch.device) -> Batch:
    """Return the batch with its inputs on `device`; the truth stays where it is."""
    if device.type == "cpu":
        return batch
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.inputs.items()}
    return Batch(moved, batch.label, batch.keys)
