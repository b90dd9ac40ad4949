"""What is known of data sets, metrics, methods, settings, sources and venues, as frozen entries.

Data sets that papers report on: counts, licence, home. Metrics: what they mean, what chance gives, and where
implementations disagree. Methods that numbers were printed for: one name each, and every other spelling as an alias.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

from blemish.core import registry
from blemish.literature.entries import entries, find


@dataclass(frozen=True, slots=True)
class Source:
    """Where numbers come from.

    Attributes:
        id: What results name it by.
        name: How it is cited.
        url: Its address, "" where there is none.
    """

    id: str
    name: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """The conditions under which a detector is trained and tested; numbers of two settings are never compared.

    Attributes:
        id: Its one name: "one-class", "multi-class", "few-shot-4", ...
        name: Its heading.
        says: What it means.
    """

    id: str
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Venue:
    """Where papers are published.

    Attributes:
        name: Its short name.
        kind: "conference", "workshop" or "journal".
    """

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
    """One data set. Counts are images (scans, for point clouds), 0 where no source gives them.

    Attributes:
        id: Its one name; that of our own reader where we have one.
        name: The name that is shown.
        aliases: Other spellings.
        year: When it was published, None if unknown.
        paper: Key of its paper, "" for none.
        kind: "average" for a mean over several data sets that a source prints as if it were one; otherwise "".
        modality: What kind of images it has.
        categories: Names of its categories.
        images: Images in all.
        normal: Good ones.
        anomalous: Defective ones.
        train_good: Good training images.
        validation_good: Good validation images.
        test_good: Good test images.
        test_anomalous: Defective test images.
        annotation: What its ground truth is.
        image_size: Size of the images, as text.
        licence: Its licence.
        home: Its page.
        counted: How the counts are known; "" if they are not.
        recalled: Fields that were never checked and are printed with a mark.
        remark: What else a reader should know.
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
        """Return a field as text.

        Args:
            field: The field's name.

        Returns:
            Its value, empty if unknown, with a question mark if recalled.
        """
        value = getattr(self, field)
        text = "" if value in (0, None, "", ()) else str(value)
        if isinstance(value, int) and field != "year":
            text = f"{value:,}" if value else ""
        return f"{text}?" if text and field in self.recalled else text


@cache
def datasets() -> dict[str, DatasetFacts]:
    """Return every data set by its id; of one that we read, licence, home, categories and counts are its card's."""
    return {entry["id"]: DatasetFacts(**{**_of_card(entry["id"]), **entry}) for entry in entries("datasets")}


def _of_card(name: str) -> dict[str, Any]:
    """Return what the card of a data set says; counts only where the makers divide it, not our seed."""
    data = registry.datasets().get(name)
    if data is None:
        return {}
    card = data.card
    found: dict[str, Any] = {"licence": card.licence, "home": card.home}
    if len(card.categories) > 1:
        found["categories"] = card.categories
    if "seed" not in inspect.signature(data.index).parameters:
        names = {"test_anomalous": "test_defective", **{name: name for name in ("train_good", "test_good")}}
        names["validation_good"] = "validation_good"
        found |= {ours: sum(getattr(c, theirs) or 0 for c in card.counts.values()) for ours, theirs in names.items()}
    return found


def dataset(name: str) -> DatasetFacts:
    """Return one data set.

    Args:
        name: Any of its names.

    Returns:
        The data set.

    Raises:
        UnknownName: no such data set; the message suggests the nearest.
    """
    return datasets()[find("datasets", name)]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, in percent.

    Attributes:
        id: Its one name.
        name: The name that is shown.
        says: What it measures.
        range: Its range, as text.
        chance: What a detector without knowledge gets, as text; "" if that depends on the data.
        better: "higher" or "lower".
        code: Link to the official implementation or its page, "" if there is none.
        aliases: Other spellings.
        disagreements: Where implementations differ.
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
    """Return one metric.

    Args:
        name: Any of its names.

    Returns:
        The metric.

    Raises:
        UnknownName: no such metric; the message suggests the nearest.
    """
    return metrics()[find("metrics", name)]


@dataclass(frozen=True, slots=True)
class MethodName:
    """One method.

    Attributes:
        name: Its one name.
        aliases: Other spellings.
        paper: Key of its paper, "" where our sources do not link one.
        year: When it was published, None if unknown.
    """

    name: str
    aliases: tuple[str, ...] = ()
    paper: str = ""
    year: int | None = None


@cache
def methods() -> dict[str, MethodName]:
    """Return every method that numbers were printed for, or that is implemented here, by its one name."""
    return {entry["name"]: MethodName(**entry) for entry in entries("methods")}


def method(name: str) -> MethodName:
    """Return one method.

    Args:
        name: Any of its names.

    Returns:
        The method.

    Raises:
        UnknownName: no such method; the message suggests the nearest.
    """
    return methods()[find("methods", name)]
