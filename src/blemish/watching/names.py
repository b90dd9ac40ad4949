"""Which files are looked at, by their names alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from blemish.errors import InputError
from blemish.imaging import SUFFIXES

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
