"""The benchmark's table: a row for each method and setting, means over seeds, and which is the best where one is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from blemish.benchmark.results.cells import MULTI_CLASS, CellResult, Measured, Results, Setting
from blemish.metrics.comparison import Summary, over_seeds

COSTS = {"fit_seconds": "fit, s", "score_ms": "score, ms", "peak_mb": "peak, MB", "parameters": "parameters"}
"""What a method costs, the mean over its cells: the lower the better."""


@dataclass(frozen=True, slots=True)
class Number:
    """One metric of a row, 0 to 1: the mean over categories for each seed, then over seeds.

    Attributes:
        over_seeds: Mean and Student's interval. Where training parts were drawn several times its n are the draws, each
            the mean over its seeds: runs of one draw had the same training images and are not independent.
        low: The cells' mean lower bound over images; for several categories the interval is wider than that of their
            mean would be.
        high: Their mean upper bound.
        categories: Those it is the mean of.
        notes: What of the row is missing in it.
        best: Whether the row is ahead of every other beyond both intervals.
    """

    over_seeds: Summary
    low: float | None
    high: float | None
    categories: tuple[str, ...]
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
    """A method in a setting.

    Attributes:
        method: The method's name in the registry.
        setting: The setting.
        numbers: Its numbers by metric.
        costs: Means over its cells, by the names in COSTS.
        categories: Those it has a result for.
        of: How many the setting has in all.
        runs: Its seeds, with the draw where there is one; each number reports how many it comes from.
        failures: How many of its cells failed.
        splits: Hashes of the splits by (category, run), where they are known.
    """

    method: str
    setting: Setting
    numbers: Mapping[str, Number]
    costs: Mapping[str, float]
    categories: tuple[str, ...]
    of: int
    runs: tuple[str, ...]
    failures: int
    splits: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def seeds(self, metrics: Iterable[str]) -> tuple[int, int]:
        """Return how many seeds, or draws, its numbers come from.

        Args:
            metrics: Its numbers of these metrics; those it lacks are skipped.

        Returns:
            The fewest and the most.
        """
        each = [self.numbers[name].over_seeds.seeds for name in metrics if name in self.numbers] or [0]
        return min(each), max(each)


def rows(cells: Results) -> list[Row]:
    """Return the table of a benchmark.

    Args:
        cells: The cells.

    Returns:
        Rows with the settings in their order and the methods by name, the best numbers marked.
    """
    grouped: dict[Setting, dict[str, list[CellResult]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells.cells:
        grouped[cell.setting][cell.method].append(cell)
    found = []
    for setting in cells.settings:
        methods = grouped[setting]
        every = {name for own in methods.values() for cell in own for name in _expected(cell)}
        found += _marked([_row(name, setting, methods[name], len(every)) for name in sorted(methods)])
    return found


def values(own: Sequence[CellResult], metric: str) -> dict[str, dict[str, Measured]]:
    """Return one method's values.

    Args:
        own: Its cells in one setting or several, failed ones not among them.
        metric: The metric.

    Returns:
        Values by category, then run (seed and draw).
    """
    found: dict[str, dict[str, Measured]] = defaultdict(dict)
    for cell in own:
        for category, metrics in cell.categories.items():
            if metric in metrics:
                found[category][cell.run] = metrics[metric]
    return dict(found)


def consistent(one: Row, other: Row, metric: str) -> bool:
    """Return whether two rows can be compared in a metric.

    Args:
        one: A row that has the metric.
        other: Another.
        metric: The metric.

    Returns:
        True if they have it for the same categories, with the same split wherever both have recorded one.
    """
    categories = one.numbers[metric].categories
    if categories != other.numbers[metric].categories:
        return False
    shared = one.splits.keys() & other.splits.keys()
    return all(one.splits[key] == other.splits[key] for key in shared if key[0] in categories)


def _expected(cell: CellResult) -> list[str]:
    """Return the categories a cell stands for; one that failed before it knew its categories stands for none."""
    unknown = not cell.category or cell.setting.protocol == MULTI_CLASS
    return [] if cell.failed is not None and unknown else list(cell.categories)


def _row(method: str, setting: Setting, own: list[CellResult], of: int) -> Row:
    done = [cell for cell in own if cell.failed is None]
    names = sorted({metric for cell in done for found in cell.categories.values() for metric in found})
    categories = tuple(sorted({c for cell in done for c, found in cell.categories.items() if found}))
    draws = {cell.run: cell.draw for cell in done}
    by_cost = {name: [cell.costs[name] for cell in done if name in cell.costs] for name in COSTS}
    return Row(
        method=method,
        setting=setting,
        numbers={name: _number(values(done, name), categories, draws) for name in names},
        costs={name: fmean(found) for name, found in by_cost.items() if found},
        categories=categories,
        of=of,
        runs=tuple(sorted(draws)),
        failures=len(own) - len(done),
        splits={
            (category, cell.run): str(cell.stamps["split"])
            for cell in done
            if cell.stamps.get("split")
            for category in cell.categories
        },
    )


def _number(
    found: Mapping[str, Mapping[str, Measured]], categories: Sequence[str], draws: Mapping[str, int | None]
) -> Number:
    """Return the mean over categories and runs; only runs with every category count, for others are another mean.

    `found` has the metric by category and run, of all the row's `categories` and of its runs, which `draws` holds with
    the draw of each.
    """
    covered, notes = tuple(sorted(found)), []
    if len(covered) < len(categories):
        missing = [name for name in categories if name not in found]
        several = f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}"
        notes.append(f"{len(covered)} of {len(categories)} categories: it is missing in {several}")
    whole = sorted(run for run in draws if all(run in one for one in found.values()))
    if not whole:  # no seed has every category: the mean of the categories' own means, without an interval over seeds
        mean = fmean(fmean(m.value for m in one.values()) for one in found.values())
        notes.append("no seed has every category")
        return Number(Summary(mean, None, None, 0, note=notes[-1]), None, None, covered, tuple(notes))
    if len(whole) < len(draws):
        words = "seeds" if set(draws.values()) == {None} else "runs"
        notes.append(f"{len(draws) - len(whole)} of {len(draws)} {words} left out: not every category has them")
    used = [one[run] for one in found.values() for run in whole]
    lows, highs = [m.low for m in used if m.low is not None], [m.high for m in used if m.high is not None]
    complete = len(lows) == len(highs) == len(used)
    return Number(
        over_seeds(_independent({run: fmean(one[run].value for one in found.values()) for run in whole}, draws)),
        fmean(lows) if complete else None,
        fmean(highs) if complete else None,
        covered,
        tuple(notes),
    )


def _independent(by_run: Mapping[str, float], draws: Mapping[str, int | None]) -> list[float]:
    """Return one value a draw, the mean over its seeds, where there are several draws; or else one a seed."""
    by_draw: dict[int | None, list[float]] = defaultdict(list)
    for run, value in by_run.items():
        by_draw[draws[run]].append(value)
    return [fmean(each) for each in by_draw.values()] if len(by_draw) > 1 else list(by_run.values())


def _marked(own: list[Row]) -> list[Row]:
    """Mark numbers that are ahead of every other of the setting beyond both intervals; none if rows do not compare."""
    marked = list(own)
    for metric in {name for row in own for name in row.numbers}:
        having = [row for row in own if metric in row.numbers]
        most = max(len(row.numbers[metric].categories) for row in having)
        full = [row for row in having if len(row.numbers[metric].categories) == most]
        if len(full) < 2 or not all(consistent(full[0], row, metric) for row in full[1:]):
            continue
        first = max(full, key=lambda row: row.numbers[metric].value)
        mine = first.numbers[metric].bounds
        others = [row.numbers[metric].bounds for row in full if row is not first]
        if mine is not None and all(theirs is not None and theirs[1] < mine[0] for theirs in others):
            at = next(i for i, row in enumerate(marked) if row.method == first.method)
            numbers = {**marked[at].numbers, metric: replace(first.numbers[metric], best=True)}
            marked[at] = replace(marked[at], numbers=numbers)
    return marked
