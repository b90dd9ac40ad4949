"""Long trainings, made safe for every method at once: they are logged, resumed, stopped early, and distributed.

    with session("runs/first"):
        detector.fit(data)

Each `optimise` that is called inside the block is a phase, numbered in the order of the calls; its method knows nothing
of it. `01-fit.csv` is the curve of the first phase, `01-fit.safetensors` its checkpoint. The same fit, called again
after a Ctrl-C, a crash or a power cut with the same folder, skips complete phases, resumes the next one from its last
checkpoint, and reaches, on the CPU bit for bit, the weights it would have reached without the interruption. That
requires of the fit:

- What it learns step by step is in the module given to `optimise` and in its optimisers and schedules; what it draws at
  random comes from Python's, numpy's and torch's own generators or from those that `seeded` gives.
- The order of the data depends on nothing but how often they were iterated before, like that of a Loader with a seed.

A checkpoint is the state at the end of a step. Ctrl-C therefore acts at the end of the current step (a second one acts
at once); after an error inside a step the last checkpoint stands.
"""

from __future__ import annotations

import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from blemish.core.errors import InputError
from blemish.core.types import Batch
from blemish.training.checkpoint import read_state, write_state
from blemish.training.device import device_of
from blemish.training.early_stopping import EarlyStopping
from blemish.training.fingerprint import fingerprint, same
from blemish.training.log import Log
from blemish.training.loggers import Logger
from blemish.training.optimise import Loss, Phase, Position, Stop, callbacks, cycle
from blemish.training.processes import averaged, distributed, level, own_randomness, processes, rank, share, wait
from blemish.training.random_state import random_state, set_random_state

__all__ = ["distributed", "session"]


@contextmanager
def session(
    folder: Path | str | None = None,
    *,
    save_every: float = 60.0,
    precision: Literal["float32", "bfloat16"] = "float32",
    validation: Iterable[Batch] | None = None,
    patience: int = 10,
    check_every: int = 100,
    settings: Mapping[str, Any] | None = None,
    loggers: Sequence[Logger] = (),
) -> Iterator[None]:
    """Log, save, resume and stop every `optimise` of the block.

    Early stopping averages the phase's validation loss over `validation` (in eval mode, always with the same random
    numbers); after `patience` checks without improvement the phase ends, and the best weights are taken. A phase
    without a validation loss, such as adversarial training, takes all its steps and warns of it.

    On several processes (`distributed`) every process takes its share of the batches and gradients are averaged; all
    must see the same `folder`, in which only process 0 writes.

    Args:
        folder: Where curves and checkpoints are written; None writes nothing.
        save_every: Seconds between two checkpoints.
        precision: With "bfloat16" the losses are computed by torch's autocast, weights stay float32.
        validation: Batches of held-out good parts, in a fixed order; None for no early stopping.
        patience: Checks without improvement after which a phase ends.
        check_every: Steps between two checks.
        settings: What else decides the result, in plain values; a folder of other settings is refused.
        loggers: What the curves are told to as well, where there is a folder.

    Yields:
        Nothing.

    Raises:
        InputError: an option cannot be used, or, from inside a fit, `folder` holds another training.
    """
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"precision is {precision!r}; it must be 'float32' or 'bfloat16'")
    if save_every < 0 or patience < 1 or check_every < 1:
        raise InputError(
            f"save_every is {save_every} (at least 0), patience is {patience}, check_every is {check_every} (at least 1)"
        )
    where = None if folder is None else Path(folder)
    options = _Options(where, save_every, precision, validation, patience, check_every, dict(settings or {}), loggers)
    numbers = count(1)
    token = callbacks.set(lambda phase: _Callback(phase, options, next(numbers)).around())
    try:
        yield
    finally:
        callbacks.reset(token)


@dataclass(frozen=True)
class _Options:
    folder: Path | None
    save_every: float
    precision: str
    validation: Iterable[Batch] | None
    patience: int
    check_every: int
    settings: dict[str, Any]
    loggers: Sequence[Logger]


