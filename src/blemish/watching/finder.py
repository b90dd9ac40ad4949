"""The thread that sweeps the folder again and again while others inspect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from blemish.watching.backlog import Backlog
from blemish.watching.sweep import Sweep

SHARE = 5
"""Sweeps take at most one part in so many of the time: a large folder is looked at less often."""

LONGEST_PAUSE = 30.0


class Finder(Thread):
    """Sweeps every `poll` seconds until `stop` is set; a folder that is away is waited for, and said.

    `failure` is what ended the thread unexpectedly, for the one who inspects to raise.
    """

    def __init__(self, sweep: Sweep, backlog: Backlog, poll: float, stop: Event, say: Callable[[str], None]) -> None:
        super().__init__(name="blemish-find", daemon=True)
        self.sweep, self.backlog, self.poll, self.stop, self.say = sweep, backlog, poll, stop, say
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Sweep until told to stop."""
        try:
            pause = self.poll
            away = False
            while not self.stop.is_set():
                start = monotonic()
                try:
                    self.sweep()
                except OSError as error:
                    if not away:
                        self.say(f"{self.sweep.folder} cannot be listed: {error.strerror or error}. Waiting for it.")
                    away, pause = True, min(LONGEST_PAUSE, max(2 * pause, 0.1))
                else:
                    if away:
                        self.say(f"{self.sweep.folder} can be listed again.")
                    away, pause = False, max(self.poll, (SHARE - 1) * (monotonic() - start))
                self.stop.wait(pause)
        except BaseException as error:  # handed to the thread that inspects, which raises it
            self.failure = error
        finally:
            with self.backlog.changed:
                self.backlog.changed.notify_all()


def check_folders(folder: Path, out: Path) -> str | None:
    """Return what is wrong with the two folders, or None."""
    if not folder.is_dir():
        return f"{folder} is no folder. Name the folder into which the camera writes."
    if folder.resolve() == out.resolve():
        return f"results cannot go into the watched folder {folder} itself; choose another --out, it may lie inside."
    return None
