"""What was reached on a data set in one setting: published, quoted, re-run and our own numbers, in columns apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from blemish.core.errors import UnknownName
from blemish.core.tables import Table
from blemish.literature.entries import find
from blemish.literature.facts import DatasetFacts, Metric, Setting, settings
from blemish.literature.facts import dataset as find_dataset
from blemish.literature.facts import metric as find_metric
from blemish.literature.results import MARK, Dispute, Result, disputed, results

COLUMNS = ("published", "quoted", "re-run", "ours", "recalled")
"""Columns, in the order in which they are shown. They are never mixed: no number moves from one to another."""


@dataclass(frozen=True, slots=True)
class Ours:
    """One number of ours: the mean over categories, then over seeds.

    Attributes:
        method: The name that published numbers of the method go by, or its own.
        dataset: Id of the data set, or what the cells call it where it is not a known one.
        metric: Id of the metric.
        setting: Id of the setting.
        value: In percent.
        seeds: How many seeds (runs, where training parts were drawn) have every category. If none has, the number is
            the mean of the categories' own means.
        categories: How many categories were run.
        of_categories: How many the data set has, 0 if unknown.
        spread: Standard deviation over seeds, None with one. Where training parts were drawn several times it is that
            over `draws`, each the mean over its seeds, for runs of one draw had the same training images.
        conditions: The preset and whatever else sets the cells apart: image size, number of training images,
            resolution, parameters of the method in which they differ, and what the cells call the data set where that
            is no known name.
        left_out: How many seeds lack a category that others have.
        failed: How many cells have no result.
        draws: How many draws of the training parts there are, 0 if not several.
    """

    method: str
    dataset: str
    metric: str
    setting: str
    value: float
    seeds: int
    categories: int
    of_categories: int = 0
    spread: float | None = None
    conditions: str = ""
    left_out: int = 0
    failed: int = 0
    draws: int = 0

    @property
    def shown(self) -> str:
        """The number with its spread, seeds or draws, and whatever keeps it from being complete."""
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        runs = f"{self.draws} draws" if self.draws else f"{self.seeds} seed{'s' * (self.seeds != 1)}"
        parts = [runs if self.seeds else "no seed has every category"]
        if self.of_categories and self.categories < self.of_categories:
            parts.append(f"{self.categories} of {self.of_categories} categories")
        if self.left_out and self.seeds:
            parts.append(f"{self.left_out} incomplete left out")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.conditions:
            parts.append(self.conditions)
        return f"{self.value:.1f}{spread} ({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one method.

    Attributes:
        method: Its name.
        results: Numbers of others.
        ours: Our own.
        disputes: Positions of its disputes in the leaderboard's list, from 1.
    """

    method: str
    results: tuple[Result, ...] = ()
    ours: tuple[Ours, ...] = ()
    disputes: tuple[int, ...] = ()

    def column(self, name: str) -> tuple[Result | Ours, ...]:
        """Return the numbers of one column.

        Args:
            name: One of COLUMNS.

        Returns:
            The numbers, none where the method has none there.
        """
        return self.ours if name == "ours" else tuple(r for r in self.results if r.column == name)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Every known number of a data set in one setting and metric.

    Attributes:
        dataset: The data set.
        setting: The setting.
        metric: The metric.
        rows: A row for every method, the best first in the column that was sorted by.
        disputes: What is disputed about its numbers and the data set's split.
        columns: Those of COLUMNS that are shown.
        elsewhere: How many numbers of ours in this setting and metric belong to other data sets, by the set's name.
    """

    dataset: DatasetFacts
    setting: Setting
    metric: Metric
    rows: tuple[Row, ...]
    disputes: tuple[Dispute, ...]
    columns: tuple[str, ...]
    elsewhere: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def title(self) -> str:
        """What the table shows, in one line."""
        return f"{self.dataset.name}, {self.setting.name}, {self.metric.name} in %"

    def table(self, *, every: bool = False) -> Table:
        """Return the leaderboard as a table.

        Args:
            every: Whether each number has a row, with its conditions and source.

        Returns:
            A row for each method with the range of each column, or for each number.
        """
        return _every_number(self) if every else _ranges(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the leaderboard ready for JSON: numbers as numbers, recalled ones marked, disputes by position."""
        return {
            "dataset": self.dataset.id,
            "setting": self.setting.id,
            "metric": self.metric.id,
            "rows": [
                {"method": row.method, **{c: [_plain(n, row, self) for n in row.column(c)] for c in self.columns}}
                for row in self.rows
            ],
            "notes": list(self.notes()),
        }

    def notes(self, *, traps: bool = True) -> tuple[str, ...]:
        """Return the notes under the table.

        Args:
            traps: Whether they include where implementations of the metric differ.

        Returns:
            What the columns are, the disputes by number, and the metric's traps; for an empty leaderboard which other
            numbers of the data set there are.
        """
        if not self.rows:
            return (_elsewhere(self),)
        said = [
            "published: by the authors; quoted: in somebody else's table; re-run: by a benchmark or a third party.",
            "A range is lowest to highest, with how many numbers there are.",
        ]
        if "recalled" in self.columns:
            said.append(f"{MARK} recalled, never checked against a source.")
        if self.elsewhere:
            named = ", ".join(f"{name} {count}" for name, count in self.elsewhere.items())
            said.append(f"ours: {sum(self.elsewhere.values())} of other data sets, not shown: {named}.")
        said += [f"[D{i}] {dispute.says}" for i, dispute in enumerate(self.disputes, start=1)]
        said += [f"{self.metric.name}: {text}" for text in self.metric.disagreements if traps]
        return tuple(said)


