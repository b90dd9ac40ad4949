"""The benchmark's table: a row for each method and setting, means over seeds, and which is the best where one is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from blemish.metrics.comparison import Summary, over_seeds
from blemish.report.benchmark.cells import Cell, Cells, Measured, Setting

COSTS = {"fit_seconds": "fit, s", "score_ms": "score, ms", "peak_mb": "peak, MB", "parameters": "parameters"}
"""What a method costs, the mean over its cells: the lower the better."""


@dataclass(frozen=True, slots=True)
class Number:
    """One metric of a row, 0 to 1: the mean over categories for each seed, then over seeds.

    `over_seeds` has Student's interval; `low` and `high` are the mean bounds over images, which for several categories are
    wider than those of the mean would be. `best` is set where the row is ahead beyond both intervals.
    """

    over_seeds: Summary
    low: float | None
    high: float | None
    notes: tuple[str, ...] = ()
    best: bool = False

    @property
    def value(self) -> float:
        """The mean."""
        return self.over_seeds.mean

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The widest of the intervals that exist, or None."""
        lows = [v for v in (self.over_seeds.low, self.low) if v is not None]
        highs = [v for v in (self.over_seeds.high, self.high) if v is not None]
        return (min(lows), max(highs)) if lows and highs else None


@dataclass(frozen=True, slots=True)
class Row:
    """A method in a setting. `categories` are those it has a result for, `of` how many the setting has in all."""

    method: str
    setting: Setting
    numbers: Mapping[str, Number]
    costs: Mapping[str, float]
    categories: tuple[str, ...]
    of: int
    seeds: tuple[str, ...]
    failures: int
    splits: Mapping[tuple[str, str], str] = field(default_factory=dict)


def rows(cells: Cells) -> list[Row]:
    """Return the table, the settings in their order and the methods by name, with the best numbers marked."""
    grouped: dict[Setting, dict[str, list[Cell]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells.cells:
        grouped[cell.setting][cell.method].append(cell)
    found = []
    for setting in cells.settings:
        methods = grouped[setting]
        every = {name for own in methods.values() for cell in own for name in _expected(cell)}
        found += _marked([_row(name, setting, methods[name], len(every)) for name in sorted(methods)])
    return found


def values(own: Sequence[Cell], metric: str) -> dict[str, dict[str, Measured]]:
    """Return one method's values by category, then run (seed and draw)."""
    found: dict[str, dict[str, Measured]] = defaultdict(dict)
    for cell in own:
        for category, metrics in cell.categories.items():
            if metric in metrics:
                found[category][cell.run] = metrics[metric]
    return dict(found)


def consistent(one: Row, other: Row) -> bool:
    """Say whether two rows are of the same categories, and of the same split wherever both have recorded one."""
    if one.categories != other.categories:
        return False
    shared = one.splits.keys() & other.splits.keys()
    return all(one.splits[key] == other.splits[key] for key in shared)


def _expected(cell: Cell) -> list[str]:
    """Return the categories a cell stands for; one that failed before it knew its categories stands for none."""
    return [] if cell.failed is not None and not cell.category else list(cell.categories)


def _row(method: str, setting: Setting, own: list[Cell], of: int) -> Row:
    done = [cell for cell in own if cell.failed is None]
    names = sorted({metric for cell in done for found in cell.categories.values() for metric in found})
    by_cost = {name: [cell.costs[name] for cell in done if name in cell.costs] for name in COSTS}
    return Row(
        method=method,
        setting=setting,
        numbers={name: _number(values(done, name)) for name in names},
        costs={name: fmean(found) for name, found in by_cost.items() if found},
        categories=tuple(sorted({c for cell in done for c, found in cell.categories.items() if found})),
        of=of,
        seeds=tuple(sorted({cell.run for cell in done})),
        failures=len(own) - len(done),
        splits={
            (category, cell.run): str(cell.stamps["split"])
            for cell in done
            if cell.stamps.get("split")
            for category in cell.categories
        },
    )


def _number(found: Mapping[str, Mapping[str, Measured]]) -> Number:
    """Return the mean over categories and seeds; only seeds with every category count, for others are another mean."""
    seeds = {seed for one in found.values() for seed in one}
    whole = sorted(seed for seed in seeds if all(seed in one for one in found.values()))
    notes = []
    if not whole:  # no seed has every category: the mean of the categories' own means, without an interval over seeds
        mean = fmean(fmean(m.value for m in one.values()) for one in found.values())
        return Number(
            Summary(mean, None, None, 0, note="no seed has every category"), None, None, ("no seed has every category",)
        )
    if len(whole) < len(seeds):
        notes.append(f"{len(seeds) - len(whole)} of {len(seeds)} seeds left out: not every category has them")
    summary = over_seeds([fmean(one[seed].value for one in found.values()) for seed in whole])
    used = [one[seed] for one in found.values() for seed in whole]
    lows, highs = [m.low for m in used if m.low is not None], [m.high for m in used if m.high is not None]
    whole_interval = len(lows) == len(highs) == len(used)
    return Number(
        summary, fmean(lows) if whole_interval else None, fmean(highs) if whole_interval else None, tuple(notes)
    )


def _marked(own: list[Row]) -> list[Row]:
    """Mark a number that is ahead of every other of the setting beyond both intervals; none if rows are not comparable."""
    marked = list(own)
    for metric in {name for row in own for name in row.numbers}:
        having = [row for row in own if metric in row.numbers]
        most = max(len(row.categories) for row in having)
        full = [row for row in having if len(row.categories) == most]
        if len(full) < 2 or not all(consistent(full[0], row) for row in full[1:]):
            continue
        first = max(full, key=lambda row: row.numbers[metric].value)
        mine = first.numbers[metric].bounds
        others = [row.numbers[metric].bounds for row in full if row is not first]
        if mine is not None and all(theirs is not None and theirs[1] < mine[0] for theirs in others):
            at = next(i for i, row in enumerate(marked) if row.method == first.method)
            numbers = {**marked[at].numbers, metric: replace(first.numbers[metric], best=True)}
            marked[at] = replace(marked[at], numbers=numbers)
    return marked
