"""Is this copy complete? Count what is on disk and compare it with the data set's card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from blemish.core.card import Counts, DatasetCard
from blemish.core.errors import DataError, ImageError
from blemish.data.record import Record

FIELDS = ("train_good", "validation_good", "test_good", "test_defective")


@dataclass(frozen=True, slots=True)
class CategoryCensus:
    """One category: what was found, what is known, and what is wrong.

    Attributes:
        category: Its name.
        found: The counts on disk.
        known: The counts of the card, None if it has none.
        missing_masks: Keys of defective records without a mask file.
        error: Why nothing could be counted; empty if it could.
    """

    category: str
    found: Counts
    known: Counts | None
    missing_masks: tuple[str, ...] = ()
    error: str = ""

    @property
    def differences(self) -> tuple[str, ...]:
        """What differs from the known counts, one line each; unknown counts are not compared."""
        if self.known is None or self.error:
            return ()
        pairs = [(name, getattr(self.found, name) or 0, getattr(self.known, name)) for name in FIELDS]
        if self.known.kinds:
            names = sorted({*self.known.kinds, *self.found.kinds})
            pairs += [(f"kind {n}", self.found.kinds.get(n, 0), self.known.kinds.get(n, 0)) for n in names]
        return tuple(
            f"{name}: found {found}, known {known}" for name, found, known in pairs if known not in (None, found)
        )

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, superfluous or unreadable."""
        return not (self.error or self.differences or self.missing_masks)


@dataclass(frozen=True, slots=True)
class Completeness:
    """A copy of a data set compared with its card.

    Attributes:
        dataset: Name of the data set.
        root: Folder of the copy.
        source: Where the known counts come from.
        categories: One census per category of the card.
    """

    dataset: str
    root: Path
    source: str
    categories: tuple[CategoryCensus, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The categories in which nothing could be counted."""
        return tuple(one.category for one in self.categories if one.error)

    @property
    def complete(self) -> bool:
        """Whether every category is complete."""
        return all(one.complete for one in self.categories)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "dataset": self.dataset,
            "root": str(self.root),
            "complete": self.complete,
            "missing": list(self.missing),
            "counts_source": self.source,
            "categories": [
                {
                    "category": one.category,
                    "complete": one.complete,
                    "found": _as_dict(one.found),
                    "known": None if one.known is None else _as_dict(one.known),
                    "differences": list(one.differences),
                    "missing_masks": list(one.missing_masks),
                    "error": one.error,
                }
                for one in self.categories
            ],
        }


def completeness(card: DatasetCard, index_fn: Callable[[Path, str], list[Record]], root: Path | str) -> Completeness:
    """Count every category of a data set and compare the counts with its card.

    A category that is absent or cannot be read is reported, not raised.

    Args:
        card: The data set's card.
        index_fn: The data set's own `index`.
        root: Folder of the copy.

    Returns:
        One census per category of the card.
    """
    root = Path(root)
    return Completeness(
        card.name, root, card.counts_source, tuple(_one(card, index_fn, root, c) for c in card.categories)
    )


def count(records: Sequence[Record]) -> Counts:
    """Count the records of one category.

    Args:
        records: Its records; those whose truth is unknown are left out.

    Returns:
        The number of records per split and label, and of defective ones per kind.
    """
    found = Counter((record.split, record.label) for record in records)
    return Counts(
        train_good=found["train", 0],
        validation_good=found["validation", 0],
        test_good=found["test", 0],
        test_defective=found["test", 1],
        kinds=MappingProxyType(dict(sorted(Counter(r.kind for r in records if r.label == 1).items()))),
    )


def _one(card: DatasetCard, index_fn: Callable[[Path, str], list[Record]], root: Path, category: str) -> CategoryCensus:
    known = card.counts.get(category)
    try:
        records = index_fn(root, category)
    except (DataError, ImageError, OSError) as error:
        return CategoryCensus(category, Counts(), known, error=str(error))
    bare = tuple(record.key for record in records if record.label == 1 and not record.masks)
    return CategoryCensus(category, count(records), known, bare)


def _as_dict(counts: Counts) -> dict[str, Any]:
    return {**{name: getattr(counts, name) for name in FIELDS}, "kinds": dict(counts.kinds)}
