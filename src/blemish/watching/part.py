"""A part is a file in one state: its path below the watched folder, its size, and when it was last written.

The same name with another size or time of writing is another part. Its content is not part of its identity: that would
mean to read every finished file again at every start.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple


class Part(NamedTuple):
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
    def from_dict(cls, values: dict[str, Any]) -> Part:
        """Return the part of a line of the journal; raises KeyError, TypeError or ValueError if it holds none."""
        return cls(str(values["path"]), int(values["size"]), int(values["mtime_ns"]))

    @classmethod
    def of(cls, path: str, stat: os.stat_result) -> Part:
        """Return the part that a file is now."""
        return cls(path, stat.st_size, stat.st_mtime_ns)


def now_at(folder: Path, path: str) -> Part | None:
    """Return the part that lies at `path` below `folder` now, or None if the file is gone.

    Raises:
        OSError: the folder cannot be asked (a network share that is away).
    """
    try:
        return Part.of(path, (folder / path).stat())
    except (FileNotFoundError, NotADirectoryError):
        return None
