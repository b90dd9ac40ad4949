"""One watcher a folder of results: a lock that the system releases when its process ends, however it ends."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from blemish.errors import InputError
from blemish.files import storage_errors

NAME = "watch.lock"


@contextmanager
def only_watcher(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder` inside the block. The lock file stays; it says who has, or had, the lock.

    Raises:
        InputError: another process has it; its number is named.
        StorageError: the lock file cannot be written.
    """
    path = folder / NAME
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
