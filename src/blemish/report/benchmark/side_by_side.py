"""Methods by categories, a table a metric: what a paper prints, with the mean and the average rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from blemish.report.benchmark.cells import Cells
from blemish.report.benchmark.comparisons import Contest, contests
from blemish.report.benchmark.heat import HeatMap, Square, heat_maps
from blemish.report.benchmark.levels import in_levels
from blemish.report.benchmark.wording import p_value

FIRST = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


@dataclass(frozen=True, slots=True)
class Line:
    """A method's values, 0 to 1, in the order of the columns, None where there is no result.

    `fewer` says of each value whether it is the mean of fewer seeds than the most there are. `mean` is None unless every
    column has a value, and `rank` unless the method takes part in the contest.
    """

    method: str
    values: tuple[float | None, ...]
    fewer: tuple[bool, ...]
    mean: float | None
    rank: float | None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """The methods of one protocol and preset by one metric, the best rank first, those without a rank last."""

    protocol: str
    preset: str
    metric: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    note: str


def leading(cells: Cells) -> list[str]:
    """Return the metrics that are compared and drawn; the tables of each setting and the heat maps have all."""
    return [m for m in FIRST if m in cells.metrics] or cells.metrics[:1]


def whole(cells: Cells) -> list[str]:
    """Return the protocols that are no level of several, or all where there are only such."""
    protocols = list(dict.fromkeys(setting.protocol for setting in cells.settings))
    return [name for name in protocols if not in_levels(name)] or protocols


def side_by_side(cells: Cells, metrics: Sequence[str], protocols: Sequence[str]) -> list[SideBySide]:
    """Return a table for each of the protocols, presets and metrics that has two categories and two methods or more."""
    judged = {(one.protocol, one.preset, one.metric): one for one in contests(cells, metrics, protocols)}
    return [
        _table(one, judged.get((one.protocol, one.preset, one.metric)))
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


def _line(method: str, squares: Sequence[Square | None], most: int, rank: float | None) -> Line:
    values = tuple(None if square is None else square.value for square in squares)
    there = [value for value in values if value is not None]
    fewer = tuple(square is not None and square.seeds < most for square in squares)
    return Line(method, values, fewer, fmean(there) if len(there) == len(values) else None, rank)


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
