"""What was found and is not finished: waits until files are complete, hands them out oldest first, takes them back.

A file is complete when its size and time of writing have stayed the same for the settle time, and the model could read
it. One that cannot be read yet is tried again after growing pauses; after the stated time without change it is an error.
Between finding and inspecting this is the bounded queue: files beyond its limit stay in their folder and are found again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Condition

from blemish.watching.part import Part

LIMIT = 20_000
"""Files in hand at once; about 10 MB."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries of a file that cannot be read yet, at most."""


@dataclass(slots=True)
class Candidate:
    """A file that is not finished. Times are seconds of a monotonic clock.

    `first` is when it was found, `steady` since when its size and time of writing are the same, `again` when it may be
    tried next; `taken` while the model has it.
    """

    part: Part
    first: float
    steady: float
    again: float = 0.0
    tries: int = 0
    taken: bool = False


class Backlog:
    """Candidates by path. The sweeping thread adds, the inspecting one takes; both may ask at any time.

    `settle` and `give_up` are in seconds. `beyond` counts the files that the last sweep found and left for later.
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
        """Return whether a candidate's size and time must be asked again; None if the path is no candidate."""
        found = self._candidates.get(path)
        if found is None:
            return None
        return not found.taken and (found.again > now or now - found.steady < self.settle or found.tries > 0)

    def add(self, part: Part, now: float, quiet: float = 0.0) -> None:
        """Take in a new file; `quiet` is for how long it is known to have been as it is, in seconds."""
        with self.changed:
            self._candidates[part.path] = Candidate(part, now, now - quiet)

    def see(self, part: Part, now: float) -> None:
        """Note what a candidate is now; one that was finished meanwhile is none any more."""
        with self.changed:
            found = self._candidates.get(part.path)
            if found is not None and not found.taken and found.part != part:
                found.part, found.steady, found.again, found.tries = part, now, 0.0, 0

    def take(self, now: float, count: int) -> list[Part]:
        """Hand out up to `count` files that may be complete, the one written first before others."""
        with self.changed:
            due = (
                c for c in self._candidates.values() if not c.taken and c.again <= now and now - c.steady >= self.settle
            )
            chosen = heapq.nsmallest(count, due, key=lambda c: (c.part.mtime_ns, c.part.path))
            for candidate in chosen:
                candidate.taken = True
            return [candidate.part for candidate in chosen]

    def has_had_its_time(self, part: Part, now: float) -> bool:
        """Return whether a file that cannot be read has stayed the same for so long that it is an error."""
        return now >= self._end(self._candidates[part.path])

    def postpone(self, part: Part, now: float) -> None:
        """Take back a file that could not be read; it is tried again after a pause that grows."""
        with self.changed:
            found = self._candidates[part.path]
            found.taken, found.tries = False, found.tries + 1
            pause = min(LONGEST_PAUSE, max(0.1, self.settle) * 2.0 ** min(found.tries - 1, 16))
            end = self._end(found)
            found.again = min(now + pause, end) if now < end else now + pause

    def drop(self, path: str) -> None:
        """Forget a file: it is finished, or has changed and will be found anew."""
        with self.changed:
            self._candidates.pop(path, None)

    def end_sweep(self, gone: Iterable[str], beyond: int, now: float) -> list[str]:
        """Close a sweep in which `gone` were no longer there; returns those that had seemed complete."""
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
        """Return when the file that waits longest was found, or None if nothing waits."""
        with self.changed:
            return min((candidate.first for candidate in self._candidates.values()), default=None)

    def _end(self, candidate: Candidate) -> float:
        return max(candidate.first, candidate.steady) + self.settle + self.give_up
