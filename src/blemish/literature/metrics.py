"""What the metrics of the literature mean, what chance gives, and where implementations disagree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from blemish.literature.names import find
from blemish.literature.store import entries


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, in percent. `chance` is what a detector without knowledge gets, as text; empty if that depends.

    `better` is "higher" or "lower"; `code` links to the official implementation or its page, if there is one.
    """

    id: str
    name: str
    says: str
    range: str = "0 to 100"
    chance: str = ""
    better: str = "higher"
    code: str = ""
    aliases: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()


@cache
def metrics() -> dict[str, Metric]:
    """Return every metric by its id."""
    return {entry["id"]: Metric(**entry) for entry in entries("metrics")}


def metric(name: str) -> Metric:
    """Return one metric under any of its names.

    Raises:
        UnknownName: no such metric; the message suggests the nearest.
    """
    return metrics()[find("metrics", name)]
