"""The one gradient loop, and the small things every learner needs: seeds and endless batches.

A method calls `optimise`; it is not called by it. Several phases are several calls. Adversaries are one call with several
losses. What a long training needs besides (checkpoints, curves, early stopping, several GPUs) is not the methods' affair:
`blemish.training.session` brings it to every call that is made inside its block, through `callbacks`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from blemish.core.errors import InputError
from blemish.core.progress import progress
from blemish.core.types import Batch
from blemish.training.device import device_of, to

T = TypeVar("T")
Loss = Callable[[Batch], Tensor]


def optimise(
    module: nn.Module,
    loss: Loss | Sequence[Loss],
    data: Iterable[Batch],
    *,
    steps: int,
    optimiser: Optimizer | Sequence[Optimizer],
    schedule: LRScheduler | Sequence[LRScheduler] | None = None,
    every: Sequence[int] | None = None,
    clip: float | None = None,
    validation_loss: Loss | Literal["first"] | None = "first",
    settings: Mapping[str, Any] | None = None,
    label: str = "fit",
) -> list[float]:
    """Take `steps` gradient steps on `loss(batch)` over `data` (again and again) and return the loss of each.

    `module` is put in train mode and left in eval mode, without gradients, whatever happens. `clip` bounds their norm.
    Adversaries take turns: give a sequence of losses and as many optimisers; with each batch, each loss is lowered in its
    turn by its optimiser (and schedule), or with each `every[i]`-th batch only. Of the losses that took a turn the first
    is the one returned.

    A session may stop early by `validation_loss` on validation parts: the "first" loss, another one, or None where no loss
    says how good the weights are, as with adversaries. `settings` are what else decides the result, in plain values: a
    detector's `params`, if `module` is only a part of it.

    Raises:
        InputError: `steps` is not positive, there is no data, a loss is no longer finite, or a batch of one is too small
            for a batch norm.
    """
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1")
    lower, by = _listed(loss), _listed(optimiser)
    falling = _listed(schedule) if schedule is not None else [None] * len(lower)
    turns = [Turn(*each) for each in zip(lower, by, falling, every or [1] * len(lower), strict=True)]
    phase = Phase(
        label,
        module,
        turns,
        data,
        steps,
        clip,
        lower[0] if validation_loss == "first" else validation_loss,
        dict(settings or {}),
    )
    module.train()
    try:
        with callbacks.get()(phase) as stop:
            batches = progress(phase.batches, label, total=steps, done=len(phase.losses), note=phase.recent)
            for batch in batches:
                if stop(phase.step(to(batch, device_of(module)))):
                    break
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise InputError(
            "a batch of one image is too small for the network: its last map is a single place, which has no variance for "
            "the batch norm. Use larger images, or a batch size that leaves no image alone."
        ) from error
    finally:
        module.eval()
        module.zero_grad(set_to_none=True)  # as much memory as the weights, and nobody needs them any more
        for each in by:
            each.zero_grad(set_to_none=True)
    return phase.losses


@dataclass
class Turn:
    """A loss, what lowers it, how the learning rate falls, and with each how many-th batch this is done."""

    loss: Loss
    optimiser: Optimizer
    schedule: LRScheduler | None
    every: int

    def take(self, batch: Batch, clip: float | None) -> float:
        """Lower the loss once and return it."""
        self.optimiser.zero_grad(set_to_none=True)
        value = self.loss(batch)
        value.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_([p for group in self.optimiser.param_groups for p in group["params"]], clip)
        self.optimiser.step()
        if self.schedule is not None:
            self.schedule.step()
        return float(value.detach())


@dataclass
class Phase:
    """One call of `optimise`, and how far it is. Who watches sets `batches`, and may change the rest before it begins."""

    label: str
    module: nn.Module
    turns: list[Turn]
    data: Iterable[Batch]
    steps: int
    clip: float | None
    validation_loss: Loss | None
    settings: dict[str, Any]
    losses: list[float] = field(default_factory=list)
    batches: Iterator[Batch] = field(default_factory=lambda: iter(()))

    def step(self, batch: Batch) -> list[float | None]:
        """Let everyone whose turn it is take it; return their losses, None for the others."""
        step = len(self.losses) + 1
        found = [turn.take(batch, self.clip) if step % turn.every == 0 else None for turn in self.turns]
        taken = [value for value in found if value is not None]
        self.losses.append(taken[0] if taken else float("nan"))
        if not np.isfinite(taken).all():
            raise InputError(
                f"the loss became {' and '.join(map(str, taken))} at step {step}; try a smaller learning rate."
            )
        return found

    def recent(self) -> str:
        """Return the mean of the last losses, to be shown beside the bar."""
        return f"loss {np.mean(self.losses[-50:]):.4g}"


Stop = Callable[[list[float | None]], bool]
"""Told the losses of a step that was taken, answers whether it shall be the last."""


@contextmanager
def _no_callback(phase: Phase) -> Iterator[Stop]:
    phase.batches = cycle(phase.data, phase.steps)
    yield lambda losses: False


callbacks: ContextVar[Callable[[Phase], AbstractContextManager[Stop]]] = ContextVar("callbacks", default=_no_callback)
"""Who stands around the loop: gives the phase its batches, and hears of every step."""


def _listed(one: T | Sequence[T]) -> Sequence[T]:
    return one if isinstance(one, Sequence) else [one]


@dataclass
class Position:
    """A place in data that is iterated again and again: whole passes, and batches taken of the pass after them."""

    passes: int = 0
    batch: int = 0


def cycle(data: Iterable[Batch], steps: int, at: Position | None = None) -> Iterator[Batch]:
    """Yield exactly `steps` batches, starting over whenever `data` ends; `at` is where to begin, and is kept up to date.

    Raises:
        InputError: `data` holds no batch.
    """
    at = at or Position()
    return _cycle(pass_at(data, at), data, steps, at)  # what is skipped is skipped now, not with the first batch


def _cycle(current: Iterator[Batch], data: Iterable[Batch], steps: int, at: Position) -> Iterator[Batch]:
    while steps > 0:
        for batch in current:
            at.batch += 1
            steps -= 1
            yield batch
            if steps == 0:
                return
        if not at.batch:
            raise InputError("there is no batch to learn from; check that the training folder holds images.")
        at.passes, at.batch = at.passes + 1, 0
        current = iter(data)


def pass_at(data: Iterable[Batch], at: Position) -> Iterator[Batch]:
    """Return the rest of the pass that `at` stands in, with `data` as if it had been iterated all the way there.

    That is so for data whose order depends on nothing but how often it was iterated, such as a Loader with a seed. The
    first pass is read whole, for a Loader learns in it which images are unreadable; of later ones the first batch is.
    """
    for earlier in range(at.passes):
        for _ in data:
            if earlier:
                break
    current = iter(data)
    deque(islice(current, at.batch), maxlen=0)
    return current
