"""What was reached on a data set in one setting: published, quoted, re-run and our own numbers, in columns apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from blemish.core.errors import UnknownName
from blemish.core.tables import Table
from blemish.literature.entries import find
from blemish.literature.facts import DatasetFacts, Metric, Setting, settings
from blemish.literature.facts import dataset as find_dataset
from blemish.literature.facts import metric as find_metric
from blemish.literature.ours import Ours
from blemish.literature.ours import ours as read_ours
from blemish.literature.results import MARK, Dispute, Result, disputed, results

COLUMNS = ("published", "quoted", "re-run", "ours", "recalled")
"""Columns, in the order in which they are shown. They are never mixed: no number moves from one to another."""


@dataclass(frozen=True, slots=True)
class Row:
    """The numbers of one method; `disputes` are the positions of its doubts in the leaderboard's list, from 1."""

    method: str
    results: tuple[Result, ...] = ()
    ours: tuple[Ours, ...] = ()
    disputes: tuple[int, ...] = ()

    def column(self, name: str) -> tuple[Result | Ours, ...]:
        """Return the numbers of one column."""
        return self.ours if name == "ours" else tuple(r for r in self.results if r.column == name)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """A data set, a setting and a metric, with a row for every method; best published first.

    `elsewhere` counts our numbers in the same setting and metric that belong to other data sets, by the name of the set.
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
        """Return the table: a row for each method with ranges, or, with `every`, a row for each number with its source."""
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
        """Return what stands under the table: what the columns are, the disputes by number, and the metric's traps."""
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
    ours: Path | str | None = None,
    recalled: bool = False,
    sort: str = "published",
) -> Leaderboard:
    """Return every known number of a data set in one setting and metric, by method and column.

    `ours` is a folder of benchmark results. Recalled numbers are left out unless `recalled`, and then stand in a column of
    their own. `sort` is a column or "method"; methods without a number there follow, by the next column that has one.

    Raises:
        UnknownName: no such data set, setting, metric or column.
        DataError: the folder holds no benchmark results.
    """
    facts, said = find_dataset(dataset), settings()[find("settings", setting)]
    measure = find_metric(metric)
    if sort not in (*COLUMNS, "method"):
        raise UnknownName("column", sort, (*COLUMNS, "method"))
    return gathered(facts, said, measure, None if ours is None else read_ours(ours), recalled, sort)


def gathered(
    facts: DatasetFacts,
    said: Setting,
    measure: Metric,
    ours: Sequence[Ours] | None,
    recalled: bool = False,
    sort: str = "published",
) -> Leaderboard:
    """Return a leaderboard with what fits of our numbers, None for no column of ours."""
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