class _Callback:
    """One phase of a session."""

    def __init__(self, phase: Phase, options: _Options, number: int) -> None:
        self.phase, self.options, self.number = phase, options, f"{number:02}"
        self.measured = [_in_precision(turn.loss, device_of(phase.module), options.precision) for turn in phase.turns]
        self.stopping = None
        if options.validation is not None and phase.validation_loss is not None:
            validation_loss = _in_precision(phase.validation_loss, device_of(phase.module), options.precision)
            self.stopping = EarlyStopping(phase.module, validation_loss, options.validation, options.patience)
        elif options.validation is not None:
            warnings.warn(
                f"{phase.label} is not stopped early: its losses do not say how good its weights are. It takes all of its "
                f"{phase.steps} steps.",
                stacklevel=2,
            )
        self.log: Log | None = None
        self.at, self.inside_step = Position(), False
        self.began = self.saved = time.monotonic()

    @contextmanager
    def around(self) -> Iterator[Stop]:
        """Resume the phase, let it run, and save its result."""
        phase, o = self.phase, self.options
        self.fingerprint = fingerprint(
            phase, o.settings, o.precision, [] if self.stopping is None else [o.patience, o.check_every]
        )
        state = self._resume() or {"complete": False}
        with own_randomness(len(phase.losses)):
            left = 0 if state["complete"] or self._enough() else phase.steps - len(phase.losses)
            phase.batches = share(cycle(phase.data, left * processes(), self.at))
            if "chance" in state and rank() == 0:  # the other processes' random state is not saved: they draw afresh
                set_random_state(state["chance"])
            if state["complete"]:
                yield self._after_step
            else:
                with self._open_log(), late_interrupt() as self.interrupt, self._losses():
                    yield from self._run()
        wait()

    def _run(self) -> Iterator[Stop]:
        self._mark()
        try:
            yield self._after_step
        except BaseException:
            if not self.inside_step:
                self._save()
            raise
        if self.stopping is not None:
            self.stopping.take_best()
        level(self.phase.module)
        self._save(complete=True)

    def _after_step(self, losses: list[float | None]) -> bool:
        self.inside_step = False
        self._mark()
        step, checked = len(self.phase.losses), None
        if self.stopping is not None and (step % self.options.check_every == 0 or step == self.phase.steps):
            checked = self.stopping.check()
        if self.log is not None:
            rates = [turn.optimiser.param_groups[0]["lr"] for turn in self.phase.turns]
            values = [self._seconds(), *losses, *rates, *([] if self.stopping is None else [checked])]
            self.log.row(dict(zip(self.log.columns, values, strict=True)))
        if time.monotonic() - self.saved >= self.options.save_every:
            self._save()
        self.interrupt()
        return self._enough()

    def _enough(self) -> bool:
        return self.stopping is not None and self.stopping.enough

    def _mark(self) -> None:
        """Note the position in the data and the random state after a step: reading the next batch changes both."""
        self.place = {"passes": self.at.passes, "batch": self.at.batch}
        self.chance = random_state()

    def _seconds(self) -> float:
        return time.monotonic() - self.began

    @contextmanager
    def _losses(self) -> Iterator[None]:
        """Give the phase's updates losses of the wanted precision, averaged, that note when a step begins."""

        def within(loss: Loss) -> Loss:
            def run(batch: Batch) -> Tensor:
                self.inside_step = True
                return loss(batch)

            return run

        turns = self.phase.turns
        own = [turn.loss for turn in turns]
        for turn, loss in zip(turns, averaged(self.phase.module, self.measured), strict=True):
            turn.loss = within(loss)
        try:
            yield
        finally:
            for turn, loss in zip(turns, own, strict=True):
                turn.loss = loss

    @contextmanager
    def _open_log(self) -> Iterator[None]:
        if self.options.folder is None or rank() > 0:
            yield
            return
        ends = [f"_{i}" for i in range(1, len(self.measured) + 1)] if len(self.measured) > 1 else [""]
        columns = ["seconds", *(f"loss{end}" for end in ends), *(f"rate{end}" for end in ends)]
        columns += ["validation"] if self.stopping is not None else []
        stem = self.options.folder / f"{self.number}-{_file_name(self.phase.label)}"
        with Log(stem, columns, len(self.phase.losses), self.options.loggers) as self.log:
            yield

    def _save(self, *, complete: bool = False) -> None:
        if self.log is None:
            return
        self.log.flush()  # rows are never behind the checkpoint
        phase = self.phase
        state = {
            "fingerprint": self.fingerprint,
            "complete": complete,
            "seconds": self._seconds(),
            "place": self.place,
            "chance": self.chance,
            "losses": torch.tensor(phase.losses, dtype=torch.float64),
            "module": phase.module.state_dict(),
            "optimisers": [turn.optimiser.state_dict() for turn in phase.turns],
            "schedules": [turn.schedule and turn.schedule.state_dict() for turn in phase.turns],
            "validation": self.stopping and self.stopping.state(),
        }
        write_state(self.log.path.with_suffix(".safetensors"), state)
        self.saved = time.monotonic()

    def _resume(self) -> dict[str, Any] | None:
        """Return the phase's checkpoint, if there is one, with all of it but the random state restored."""
        if self.options.folder is None:
            return None
        found = sorted(self.options.folder.glob(f"{self.number}-*.safetensors"))
        if not found:
            return None
        state: dict[str, Any] = read_state(found[0])
        same(state["fingerprint"], self.fingerprint, found[0])
        phase = self.phase
        phase.module.load_state_dict(state["module"])
        for turn, optimiser, schedule in zip(phase.turns, state["optimisers"], state["schedules"], strict=True):
            turn.optimiser.load_state_dict(optimiser)
            if turn.schedule is not None:
                turn.schedule.load_state_dict(schedule)
        if self.stopping is not None:
            self.stopping.load(state["validation"])
        phase.losses.extend(state["losses"].tolist())
        self.at = Position(**state["place"])
        self.began -= state["seconds"]
        return state


def _in_precision(loss: Loss, device: torch.device, precision: str) -> Loss:
    if precision == "float32":
        return loss

    def run(batch: Batch) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16):
            return loss(batch)

    return run


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", label)


@contextmanager
def late_interrupt() -> Iterator[Callable[[], None]]:
    """Hold a first Ctrl-C back until a function is called, or the block ends; a second one acts at once.

    Yields:
        The function; it raises KeyboardInterrupt if there was a Ctrl-C.
    """
    asked: list[int] = []

    def hear(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def act() -> None:
        if asked:
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield act  # it is handled elsewhere, or cannot be handled in this thread
        return
    signal.signal(signal.SIGINT, hear)
    try:
        yield act
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    act()
