"""The heat map of a metric: methods by categories, the colour by the map's own range."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from blemish.report.benchmark.cells import Cell, Cells
from blemish.report.benchmark.rows import values


@dataclass(frozen=True, slots=True)
class Square:
    """One value, 0 to 1, its place in the map's range, 0 to 1, and how many seeds it is the mean of."""

    value: float
    share: float
    seeds: int


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A table of squares, None where there is no result. `groups` are (data set, how many of the columns).

    `columns` are categories, '' for a data set that has none. `place` counts the protocols and presets, for
    maps that belong together.
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


def heat_maps(cells: Cells) -> list[HeatMap]:
    """Return a map for each protocol, preset and metric of which there is any result."""
    grouped: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for setting in cells.settings:  # their order
        grouped[setting.protocol, setting.preset] += [c for c in cells.cells if c.setting == setting and not c.failed]
    maps = (_map(i, *key, metric, own) for i, (key, own) in enumerate(grouped.items()) for metric in cells.metrics)
    return [one for one in maps if one is not None]


def _map(place: int, protocol: str, preset: str, metric: str, own: Sequence[Cell]) -> HeatMap | None:
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
