"""Who works on what: claims on cells, so that several runners on one folder never do a cell twice.

A claim is a file made with O_EXCL, NAME.1, NAME.2, ... and only the highest number counts. It stands as long as its owner
lives: on the same machine that is seen at once by the process (its number and when it started, so that a number used
again is not taken for it); from another machine, on a shared disk, by the file's time, which the owner renews. A dead
owner's claim is not removed but followed by the next number, which again only one can make: two runners that find the
same dead claim cannot both take it over. Claims are removed only by their owner, after the result is written; whoever had
looked before that, and claims now, finds the result, and lets go if somebody else has claimed in the meantime.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from blemish.core.files import storage_errors

RENEW = 10.0
"""Seconds after which the owner renews the times of its claims."""

DEAD = 120.0
"""Seconds without renewal after which another machine's claim counts for nothing."""


class Claims:
    """The claims of one runner; closed, or its process dead, it holds none.

    Args:
        folder: Where claims are, shared by all runners.
        renew: Seconds after which the times of claims are renewed.
        dead: Seconds without renewal after which another machine's claim counts for nothing.
    """

    def __init__(self, folder: Path, renew: float = RENEW, dead: float = DEAD) -> None:
        self.folder, self.dead = folder, dead
        self._mine: dict[str, Path] = {}
        self._me = {**_process(os.getpid()), "token": uuid.uuid4().hex}
        self._closed = threading.Event()
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self._pulse = folder / f".{self._me['token']}"  # its time is the disk's clock, which may differ from ours
        self._thread = threading.Thread(target=self._renew, args=(renew,), daemon=True, name="blemish-claims")
        self._thread.start()

    def claim(self, name: str) -> bool:
        """Take a name unless somebody alive has it.

        Args:
            name: What to claim.

        Returns:
            Whether it is ours now.

        Raises:
            StorageError: the folder cannot be written.
        """
        numbers = self._numbers(name)
        if numbers and self._alive(self.folder / f"{name}.{numbers[-1]}"):
            return False
        path = self.folder / f"{name}.{numbers[-1] + 1 if numbers else 1}"
        with storage_errors(path):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:  # somebody was faster
                return False
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._me, file)
        others = [self.folder / f"{name}.{n}" for n in self._numbers(name) if f"{name}.{n}" != path.name]
        if any(self._alive(other) for other in others):
            path.unlink()
            return False
        self._mine[name] = path
        return True

    def release(self, name: str) -> None:
        """Give a name back, with the claims of the dead before it.

        Args:
            name: What was claimed.
        """
        own = self._mine.pop(name)
        for number in range(1, int(own.suffix[1:]) + 1):  # the highest last: until then it is seen to be ours
            (self.folder / f"{name}.{number}").unlink(missing_ok=True)

    def close(self) -> None:
        """Give everything back."""
        self._closed.set()
        self._thread.join()
        for name in list(self._mine):
            self.release(name)
        self._pulse.unlink(missing_ok=True)

    def _numbers(self, name: str) -> list[int]:
        return sorted(int(p.suffix[1:]) for p in self.folder.glob(f"{name}.*") if p.suffix[1:].isdecimal())

    def _alive(self, path: Path) -> bool:
        try:
            owner: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:  # just given back
            return False
        except ValueError:  # made, not yet written, unless its owner was killed in between
            return self._age(path) < 5.0
        if owner.get("machine") is not None and owner["machine"] == self._me["machine"]:
            return bool(_process(owner["pid"])["started"] == owner["started"])
        return self._age(path) < self.dead

    def _age(self, path: Path) -> float:
        """Return how long ago a claim was renewed, by the clock of the disk it lies on."""
        try:
            self._pulse.touch()
            return self._pulse.stat().st_mtime - path.stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def _renew(self, seconds: float) -> None:
        while not self._closed.wait(seconds):
            for path in list(self._mine.values()):
                with suppress(OSError):  # just given back, or a disk that is away for a moment
                    os.utime(path)


def _process(pid: int) -> dict[str, Any]:
    """Return what tells a process from all others: the machine since it was started, the number, when it began.

    `machine` is None where the system does not say (only Linux does), `started` None where there is no such process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a file; containers have numbers of their own
    except OSError:
        return {"machine": None, "pid": pid, "started": time.time()}
    started = None
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = None if fields[0] in ("Z", "X") else fields[19]  # dead, but not yet buried by its parent
    return {"machine": f"{platform.node()} {boot} {space}", "pid": pid, "started": started}
