"""The files that are known and not finished: each waits until it is complete, and is handed out oldest first."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Condition
from typing import Any, NamedTuple


class FileState(NamedTuple):
    """A file in one state; the same name with another size or time of writing is another state, inspected on its own.

    Content is not part of the identity: every finished file would have to be read again at every start.

    Attributes:
        path: Path relative to the watched folder, with forward slashes.
        size: Size in bytes.
        mtime_ns: Time of the last writing in nanoseconds since 1970.
    """

    path: str
    size: int
    mtime_ns: int

    @property
    def digest(self) -> bytes:
        """16 bytes that identify this state: a million of them fit in memory."""
        text = f"{self.path}\0{self.size}\0{self.mtime_ns}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FileState:
        """Rebuild a state from the journal.

        Args:
            values: The values under "part" in a line of the journal.

        Returns:
            The state.

        Raises:
            KeyError: a value is missing.
            TypeError: a value is no number.
            ValueError: a text is no number.
        """
        return cls(str(values["path"]), int(values["size"]), int(values["mtime_ns"]))

    @classmethod
    def of(cls, path: str, stat: os.stat_result) -> FileState:
        """Return the state of a file.

        Args:
            path: Path relative to the watched folder.
            stat: What the system reports of the file.

        Returns:
            The state.
        """
        return cls(path, stat.st_size, stat.st_mtime_ns)


def now_at(folder: Path, path: str) -> FileState | None:
    """Return the present state of a file.

    Args:
        folder: The watched folder.
        path: Path of the file below it.

    Returns:
        The state, or None if the file is gone.

    Raises:
        OSError: the folder cannot be reached (a network share that is away).
    """
    try:
        return FileState.of(path, (folder / path).stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


LIMIT = 20_000
"""Files held at once; about 10 MB."""

LONGEST_PAUSE = 30.0
"""Seconds, at most, between two tries of a file that cannot be read yet, or of a folder that cannot be listed."""


@dataclass(slots=True)
class Candidate:
    """A file that is not finished. Times are seconds of a monotonic clock.

    Attributes:
        part: Its state when it was last seen.
        first: When it was found.
        steady: Since when its size and time of writing are the same.
        again: When it may be tried next.
        tries: How often it could not be read in this state.
        taken: Whether the model has it.
    """

    part: FileState
    first: float
    steady: float
    again: float = 0.0
    tries: int = 0
    taken: bool = False


class Backlog:
    """Files that were found and are not finished: a bounded queue between the sweeping and the inspecting thread.

    A file is complete when its size and time of writing have not changed for `settle` seconds and the model could read
    it. One that cannot be read yet is tried again after growing pauses, and is an error after `give_up` more seconds
    without change. Files beyond the limit stay in their folder and are found again. Both threads may call at any time.

    Args:
        settle: Seconds.
        give_up: Seconds.
        limit: Files held at once.

    Attributes:
        beyond: Files that the last sweep found and left for later.
        swept: Sweeps that have ended.
        changed: The condition notified after each sweep.
    """

    def __init__(self, settle: float, give_up: float, limit: int = LIMIT) -> None:
        self.settle, self.give_up, self.limit = settle, give_up, limit
        self.beyond = 0
        self.swept = 0
        self.changed = Condition()
        self._candidates: dict[str, Candidate] = {}

    def __len__(self) -> int:
        return len(self._candidates) + self.beyond

    @property
    def full(self) -> bool:
        """Whether a new file must wait in its folder."""
        return len(self._candidates) >= self.limit

    def wants_look(self, path: str, now: float) -> bool | None:
        """Return whether a candidate's size and time must be read again.

        Args:
            path: Path below the watched folder.
            now: Monotonic time in seconds.

        Returns:
            True or False for a candidate, None for any other path.
        """
        found = self._candidates.get(path)
        if found is None:
            return None
        return not found.taken and (found.again > now or now - found.steady < self.settle or found.tries > 0)

    def add(self, file: FileState, now: float, quiet: float = 0.0) -> None:
        """Take in a new file.

        Args:
            file: Its state.
            now: Monotonic time in seconds.
            quiet: Seconds for which it is known not to have changed.
        """
        with self.changed:
            self._candidates[file.path] = Candidate(file, now, now - quiet)

    def see(self, file: FileState, now: float) -> None:
        """Update a candidate's state; a file that was finished meanwhile is ignored.

        Args:
            file: Its present state.
            now: Monotonic time in seconds.
        """
        with self.changed:
            found = self._candidates.get(file.path)
            if found is not None and not found.taken and found.part != file:
                found.part, found.steady, found.again, found.tries = file, now, 0.0, 0

    def take(self, now: float, count: int) -> list[FileState]:
        """Hand out files that may be complete.

        Args:
            now: Monotonic time in seconds.
            count: Files at most.

        Returns:
            Their states, the one written first before others.
        """
        with self.changed:
            due = (
                c for c in self._candidates.values() if not c.taken and c.again <= now and now - c.steady >= self.settle
            )
            chosen = heapq.nsmallest(count, due, key=lambda c: (c.part.mtime_ns, c.part.path))
            for candidate in chosen:
                candidate.taken = True
            return [candidate.part for candidate in chosen]

    def has_had_its_time(self, file: FileState, now: float) -> bool:
        """Return whether a file that cannot be read has not changed for so long that it is an error.

        Args:
            file: A candidate's state.
            now: Monotonic time in seconds.

        Returns:
            True if it is an error.
        """
        return now >= self._end(self._candidates[file.path])

    def postpone(self, file: FileState, now: float) -> None:
        """Take back a file that could not be read; it is tried again after a pause that grows.

        Args:
            file: A candidate's state.
            now: Monotonic time in seconds.
        """
        with self.changed:
            found = self._candidates[file.path]
            found.taken, found.tries = False, found.tries + 1
            pause = min(LONGEST_PAUSE, max(0.1, self.settle) * 2.0 ** min(found.tries - 1, 16))
            end = self._end(found)
            found.again = min(now + pause, end) if now < end else now + pause

    def drop(self, path: str) -> None:
        """Forget a file: it is finished, or has changed and will be found again.

        Args:
            path: Path below the watched folder.
        """
        with self.changed:
            self._candidates.pop(path, None)

    def end_sweep(self, gone: Iterable[str], beyond: int, now: float) -> list[str]:
        """Close a sweep.

        Args:
            gone: Paths of candidates that were no longer there.
            beyond: Files left for later.
            now: Monotonic time in seconds.

        Returns:
            Those of `gone` that had seemed complete.
        """
        lost = []
        with self.changed:
            for path in gone:
                found = self._candidates.get(path)
                if found is not None and not found.taken:
                    del self._candidates[path]
                    if not found.tries and now - found.steady >= self.settle:
                        lost.append(path)
            self.beyond = beyond
            self.swept += 1
            self.changed.notify_all()
        return lost

    def paths(self) -> list[str]:
        """Return the paths of all candidates."""
        with self.changed:
            return list(self._candidates)

    def oldest(self) -> float | None:
        """Return when the file that has waited longest was found, or None if nothing waits."""
        with self.changed:
            return min((candidate.first for candidate in self._candidates.values()), default=None)

    def _end(self, candidate: Candidate) -> float:
        return max(candidate.first, candidate.steady) + self.settle + self.give_up
