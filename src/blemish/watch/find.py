"""Finding: the folder is swept again and again; what is new waits until it is complete, and is handed out oldest first."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Condition, Event, Thread
from time import monotonic
from typing import Any, NamedTuple

from blemish.core.errors import InputError
from blemish.core.files import printable
from blemish.imaging.images import SUFFIXES


class FileState(NamedTuple):
    """`path` is relative to the watched folder, with forward slashes; `size` in bytes; `mtime_ns` since 1970."""

    path: str
    size: int
    mtime_ns: int

    @property
    def digest(self) -> bytes:
        """16 bytes that stand for this part: a million of them fit in memory."""
        text = f"{self.path}\0{self.size}\0{self.mtime_ns}"
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FileState:
        """Return the part of a line of the journal; raises KeyError, TypeError or ValueError if it holds none."""
        return cls(str(values["path"]), int(values["size"]), int(values["mtime_ns"]))

    @classmethod
    def of(cls, path: str, stat: os.stat_result) -> FileState:
        """Return the part that a file is now."""
        return cls(path, stat.st_size, stat.st_mtime_ns)


def now_at(folder: Path, path: str) -> FileState | None:
    """Return the part that lies at `path` below `folder` now, or None if the file is gone.

    Raises:
        OSError: the folder cannot be asked (a network share that is away).
    """
    try:
        return FileState.of(path, (folder / path).stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")
"""Ends of names that programs give to files they have not finished."""


def passing(name: str) -> bool:
    """Return whether a file or folder is hidden or temporary by its name: it is not looked at."""
    return name.startswith((".", "~")) or name.lower().endswith(TEMPORARY)


def chooser(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Return a function of (path below the folder, name) that says whether a file is looked at.

    It must be an image by its suffix and match one of the `patterns`, if there are any: with a slash they speak of the
    path (`cam1/*.png`, where * passes slashes too), without of the name (`top_*`).

    Raises:
        InputError: a pattern is empty or absolute.
    """
    for pattern in patterns:
        if not pattern or pattern.startswith("/"):
            raise InputError(f"the pattern {pattern!r} must be like top_*.png, or cam1/*.png below the folder")
    by_path = [pattern for pattern in patterns if "/" in pattern]
    by_name = [pattern for pattern in patterns if "/" not in pattern]

    def chosen(path: str, name: str) -> bool:
        if name[name.rfind(".") :].lower() not in SUFFIXES or passing(name):
            return False
        if not patterns:
            return True
        return any(fnmatchcase(name, p) for p in by_name) or any(fnmatchcase(path, p) for p in by_path)

    return chosen


LIMIT = 20_000
"""Files in hand at once; about 10 MB."""

LONGEST_PAUSE = 30.0
"""Seconds, at most, between two tries of a file that cannot be read yet, or of a folder that cannot be listed."""


@dataclass(slots=True)
class Candidate:
    """A file that is not finished. Times are seconds of a monotonic clock.

    `first` is when it was found, `steady` since when its size and time of writing are the same, `again` when it may be
    tried next; `taken` while the model has it.
    """

    part: FileState
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

    def add(self, part: FileState, now: float, quiet: float = 0.0) -> None:
        """Take in a new file; `quiet` is for how long it is known to have been as it is, in seconds."""
        with self.changed:
            self._candidates[part.path] = Candidate(part, now, now - quiet)

    def see(self, part: FileState, now: float) -> None:
        """Note what a candidate is now; one that was finished meanwhile is none any more."""
        with self.changed:
            found = self._candidates.get(part.path)
            if found is not None and not found.taken and found.part != part:
                found.part, found.steady, found.again, found.tries = part, now, 0.0, 0

    def take(self, now: float, count: int) -> list[FileState]:
        """Hand out up to `count` files that may be complete, the one written first before others."""
        with self.changed:
            due = (
                c for c in self._candidates.values() if not c.taken and c.again <= now and now - c.steady >= self.settle
            )
            chosen = heapq.nsmallest(count, due, key=lambda c: (c.part.mtime_ns, c.part.path))
            for candidate in chosen:
                candidate.taken = True
            return [candidate.part for candidate in chosen]

    def has_had_its_time(self, part: FileState, now: float) -> bool:
        """Return whether a file that cannot be read has stayed the same for so long that it is an error."""
        return now >= self._end(self._candidates[part.path])

    def postpone(self, part: FileState, now: float) -> None:
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


ASKED = 1000
"""About so many finished files are asked in a sweep whether they have changed."""

INODES = os.name == "posix"
"""Elsewhere the listing does not bring inode numbers, and the time of the last change is that of making the file."""


