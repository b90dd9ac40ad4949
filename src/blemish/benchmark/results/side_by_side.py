"""Methods by categories, a table a metric: what a paper prints, with mean and average rank, and its heat map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from blemish.benchmark.results.cells import CellResult, Results
from blemish.benchmark.results.comparisons import Contest, contests
from blemish.benchmark.results.formatting import p_value
from blemish.benchmark.results.levels import in_levels
from blemish.benchmark.results.rows import values


@dataclass(frozen=True, slots=True)
class Square:
    """One value of a heat map.

    Attributes:
        value: 0 to 1.
        share: Its position in the map's range, 0 to 1.
        seeds: How many seeds it is the mean of.
    """

    value: float
    share: float
    seeds: int


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Methods by categories, as a table of squares.

    Attributes:
        place: Counts the protocols and presets, for maps that belong together.
        protocol: The protocol.
        preset: The preset.
        metric: The metric.
        groups: (data set, how many of the columns it has).
        columns: Categories, "" for a data set that has none.
        lines: (method, its squares; None where there is no result).
        low: The lowest value.
        high: The highest.
    """

    place: int
    protocol: str
    preset: str
    metric: str
    groups: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[Square | None, ...]], ...]
    low: float
    high: float


def heat_maps(cells: Results) -> list[HeatMap]:
    """Return the heat maps of a benchmark.

    Args:
        cells: The cells.

    Returns:
        A map for each protocol, preset and metric of which there is any result.
    """
    grouped: dict[tuple[str, str], list[CellResult]] = defaultdict(list)
    for setting in cells.settings:  # their order
        grouped[setting.protocol, setting.preset] += [c for c in cells.cells if c.setting == setting and not c.failed]
    maps = (_map(i, *key, metric, own) for i, (key, own) in enumerate(grouped.items()) for metric in cells.metrics)
    return [one for one in maps if one is not None]


def _map(place: int, protocol: str, preset: str, metric: str, own: Sequence[CellResult]) -> HeatMap | None:
    means: dict[tuple[str, str, str], tuple[float, int]] = {}
    for method, dataset in {(cell.method, cell.setting.dataset) for cell in own}:
        chosen = [cell for cell in own if (cell.method, cell.setting.dataset) == (method, dataset)]
        for category, by_seed in values(chosen, metric).items():
            means[method, dataset, category] = (fmean(m.value for m in by_seed.values()), len(by_seed))
    if not means:
        return None
    columns = sorted({key[1:] for key in means})
    low, high = min(v for v, _ in means.values()), max(v for v, _ in means.values())

    def square(method: str, column: tuple[str, str]) -> Square | None:
        if (method, *column) not in means:
            return None
        value, seeds = means[method, *column]
        return Square(value, (value - low) / (high - low) if high > low else 1.0, seeds)

    methods = sorted({cell.method for cell in own})
    return HeatMap(
        place,
        protocol,
        preset,
        metric,
        tuple((dataset, len(list(inside))) for dataset, inside in groupby(columns, key=lambda column: column[0])),
        tuple(category for _, category in columns),
        tuple((method, tuple(square(method, column) for column in columns)) for method in methods),
        low,
        high,
    )


FIRST = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One method of a comparison.

    Attributes:
        method: The method's name in the registry.
        values: 0 to 1, in the order of the columns; None where there is no result.
        fewer: Of each value, whether it is the mean of fewer seeds than the most there are.
        mean: The mean of the values, None unless every column has one.
        rank: The average rank, None unless the method takes part in the contest.
    """

    method: str
    values: tuple[float | None, ...]
    fewer: tuple[bool, ...]
    mean: float | None
    rank: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The methods of one protocol and preset by one metric.

    Attributes:
        protocol: The protocol.
        preset: The preset.
        metric: The metric.
        columns: Categories, with their data set where there are several.
        lines: The methods, the best rank first, those without a rank last.
        note: What may be read from the ranks.
    """

    protocol: str
    preset: str
    metric: str
    columns: tuple[str, ...]
    lines: tuple[ComparisonRow, ...]
    note: str


def leading(cells: Results) -> list[str]:
    """Return the metrics that are compared and drawn; the tables of each setting and the heat maps have all.

    Args:
        cells: The cells.

    Returns:
        Those of FIRST that the cells have, or else their first metric.
    """
    return [m for m in FIRST if m in cells.metrics] or cells.metrics[:1]


def whole(cells: Results) -> list[str]:
    """Return the protocols that are no level of several.

    Args:
        cells: The cells.

    Returns:
        Their names; all protocols where there are only levels.
    """
    protocols = list(dict.fromkeys(setting.protocol for setting in cells.settings))
    return [name for name in protocols if not in_levels(name)] or protocols


def side_by_side(cells: Results, metrics: Sequence[str], protocols: Sequence[str]) -> list[SideBySide]:
    """Return methods by categories, with ranks.

    Args:
        cells: The cells.
        metrics: A table for each of these metrics, ...
        protocols: ... each of these protocols, and each preset.

    Returns:
        The tables that have two categories and two methods or more.
    """
    contested = {(one.protocol, one.preset, one.metric): one for one in contests(cells, metrics, protocols)}
    return [
        _table(one, contested.get((one.protocol, one.preset, one.metric)))
        for one in heat_maps(cells)
        if one.metric in metrics and one.protocol in protocols and len(one.columns) > 1 and len(one.lines) > 1
    ]


def _table(one: HeatMap, contest: Contest | None) -> SideBySide:
    most = max(square.seeds for _, squares in one.lines for square in squares if square is not None)
    ranks = contest.ranks if contest else {}
    lines = [_line(method, squares, most, ranks.get(method)) for method, squares in one.lines]
    datasets = [dataset for dataset, count in one.groups for _ in range(count)]
    names = zip(datasets, one.columns, strict=True)
    columns = tuple(c if len(one.groups) == 1 else "/".join(filter(None, [d, c])) for d, c in names)
    lines.sort(key=lambda line: (line.rank is None, line.rank or 0.0, line.method))
    return SideBySide(one.protocol, one.preset, one.metric, columns, tuple(lines), _note(contest))


def _line(method: str, squares: Sequence[Square | None], most: int, rank: float | None) -> ComparisonRow:
    values = tuple(None if square is None else square.value for square in squares)
    there = [value for value in values if value is not None]
    fewer = tuple(square is not None and square.seeds < most for square in squares)
    return ComparisonRow(method, values, fewer, fmean(there) if len(there) == len(values) else None, rank)


def _note(contest: Contest | None) -> str:
    """Return what may be read from the ranks."""
    if contest is None:
        return "No ranks: no two methods share a category."
    test = contest.friedman
    p = "no p-value by Friedman's test" if test.p is None else f"Friedman's p {p_value(test.p)}"
    said = f"Ranks are the average over {len(contest.categories)} categories, 1 the best; {p}"
    said += f" ({test.note})." if test.note else "."
    if contest.groups is not None:
        said += f" By Nemenyi's test two methods differ whose ranks are {contest.critical:.2f} or more apart."
    return f"{said} Left out of the ranks: {'; '.join(contest.left_out)}." if contest.left_out else said
