"""The data sets that papers report on: counts, licence, home, and what is disputed about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from blemish.literature.names import find
from blemish.literature.store import entries


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
