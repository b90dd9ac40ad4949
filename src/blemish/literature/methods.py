"""The methods that numbers were printed for: one name each, and every other spelling beside it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from blemish.literature.names import find
from blemish.literature.store import entries


@dataclass(frozen=True, slots=True)
class MethodName:
    """One method; `paper` is the key of its paper, empty where our sources do not link one."""

    name: str
    aliases: tuple[str, ...] = ()
    paper: str = ""
    year: int | None = None


@cache
def methods() -> dict[str, MethodName]:
    """Return every method that numbers were printed for, or that is implemented here, by its one name."""
    return {entry["name"]: MethodName(**entry) for entry in entries("methods")}


def method(name: str) -> MethodName:
    """Return one method under any of its names.

    Raises:
        UnknownName: no such method; the message suggests the nearest.
    """
    return methods()[find("methods", name)]
