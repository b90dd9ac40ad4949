"""The one gradient loop, and the endless batches it takes.

A method calls `optimise`; it is not called by it. Several phases are several calls. Adversarial training is one call
with several losses. What a long training also needs (checkpoints, curves, early stopping, several GPUs) does not
concern the methods: `blemish.training.session` adds it to every call that is made inside its block, through
`callbacks`.
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
    """Take gradient steps on the loss of one batch after another.

    Adversarial training is a sequence of losses and as many optimisers (and schedules): with each batch, each loss gets
    an update by its optimiser, in order.

    Args:
        module: What is trained: in train mode meanwhile; left in eval mode, without gradients, whatever happens.
        loss: Loss of a batch, or several.
        data: Batches; iterated again and again.
        steps: Number of steps, one batch each.
        optimiser: One per loss.
        schedule: One per loss; constant learning rates by default.
        every: For each loss, the interval of its updates in steps; 1 by default.
        clip: Largest norm of the gradients of an update; unbounded by default.
        validation_loss: Loss on validation images, by which a session may stop early: the "first" loss, another one, or
            None where no loss measures how good the weights are, as in adversarial training.
        settings: What else decides the result, in plain values: a detector's `params` if `module` is only part of it.
        label: What the phase is called in the progress bar and in the names of files.

    Returns:
        The loss of each step, that of its first update; NaN for a step without one.

    Raises:
        InputError: `steps` is not positive, there is no data, a loss is no longer finite, or a batch of one is too
            small for a batch norm.
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
        module.zero_grad(set_to_none=True)  # as much memory as the weights, and not needed any more
        for each in by:
            each.zero_grad(set_to_none=True)
    return phase.losses


@dataclass
class Turn:
    """The updates of one loss.

    Attributes:
        loss: Loss of a batch.
        optimiser: What lowers it.
        schedule: How the learning rate falls; None if it is constant.
        every: Interval of the updates, in steps.
    """

    loss: Loss
    optimiser: Optimizer
    schedule: LRScheduler | None
    every: int

    def take(self, batch: Batch, clip: float | None) -> float:
        """Make one update.

        Args:
            batch: The batch, on the module's device.
            clip: Largest norm of the gradients; None for no bound.

        Returns:
            The loss before the update.
        """
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
    """One call of `optimise`, and how far it is. The callback may change its values before the first step.

    Attributes:
        label: What the phase is called.
        module: What is trained.
        turns: The updates of each loss, in order.
        data: Batches; iterated again and again.
        steps: Number of steps.
        clip: Largest norm of the gradients of an update, or None.
        validation_loss: Loss on validation images, or None where no loss measures how good the weights are.
        settings: What else decides the result, in plain values.
        losses: Losses of the steps taken so far.
        batches: Batches of the steps that are left; set by the callback.
    """

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
        """Take one step: make the updates that are due.

        Args:
            batch: The batch, on the module's device.

        Returns:
            The loss of each update; None for those that are not due.

        Raises:
            InputError: a loss is no longer finite.
        """
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
        """Return the mean of the last 50 losses as text, to be shown next to the progress bar."""
        return f"loss {np.mean(self.losses[-50:]):.4g}"


Stop = Callable[[list[float | None]], bool]
"""Gets the losses of a step that was taken, and returns whether it is the last."""


@contextmanager
def _no_callback(phase: Phase) -> Iterator[Stop]:
    phase.batches = cycle(phase.data, phase.steps)
    yield lambda losses: False


callbacks: ContextVar[Callable[[Phase], AbstractContextManager[Stop]]] = ContextVar("callbacks", default=_no_callback)
"""The callback around the loop: it gives the phase its batches, and is called after every step."""


def _listed(one: T | Sequence[T]) -> Sequence[T]:
    return one if isinstance(one, Sequence) else [one]


@dataclass
class Position:
    """A position in data that is iterated again and again.

    Attributes:
        passes: Whole passes.
        batch: Batches taken of the pass after them.
    """

    passes: int = 0
    batch: int = 0


def cycle(data: Iterable[Batch], steps: int, at: Position | None = None) -> Iterator[Batch]:
    """Iterate over data, starting over whenever it ends.

    Args:
        data: Batches.
        steps: Number of batches wanted.
        at: Position to begin at, kept up to date; the beginning by default.

    Returns:
        Exactly `steps` batches.

    Raises:
        InputError: once a batch is taken: `data` holds none.
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
    """Bring data to a position, as if it had been iterated all the way there.

    That works for data whose order depends on nothing but how often it was iterated, such as a Loader with a seed. The
    first pass is read whole, for a Loader finds out in it which images are unreadable; of later ones the first batch
    is.

    Args:
        data: Batches.
        at: The position.

    Returns:
        The rest of the pass that the position is in.
    """
    for earlier in range(at.passes):
        for _ in data:
            if earlier:
                break
    current = iter(data)
    deque(islice(current, at.batch), maxlen=0)
    return current