class Sweep:
    """Looks over `folder`, but not into `skip`, and keeps the backlog up to date.

    `chosen` says by (path, name) which files count; `finished` whether a part is done. Files last written before
    `since_ns` (nanoseconds since 1970) are left alone. Messages go to `say`. `unseen` counts the folders whose files, or
    some of them, the last look could not see.
    """

    def __init__(
        self,
        folder: Path,
        skip: Path,
        backlog: Backlog,
        finished: Callable[[FileState], bool],
        chosen: Callable[[str, str], bool],
        since_ns: int,
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.skip, self.backlog = folder, skip.resolve(), backlog
        self.finished, self.chosen, self.since_ns, self.say = finished, chosen, since_ns, say
        self._known: dict[str, dict[str, int]] = {}  # directory: {name of a finished file: inode}
        self.unseen = 0
        self._blind: set[str] = set()  # directories that cannot be listed
        self._veiled: set[str] = set()  # directories with files whose size and time cannot be asked
        self._turn, self._slices = 0, 1

    def __call__(self) -> None:
        """Look once.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        known: dict[str, dict[str, int]] = {}
        present: set[str] = set()
        blind: set[str] = set()
        veiled: set[str] = set()
        beyond = 0
        self._turn += 1
        waiting = [""]
        while waiting:
            directory = waiting.pop()
            old, fresh = self._known.get(directory, {}), {}
            for entry in self._list(directory, blind):
                name = entry.name
                inode = entry.inode() if INODES else 0
                if old.get(name) == inode and not self._has_turn(name):
                    fresh[name] = inode
                elif entry.is_dir(follow_symlinks=False):
                    waiting += [f"{directory}{name}/"] if self._goes_into(entry) else []
                elif not self.chosen(directory + name, name):
                    continue
                elif (state := self._look(entry, directory, present, veiled)) is None:
                    beyond += 1
                elif state:
                    fresh[name] = inode
            if fresh:
                known[directory] = fresh
        self._veiled, self.unseen = veiled, len(blind | veiled)
        self._close(known, present, blind, beyond)

    def _look(self, entry: os.DirEntry[str], directory: str, present: set[str], veiled: set[str]) -> bool | None:
        """Look at one file that is not known as finished: True if it is, None if it must wait for room."""
        path, now = directory + entry.name, monotonic()
        wanted = self.backlog.wants_look(path, now)
        if wanted is None and self.backlog.full:
            return None
        present.add(path)
        if wanted is False:
            return False
        try:
            if not entry.is_file():
                return False
            stat = (self.folder / path).stat() if os.name == "nt" else entry.stat()
        except FileNotFoundError:  # it is being renamed: the next sweep asks again
            return False
        except OSError as error:
            if directory not in self._veiled | veiled:
                self.say(f"{printable(path)} and perhaps others beside it cannot be seen: {error.strerror}; they wait.")
            veiled.add(directory)
            return False
        part = FileState.of(path, stat)
        if stat.st_mtime_ns < self.since_ns or self.finished(part):
            if wanted:
                self.backlog.drop(path)
            return True
        if wanted:
            self.backlog.see(part, now)
        else:
            self.backlog.add(part, now, max(0.0, (stat.st_ctime_ns - stat.st_mtime_ns) / 1e9) if INODES else 0.0)
        return False

    def _list(self, directory: str, blind: set[str]) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder / directory) as listing:
                return list(listing)
        except OSError as error:
            if not directory:
                raise
            if isinstance(error, FileNotFoundError | NotADirectoryError):  # it went since its name was read
                return []
            blind.add(directory)
            if directory not in self._blind:
                self.say(f"{printable(directory)} cannot be listed: {error.strerror}; its files wait.")
            return []

    def _goes_into(self, entry: os.DirEntry[str]) -> bool:
        if passing(entry.name):
            return False
        return entry.name != self.skip.name or Path(entry.path).resolve() != self.skip

    def _has_turn(self, name: str) -> bool:
        return (hash(name) ^ self._turn) & (self._slices - 1) == 0

    def _close(self, known: dict[str, dict[str, int]], present: set[str], blind: set[str], beyond: int) -> None:
        lost_sight = tuple(blind)
        if lost_sight:
            known |= {place: names for place, names in self._known.items() if place.startswith(lost_sight)}
        gone = [p for p in self.backlog.paths() if p not in present and not (lost_sight and p.startswith(lost_sight))]
        self._known, self._blind = known, blind
        finished = sum(map(len, known.values()))
        self._slices = 1 << max(0, (finished // ASKED).bit_length())
        for path in self.backlog.end_sweep(gone, beyond, monotonic()):
            self.say(f"{printable(path)} vanished before it was looked at.")


SHARE = 5
"""Sweeps take at most one part in so many of the time: a large folder is looked at less often."""


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
