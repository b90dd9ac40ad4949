"""The benchmark as one static page that loads nothing: table, heat maps, figures, tests, others' numbers, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from blemish.benchmark.results import drawings, formatting
from blemish.benchmark.results.cells import ONE_CLASS, CellResult, Results, Setting
from blemish.benchmark.results.comparisons import Contest, contests, same_images
from blemish.benchmark.results.levels import Ladder, ladders, level_means
from blemish.benchmark.results.published import Beside, title
from blemish.benchmark.results.rows import COSTS, Row
from blemish.benchmark.results.side_by_side import heat_maps, leading, whole
from blemish.report.templates import template


def page(cells: Results, table: Sequence[Row], published: Sequence[Beside]) -> str:
    """Return the page as HTML.

    Args:
        cells: The cells.
        table: Their table.
        published: Numbers of others next to ours.

    Returns:
        The text of one file that loads nothing.

    Raises:
        MissingExtra: jinja2 or matplotlib is not installed.
    """
    drawn, plain = leading(cells), whole(cells)
    choices = {
        "dataset": sorted({row.setting.dataset for row in table}),
        "protocol": list(dict.fromkeys(row.setting.protocol for row in table)),
        "preset": sorted({row.setting.preset for row in table}),
    }
    return template("page.html", __package__).render(
        cells=cells,
        rows=table,
        metrics=cells.metrics,
        costs={c: text for c, text in COSTS.items() if any(c in row.costs for row in table)},
        choices=choices,
        maps=heat_maps(cells),
        scatters=_scatters(table, drawn[:1], plain),
        contests=[(contest, _diagram(contest)) for contest in contests(cells, drawn, plain)],
        images=same_images(cells, plain),
        curves=[curve for ladder in ladders(table) for curve in _curves(ladder, cells, drawn)],
        pictures=pictures(cells),
        published=published,
        environment=environment(cells),
        protocols={name: formatting.protocol(name) for name in choices["protocol"]},
        methods=sorted({cell.method for cell in cells.cells}),
        seeds=sorted({cell.seed for cell in cells.cells}),
        title=title,
        w=formatting,
    )


def pictures(cells: Results) -> dict[tuple[Setting, str], list[CellResult]]:
    """Return the pictures of a benchmark.

    Args:
        cells: The cells.

    Returns:
        The first run of each method that has a picture, by setting and category.
    """
    found: dict[tuple[Setting, str], dict[str, CellResult]] = {}
    for cell in cells.cells:
        if cell.picture is not None:
            found.setdefault((cell.setting, cell.category), {}).setdefault(cell.method, cell)
    return {place: list(methods.values()) for place, methods in found.items()}


def environment(cells: Results) -> dict[str, list[tuple[str, int]]]:
    """Return on what the cells were computed.

    Args:
        cells: The cells.

    Returns:
        For each kind of stamp its different values, and how many cells have each.
    """
    found: dict[str, Counter[str]] = {}
    for cell in cells.cells:
        for name, value in cell.stamps.items():
            if name not in ("split", "started"):
                found.setdefault(name, Counter())[_flat(value)] += 1
    started = sorted(str(cell.stamps["started"]) for cell in cells.cells if cell.stamps.get("started"))
    if started:
        found["started"] = Counter({f"{started[0]} to {started[-1]}": len(started)})
    return {name: counts.most_common() for name, counts in sorted(found.items())}


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_flat(inside)}" for key, inside in value.items())
    return str(value)


def _scatters(table: Sequence[Row], metrics: Sequence[str], protocols: Sequence[str]) -> list[tuple[str, str]]:
    """Return (heading, SVG) of the metrics against latency and against memory, for each setting of the protocols."""
    found = []
    for setting in dict.fromkeys(row.setting for row in table if row.setting.protocol in protocols):
        for name, words in (("score_ms", "time to score an image, ms"), ("peak_mb", "peak memory, MB")):
            for metric in metrics:
                points = [
                    _point(row, name, metric)
                    for row in table
                    if row.setting == setting and row.costs.get(name, 0) > 0 and metric in row.numbers
                ]
                if points:
                    text = formatting.TITLES.get(metric, metric)
                    found.append((formatting.setting(setting), drawings.against_cost(points, words, text)))
    return found


def _point(row: Row, cost: str, metric: str) -> drawings.Point:
    number = row.numbers[metric].over_seeds
    low, high = (None if side is None else 100 * side for side in (number.low, number.high))
    return drawings.Point(title(row.method), row.costs[cost], 100 * number.mean, low, high)


def _diagram(contest: Contest) -> str:
    """Return the critical difference diagram, or '' where nothing may be read from it."""
    if contest.groups is None:
        return ""
    metric = formatting.TITLES.get(contest.metric, contest.metric)
    ranks = {title(name): rank for name, rank in contest.ranks.items()}
    groups = [[title(name) for name in group] for group in contest.groups]
    return drawings.critical_difference(ranks, contest.critical, groups, metric)


def _curves(ladder: Ladder, cells: Results, metrics: Sequence[str]) -> list[tuple[str, str]]:
    """Return (heading, SVG) of each metric over the levels, every mean over the categories that all of them share."""
    found = []
    for metric in metrics:
        means = level_means(ladder, cells, metric)
        reached = [one for (_, protocol), one in means.items() if protocol != ONE_CLASS]
        shared = set.intersection(*(set(one) for one in reached)) if reached else set()
        if not shared:
            continue
        points = {
            key: 100 * fmean(one[category] for category in shared) for key, one in means.items() if shared <= set(one)
        }
        lines = [
            drawings.Curve(title(m), [points.get((m, name)) for _, name in ladder.levels], points.get((m, ONE_CLASS)))
            for m in sorted({method for method, protocol in means if protocol != ONE_CLASS})
        ]
        many = f"{len(shared)} categories" if len(shared) > 1 else next(iter(shared)) or "all parts"
        preset = f"preset {ladder.preset}" if ladder.preset else ""
        heading = ", ".join(filter(None, [ladder.stem, ladder.dataset, preset, many]))
        levels = [level for level, _ in ladder.levels]
        svg = drawings.curves(levels, lines, ladder.stem.replace("-", " "), formatting.TITLES.get(metric, metric))
        found.append((heading, svg))
    return found
