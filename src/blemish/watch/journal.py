"""The journal: one line of JSON per part, in the order in which they were finished. It alone decides what is done.

Lines are gathered in memory and committed together: written, then synced to the disk. What a kill or a power cut takes
are whole parts that are inspected again, never half a result and never two. After a commit that failed (a full disk)
the file is cut back to its last good length, and the lines are kept for the next attempt. If the file is removed while
it is open, a new one is begun: no line goes into a file that cannot be found.

One watcher writes to a folder of results: it holds a lock that the system releases when its process ends, however it
ends (`only_watcher`). When the disk is full, writing waits, reports it once, and goes on when there is space
(`DiskSpace`).
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from blemish.core.errors import InputError, StorageError
from blemish.core.files import storage_errors, write_atomically
from blemish.watch.backlog import FileState

NAME = "results.jsonl"
MOST = 1000
"""Lines that wait in memory, at most."""


class Journal:
    """The results: which parts are done, and the lines that are not on the disk yet.

    Args:
        folder: The folder of results; all its journals are read.
        rotate_bytes: A file of this size is renamed to `results-<UTC time>.jsonl` and a new one begun; None for never.
        say: Callback for messages about damage.

    Raises:
        StorageError: the folder or the file cannot be written.
    """

    def __init__(self, folder: Path, *, rotate_bytes: int | None = None, say: Callable[[str], None]) -> None:
        self.path, self.rotate_bytes, self.say = folder / NAME, rotate_bytes, say
        self._done: set[bytes] = set()
        self._waiting: list[dict[str, Any]] = []
        self._next_commit = 0.0
        self._file: int | None = None
        self._length = 0
        with storage_errors(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("results-*.jsonl")):
                self._read(path)
            self._read(self.path)
            self._open()

    def __contains__(self, file: FileState) -> bool:
        return file.digest in self._done

    def __len__(self) -> int:
        return len(self._done)

    @property
    def waiting(self) -> int:
        """How many lines are not on the disk yet."""
        return len(self._waiting)

    @property
    def due(self) -> bool:
        """Whether lines should be committed now; syncing may take a tenth of the time, so a slow model never waits."""
        return len(self._waiting) >= MOST or (bool(self._waiting) and monotonic() >= self._next_commit)

    def add(self, file: FileState, line: dict[str, Any]) -> None:
        """Record a part as done; its line is on the disk after `commit`.

        Args:
            file: The file's state.
            line: JSON values; "part" is the state.
        """
        self._done.add(file.digest)
        self._waiting.append(line)

    def commit(self) -> list[dict[str, Any]]:
        """Write and sync the lines that wait.

        Returns:
            Those lines.

        Raises:
            StorageError: they could not be written; they still wait, and the file is as it was.
        """
        if not self._waiting:
            return []
        start = monotonic()
        text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in self._waiting).encode()
        with storage_errors(self.path):
            self._put(text)
        committed, self._waiting = self._waiting, []
        end = monotonic()
        self._next_commit = end + 9 * (end - start)
        return committed

    def close(self) -> None:
        """Close the file; lines that were not committed are dropped, their parts will be inspected again."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _put(self, text: bytes) -> None:
        self._look_after_the_file()
        if self.rotate_bytes is not None and self._length >= self.rotate_bytes:
            self._rotate()
        file = self._open() if self._file is None else self._file
        os.ftruncate(file, self._length)  # what a failed attempt may have left
        try:
            write_all(file, text)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, self._length)
            raise
        self._length += len(text)

    def _look_after_the_file(self) -> None:
        """Close a file that was removed or replaced, and accept the length of one that was cut; both are reported."""
        if self._file is None:
            return
        opened = os.fstat(self._file)
        try:
            there = self.path.stat()
        except FileNotFoundError:
            there = None
        if there is None or not os.path.samestat(there, opened):
            self.close()
            self._length = 0
            how = "taken away; a new one is begun" if there is None else "replaced; what follows goes into the new one"
            self.say(f"{self.path} was {how}. At the next start, parts that no results file names are looked at again.")
        elif opened.st_size < self._length:
            self._length = opened.st_size
            self.say(
                f"{self.path} was cut to {self._length} bytes by somebody else; what follows is written after them."
            )

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._file = os.open(self.path, flags, 0o666)
        self._length = os.fstat(self._file).st_size
        _sync_folder(self.path.parent)
        return self._file

    def _rotate(self) -> None:
        self.close()
        stem = f"results-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        names = (self.path.with_name(f"{stem}{'' if n == 1 else f'-{n}'}.jsonl") for n in count(1))
        self.path.rename(next(name for name in names if not name.exists()))
        self._length = 0

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        bad: list[tuple[int, bytes]] = []
        for number, (line, digest) in enumerate(_lines(path), 1):
            if digest is None:
                bad.append((number, line))
                continue
            if digest in self._done:
                self.say(f"{path} line {number} repeats a part that is done already.")
            self._done.add(digest)
        if bad:
            self._repair(path, bad)

    def _repair(self, path: Path, bad: list[tuple[int, bytes]]) -> None:
        """Cut off a torn end, a last line without its newline; other damaged lines are moved to a file next to it."""
        if not bad[-1][1].endswith(b"\n"):
            _, torn = bad.pop()
            with path.open("rb+") as stream:
                stream.truncate(path.stat().st_size - len(torn))
                os.fsync(stream.fileno())
            self.say(
                f"{path} ended in a torn line (a crash or a power cut); it was cut off, its part is looked at again."
            )
        if bad:
            beside = path.with_name(path.name + ".damaged")
            numbers = {number for number, _ in bad}
            with beside.open("ab") as stream:
                stream.writelines(text for _, text in bad)
                os.fsync(stream.fileno())
            write_atomically(path, lambda part: _keep(path, part, numbers))
            self.say(
                f"{path} held {len(bad)} damaged lines; they were moved to {beside.name}, their parts are looked at again."
            )


