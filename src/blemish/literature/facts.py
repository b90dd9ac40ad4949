"""What is known of data sets, metrics, settings, sources and venues, as frozen entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from blemish.literature.store import entries


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from; `url` is empty where there is none."""

    id: str
    name: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """Under which conditions a detector is learnt; numbers of two settings are never compared."""

    id: str
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Venue:
    """A conference, workshop or journal; `kind` is one of these three words."""

    name: str
    kind: str


@cache
def sources() -> dict[str, Source]:
    """Return every source by its id."""
    return {entry["id"]: Source(**entry) for entry in entries("sources")}


@cache
def settings() -> dict[str, Setting]:
    """Return every setting by its id, in the order in which tables show them."""
    return {entry["id"]: Setting(**entry) for entry in entries("settings")}


@cache
def venues() -> dict[str, Venue]:
    """Return every venue by its name."""
    return {entry["name"]: Venue(**entry) for entry in entries("venues")}