def leaderboard(
    dataset: str,
    *,
    setting: str = "one-class",
    metric: str = "image_auroc",
    ours: Sequence[Ours] | None = None,
    recalled: bool = False,
    sort: str = "published",
) -> Leaderboard:
    """Return every known number of a data set in one setting and metric, by method and column.

    Args:
        dataset: Any name of the data set.
        setting: Any name of the setting.
        metric: Any name of the metric.
        ours: Our numbers, of whatever data sets, settings and metrics; None for no column of ours.
        recalled: Whether recalled numbers are shown, in a column of their own.
        sort: A column or "method"; methods without a number there follow, by the next column that has one.

    Returns:
        The leaderboard, without rows if no number is known.

    Raises:
        UnknownName: no such data set, setting, metric or column.
    """
    facts, said = find_dataset(dataset), settings()[find("settings", setting)]
    measure = find_metric(metric)
    if sort not in (*COLUMNS, "method"):
        raise UnknownName("column", sort, (*COLUMNS, "method"))
    found = results(dataset=facts.id, metric=measure.id, setting=said.id, recalled=recalled)
    alike = [o for o in ours or () if (o.metric, o.setting) == (measure.id, said.id)]
    mine = [o for o in alike if o.dataset == facts.id]
    elsewhere = Counter(sorted(o.dataset for o in alike if o.dataset != facts.id))
    doubts = disputed(found, facts.id, about=("split",))
    by_method = {
        name: Row(
            name,
            tuple(r for r in found if r.method == name),
            tuple(o for o in mine if o.method == name),
            tuple(i for i, d in enumerate(doubts, start=1) if any(d.touches(r) for r in found if r.method == name)),
        )
        for name in sorted({r.method for r in found} | {o.method for o in mine}, key=str.lower)
    }
    shown = [c for c in COLUMNS if (c != "ours" or ours is not None) and (c != "recalled" or recalled)]
    rows = list(by_method.values()) if sort == "method" else _sorted(by_method.values(), sort, measure)
    return Leaderboard(facts, said, measure, tuple(rows), doubts, tuple(shown), MappingProxyType(elsewhere))


def _elsewhere(board: Leaderboard) -> str:
    """Return what is said instead of an empty table: what numbers there are for this data set."""
    known = results(dataset=board.dataset.id)
    places = dict.fromkeys(r.setting for r in known if r.metric == board.metric.id)
    measured = dict.fromkeys(r.metric for r in known if r.setting == board.setting.id)
    other = [f"numbers in other settings: {', '.join(s for s in settings() if s in places)}"] if places else []
    other += [f"numbers in other metrics: {', '.join(sorted(measured))}"] if measured else []
    said = "; ".join(other) or "none in this setting, and none in this metric"
    return f"No number is known here. {board.dataset.name} has {said}."


def _plain(number: Result | Ours, row: Row, board: Leaderboard) -> dict[str, Any]:
    if isinstance(number, Ours):
        return {
            name: getattr(number, name) for name in ("value", "spread", "seeds", "draws", "categories", "conditions")
        }
    marks = [i for i in row.disputes if board.disputes[i - 1].touches(number)]
    said = {"value": number.value, "conditions": number.conditions, "sources": dict(number.sources)}
    return {**said, "recalled": number.recalled, "disputed": marks}


def _sorted(rows: Iterable[Row], sort: str, measure: Metric) -> list[Row]:
    """Sort by the best number of a column; who has none there follows, by the first other column with one."""
    order = [sort, *(c for c in COLUMNS if c != sort)]
    sign = -1 if measure.better == "higher" else 1

    def key(row: Row) -> tuple[int, float, str]:
        place = next(i for i, c in enumerate(order) if row.column(c))
        return place, min(sign * number.value for number in row.column(order[place])), row.method.lower()

    return sorted(rows, key=key)


def _ranges(board: Leaderboard) -> Table:
    head = ["method", *board.columns, "disputed"]
    body = [
        [row.method, *(_range(row.column(c)) for c in board.columns), " ".join(f"[D{i}]" for i in row.disputes)]
        for row in board.rows
    ]
    return Table(board.title, head, body)


def _range(numbers: Sequence[Result | Ours]) -> str:
    if not numbers:
        return ""
    if len(numbers) == 1 or isinstance(numbers[0], Ours):
        return "; ".join(number.shown for number in numbers)
    low, high = (choose(numbers, key=lambda n: n.value).shown for choose in (min, max))
    return f"{low} ({len(numbers)})" if low == high else f"{low} to {high} ({len(numbers)})"


def _every_number(board: Leaderboard) -> Table:
    head = ["method", *board.columns, "conditions", "kind", "source", "disputed"]
    body = []
    for row in board.rows:
        for column in board.columns:
            for number in sorted(row.column(column), key=lambda n: -n.value):
                values = [number.shown if c == column else "" for c in board.columns]
                if isinstance(number, Ours):
                    body.append([row.method, *values, number.conditions, "ours", "measured here", ""])
                    continue
                marks = " ".join(f"[D{i}]" for i in row.disputes if board.disputes[i - 1].touches(number))
                body.append([row.method, *values, number.conditions, number.source_kind, number.cited, marks])
    return Table(board.title, head, body)