def _lines(path: Path) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield every line with the digest of its state, None for a line that is torn or damaged."""
    with path.open("rb") as stream:
        for line in stream:
            try:
                yield line, FileState.from_dict(json.loads(line)["part"]).digest if line.endswith(b"\n") else None
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):  # whatever the bytes hold
                yield line, None


def _keep(path: Path, part: Path, without: set[int]) -> None:
    with path.open("rb") as stream, part.open("wb") as kept:
        kept.writelines(line for number, line in enumerate(stream, 1) if number not in without)


def write_all(file: int, text: bytes) -> None:
    """Write all bytes to an open file, in as many calls as the system needs.

    Args:
        file: File descriptor.
        text: The bytes.

    Raises:
        OSError: the system refused a write.
    """
    view = memoryview(text)
    while view:
        view = view[os.write(file, view) :]


def _sync_folder(folder: Path) -> None:
    """Sync a folder's own list of files, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:  # some network file systems cannot; the lines themselves are synced all the same
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise StorageError(f"cannot sync {folder}: {error.strerror}") from error
        finally:
            os.close(handle)


LOCK = "watch.lock"


@contextmanager
def only_watcher(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of results inside the block; the system releases it even if the process is killed.

    Args:
        folder: The folder; its lock file stays and names who has, or had, the lock.

    Yields:
        Nothing.

    Raises:
        InputError: another process has it; its number is named.
        StorageError: the lock file cannot be written.
    """
    path = folder / LOCK
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            _lock(file)
        except (BlockingIOError, PermissionError) as error:
            who = os.read(file, 200).decode(errors="replace").strip() or "its process is unknown"
            raise InputError(
                f"{folder} belongs to another watcher that is running ({who}). Stop that one, or choose another --out."
            ) from error
        with storage_errors(path):
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(file)


if sys.platform != "win32":
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

else:
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, 1 << 20, os.SEEK_SET)  # beyond the text, which others must be able to read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)


T = TypeVar("T")

PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN}
"""Errors that go away when space is freed or a network share comes back."""

LONGEST_PAUSE = 30.0


class Stopped(Exception):
    """The watcher was asked to stop while it waited; what it wanted to write is not written."""


class DiskSpace:
    """Writes that wait while the disk is full.

    Args:
        stop: Ends the waiting when it is set.
        say: Callback for messages.
        pause: First pause in seconds.

    Attributes:
        reason: Why writing waits at the moment, or None.
    """

    def __init__(self, stop: Event, say: Callable[[str], None], pause: float = 1.0) -> None:
        self.stop, self.say, self.pause = stop, say, pause
        self.reason: str | None = None

    def wait_for(self, write: Callable[[], T], place: Path) -> T:
        """Call `write`, again after growing pauses while the disk is full.

        Args:
            write: What to do.
            place: What it writes to, named in messages.

        Returns:
            What `write` returns.

        Raises:
            Stopped: the watcher was asked to stop meanwhile.
            OSError: `write` failed in a way that waiting does not cure.
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
    """Return the operating system's own error behind one that was raised in its place.

    Args:
        error: The error that was caught.

    Returns:
        The first error with an `errno` in its chain of causes, or the last OSError of the chain.
    """
    while error.errno is None and isinstance(error.__cause__, OSError):
        error = error.__cause__
    return error
