"""Finding: the folder is swept again and again, in a thread (`Finder`, `Sweep`), while the caller inspects.

Which files are inspected is decided by their names alone (`chooser`). What is found waits in a bounded queue (`Backlog`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from blemish.core.errors import InputError
from blemish.core.files import printable
from blemish.imaging.reading import SUFFIXES
from blemish.watch.backlog import LONGEST_PAUSE, Backlog, FileState

TEMPORARY = (".part", ".partial", ".tmp", ".temp", ".crdownload", ".filepart", "~")
"""Ends of names that programs give to files they have not finished."""


def passing(name: str) -> bool:
    """Return whether a file or folder is skipped: it is hidden or temporary by its name.

    Args:
        name: Name without folders.

    Returns:
        True if it is skipped.
    """
    return name.startswith((".", "~")) or name.lower().endswith(TEMPORARY)


def chooser(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Return a function that decides which files are inspected: images by their suffix that match one of the patterns.

    Args:
        patterns: Patterns of the path if they have a slash (`cam1/*.png`, where * matches slashes too), else of the
            name (`top_*`). Without any, all images are inspected.

    Returns:
        A function of (path below the folder, name).

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


ASKED = 1000
"""About so many finished files are checked for changes in a sweep."""

INODES = os.name == "posix"
"""Elsewhere a listing has no inode numbers, and the time of the last change is that of the file's creation."""


class Sweep:
    """One pass over the folder and all below it: what is new, what has changed and what is gone goes to the backlog.

    Directories are listed, which works on network shares as well. A listing gives names and inode numbers; the size and
    time of a file cost one more call each, so only a share of the finished files is checked in each sweep. A finished
    file replaced by renaming has another inode number and is noticed at once; one overwritten in place when it is
    checked.

    Args:
        folder: The watched folder.
        skip: A folder that is left out: that of the results.
        backlog: The queue that is kept up to date.
        finished: Whether a file in this state is done.
        chosen: Which files are inspected, by (path, name).
        since_ns: Files last written before are skipped; nanoseconds since 1970.
        say: Callback for messages.

    Attributes:
        unseen: Folders of which the last sweep could not see all files.
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
        self._veiled: set[str] = set()  # directories with files whose size and time cannot be read
        self._turn, self._slices = 0, 1

    def __call__(self) -> None:
        """Sweep once.

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
        """Check one file that is not known as finished: True if it is, None if it must wait for space."""
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
        except FileNotFoundError:  # it is being renamed: the next sweep checks again
            return False
        except OSError as error:
            if directory not in self._veiled | veiled:
                self.say(f"{printable(path)} and perhaps others beside it cannot be seen: {error.strerror}; they wait.")
            veiled.add(directory)
            return False
        file = FileState.of(path, stat)
        if stat.st_mtime_ns < self.since_ns or self.finished(file):
            if wanted:
                self.backlog.drop(path)
            return True
        if wanted:
            self.backlog.see(file, now)
        else:
            self.backlog.add(file, now, max(0.0, (stat.st_ctime_ns - stat.st_mtime_ns) / 1e9) if INODES else 0.0)
        return False

    def _list(self, directory: str, blind: set[str]) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder / directory) as listing:
                return list(listing)
        except OSError as error:
            if not directory:
                raise
            if isinstance(error, FileNotFoundError | NotADirectoryError):  # removed since its name was read
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
"""Sweeps take at most 1 / SHARE of the time: a large folder is swept less often."""


class Finder(Thread):
    """The thread that sweeps while others inspect; a folder that is away is reported and waited for.

    Args:
        sweep: One pass over the folder.
        backlog: The queue it fills.
        poll: Seconds between two sweeps, at least.
        stop: Ends the thread when it is set.
        say: Callback for messages.

    Attributes:
        failure: What ended the thread unexpectedly; the inspecting thread raises it.
    """

    def __init__(self, sweep: Sweep, backlog: Backlog, poll: float, stop: Event, say: Callable[[str], None]) -> None:
        super().__init__(name="blemish-find", daemon=True)
        self.sweep, self.backlog, self.poll, self.stop, self.say = sweep, backlog, poll, stop, say
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Sweep until `stop` is set."""
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
    """Check the two folders of a watcher.

    Args:
        folder: The watched folder.
        out: The folder of results.

    Returns:
        What is wrong with them, or None.
    """
    if not folder.is_dir():
        return f"{folder} is no folder. Name the folder into which the camera writes."
    if folder.resolve() == out.resolve():
        return f"results cannot go into the watched folder {folder} itself; choose another --out, it may lie inside."
    return None
