"""What is known of data sets, metrics, methods, settings, sources and venues, as frozen entries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from blemish.literature.entries import entries, find


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from; `url` is empty where there is none."""

    id: str
    name: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """Under which conditions a detector is learned; numbers of two settings are never compared."""

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


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """One data set. Counts are images (scans, for point clouds), 0 where nobody says.

    `id` is the name of our own reader where we have one. `kind` is "average" for a mean over several data sets that a
    source prints as if it were one. `counted` says by what the counts are known; fields named in `recalled` were never
    checked and are printed with a mark.
    """

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    year: int | None = None
    paper: str = ""
    kind: str = ""
    modality: str = ""
    categories: tuple[str, ...] = ()
    images: int = 0
    normal: int = 0
    anomalous: int = 0
    train_good: int = 0
    validation_good: int = 0
    test_good: int = 0
    test_anomalous: int = 0
    annotation: str = ""
    image_size: str = ""
    licence: str = ""
    home: str = ""
    counted: str = ""
    recalled: tuple[str, ...] = ()
    remark: str = ""

    def shown(self, field: str) -> str:
        """Return a field as text: empty if unknown, with a question mark if recalled."""
        value = getattr(self, field)
        text = "" if value in (0, None, "", ()) else str(value)
        if isinstance(value, int) and field != "year":
            text = f"{value:,}" if value else ""
        return f"{text}?" if text and field in self.recalled else text


@cache
def datasets() -> dict[str, DatasetFacts]:
    """Return every data set by its id."""
    return {entry["id"]: DatasetFacts(**entry) for entry in entries("datasets")}


def dataset(name: str) -> DatasetFacts:
    """Return one data set under any of its names.

    Raises:
        UnknownName: no such data set; the message suggests the nearest.
    """
    return datasets()[find("datasets", name)]


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
