"""What happens when the disk is full: wait, say so once, go on when there is room."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TypeVar

T = TypeVar("T")

PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN}
"""Errors that go away when space is freed or a network share comes back."""

LONGEST_PAUSE = 30.0


class Stopped(Exception):
    """The watcher was asked to stop while it waited; what it wanted to write is not written."""


class Room:
    """Writes that wait for room. `reason` says why nothing goes on at the moment, or is None."""

    def __init__(self, stop: Event, say: Callable[[str], None], pause: float = 1.0) -> None:
        self.stop, self.say, self.pause = stop, say, pause
        self.reason: str | None = None

    def wait_for(self, write: Callable[[], T], place: Path) -> T:
        """Return what `write` returns, calling it again after growing pauses (seconds) while the disk is full.

        Raises:
            Stopped: the watcher was asked to stop meanwhile.
            OSError: `write` failed in a way that waiting does not mend.
        """
        pause = self.pause
        while True:
            try:
                done = write()
            except OSError as error:
                cause = cause_of(error)
                if cause.errno not in PASSING:
                    raise
                if self.reason is None:
                    self.reason = f"{cause.strerror or cause}: {place}"
                    self.say(f"paused, nothing is lost: {self.reason}. Free some space; it goes on by itself.")
                if self.stop.wait(pause):
                    raise Stopped from error
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                if self.reason is not None:
                    self.reason = None
                    self.say(f"going on: {place} can be written again.")
                return done


def cause_of(error: OSError) -> OSError:
    """Return the operating system's own error behind one that was raised in its place."""
    while error.errno is None and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return error
