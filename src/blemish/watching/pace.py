"""How fast it goes and how much waits."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import monotonic

WINDOW = 30.0
"""Seconds over which the speed is counted."""


@dataclass(frozen=True, slots=True)
class Status:
    """`waiting` files, `rate` in parts a second lately, `oldest` in seconds since the file that waits longest was found.

    `good`, `defective` and `error` count the lines written by this process; `unseen` the folders that cannot be looked
    into, of whose parts nothing is known; `paused` says why nothing goes on, if so.
    """

    waiting: int
    rate: float
    oldest: float
    good: int
    defective: int
    error: int
    unseen: int = 0
    paused: str | None = None

    @property
    def text(self) -> str:
        """The status on one line."""
        done = f"{self.good} good, {self.defective} defective, {self.error} errors"
        waits = f"{self.waiting} waiting" + (f", the oldest for {self.oldest:.0f} s" if self.waiting else "")
        unseen = f"; {self.unseen} folders cannot be seen" if self.unseen else ""
        return f"{done}; {waits}; {self.rate:.1f} parts/s{unseen}" + (f"; paused: {self.paused}" if self.paused else "")


class Pace:
    """Parts a second over the last half minute."""

    def __init__(self) -> None:
        self._start = monotonic()
        self._times: deque[float] = deque(maxlen=5000)

    def part(self) -> None:
        """Count one part, now."""
        self._times.append(monotonic())

    @property
    def rate(self) -> float:
        """Parts a second."""
        now = monotonic()
        while self._times and self._times[0] < now - WINDOW:
            self._times.popleft()
        if not self._times:
            return 0.0
        whole = len(self._times) == self._times.maxlen
        span = now - (self._times[0] if whole else max(self._start, now - WINDOW))
        return len(self._times) / max(span, 1e-3)
