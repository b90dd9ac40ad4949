"""One look over the folder and everything below: what is new, what has changed, what is gone.

Directories are listed, which works on network shares as well. A listing gives names and inode numbers; asking a file for
its size and time costs one more call each, so of finished files only a share is asked in each sweep. A finished file that
was replaced by renaming has another inode number and is noticed at once; one written anew in place when its turn comes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from blemish.files import printable
from blemish.watching.backlog import Backlog
from blemish.watching.names import passing
from blemish.watching.part import Part

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
        finished: Callable[[Part], bool],
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
        part = Part.of(path, stat)
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
