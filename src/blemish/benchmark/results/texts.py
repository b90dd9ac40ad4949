"""The benchmark's tables as text: Markdown, LaTeX with booktabs and graphicx, CSV."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from blemish.benchmark.results.cells import ONE_CLASS, Results, Setting
from blemish.benchmark.results.formatting import (
    ASSUMED,
    MISSING,
    SHORT,
    TITLES,
    bounds,
    cost,
    mean,
    notes,
    percent,
    seeds,
    setting,
)
from blemish.benchmark.results.published import Beside, title
from blemish.benchmark.results.rows import COSTS, Row, values
from blemish.benchmark.results.side_by_side import SideBySide, leading, side_by_side, whole
from blemish.core.tables import booktabs, csv_text, escape_latex, escape_markdown, markdown_table

SAID = "Percent, mean ± half of the 95 % interval over n seeds or draws."
MEAN_COSTS = "Means over categories and seeds."
NO_INTERVALS = f"Means over seeds ({SHORT}: over fewer than others); their intervals stand in the tables below."


def markdown(cells: Results, table: Sequence[Row], published: Sequence[Beside]) -> str:
    """Return the results as Markdown.

    Methods by categories, a table a setting with intervals and costs, numbers of others next to ours, failures.

    Args:
        cells: The cells.
        table: Their table.
        published: Numbers of others next to ours.

    Returns:
        The Markdown.
    """
    parts = ["# Benchmark\n", ASSUMED + "\n"]
    for both in side_by_side(cells, leading(cells), whole(cells)):
        lines = [map(escape_markdown, one) for one in _beside_each_other(both)]
        parts.append(f"## {escape_markdown(_heading(both))}\n")
        parts.append(markdown_table(["method", *both.columns, "mean", "rank"], lines))
        parts.append(escape_markdown(f"{NO_INTERVALS} {both.note}") + "\n")
    for one, own in _by_setting(table):
        metrics, costs = _columns(cells, own)
        head = ["method", *(TITLES.get(m, m) for m in metrics), "n", "categories", *(COSTS[c] for c in costs)]
        numbers = [
            [escape_markdown(title(row.method)), *(_marked(row, m) for m in metrics), *_rest(row, metrics, costs)]
            for row in own
        ]
        parts.append(f"## {escape_markdown(setting(one))}\n")
        parts.append(markdown_table(head, numbers))
        parts += [f"{SHORT} {escape_markdown(note)}\n" for note in _notes(own, metrics)]
    if published:
        head = ["data set", "method", "metric", "theirs", "kind", "source", "ours", "difference", "what differs"]
        parts.append("## Numbers of others beside ours\n")
        parts.append(markdown_table(head, [map(escape_markdown, _beside(b)) for b in published]))
    if cells.failed or cells.unread:
        parts.append(f"## Failures ({len(cells.failed)} of {len(cells.cells)} cells)\n")
        parts += [
            f"- {escape_markdown(cell.name)}: {escape_markdown((cell.failed or {}).get('error', ''))}"
            for cell in cells.failed
        ]
        parts += [
            f"- {escape_markdown(name)} could not be read: {escape_markdown(reason)}"
            for name, reason in cells.unread.items()
        ]
        parts.append("")
    return "\n".join(parts)


def latex(cells: Results, table: Sequence[Row]) -> str:
    r"""Return methods by categories and each setting's results and costs as LaTeX.

    In the tables of the settings the best numbers are bold. A table that is wider than the page is made smaller.

    Args:
        cells: The cells.
        table: Their table.

    Returns:
        LaTeX for `\input`, which needs booktabs and graphicx.
    """
    parts = ["% Needs \\usepackage{booktabs,graphicx}. " + ASSUMED.replace("%", "percent")]
    for both in side_by_side(cells, leading(cells), whole(cells)):
        head = ["method", *both.columns, "mean", "rank"]
        lines = [map(escape_latex, one) for one in _beside_each_other(both)]
        parts.append(booktabs(f"{_heading(both)}. Percent. {NO_INTERVALS} {both.note}", head, lines))
    for one, own in _by_setting(table):
        metrics, costs = _columns(cells, own)
        cells_of = []
        for row in own:
            numbers = [escape_latex(mean(row.numbers.get(m))) for m in metrics]
            best = [m in row.numbers and row.numbers[m].best for m in metrics]
            shown = [rf"\textbf{{{text}}}" if mark else text for text, mark in zip(numbers, best, strict=True)]
            rest = map(escape_latex, _rest(row, metrics, []))
            cells_of.append([escape_latex(title(row.method)), *shown, *rest])
        head = ["method", *(TITLES.get(m, m) for m in metrics), "n", "categories"]
        short = [f"{SHORT} {note}" for note in _notes(own, metrics)]
        parts.append(booktabs(f"{setting(one)}. {SAID}", head, cells_of, short))
        if costs:
            spent = [[title(row.method), *(cost(c, row.costs.get(c)) for c in costs)] for row in own]
            caption, head = f"{setting(one)}, costs. {MEAN_COSTS}", ["method", *(COSTS[c] for c in costs)]
            parts.append(booktabs(caption, head, [map(escape_latex, line) for line in spent]))
    return "\n".join(parts)


def comma_separated(cells: Results, table: Sequence[Row]) -> str:
    """Return the results as CSV: one line a method, setting, category and metric, with every seed's value.

    The category `*` is the mean of all. Numbers are shares from 0 to 1, not percent, with all their digits; what is
    missing is empty. The column `seeds` is how many seeds, or draws, a mean comes from; `notes` has what it lacks.

    Args:
        cells: The cells.
        table: Their table.

    Returns:
        The lines.
    """
    head = ["dataset", "protocol", "preset", "method", "category", "metric", "mean", "seeds_low", "seeds_high", "seeds"]
    lines: list[list[Any]] = [[*head, "images_low", "images_high", "best", "notes", "by_seed", *COSTS]]
    for row in table:
        own = [c for c in cells.cells if (c.method, c.setting) == (row.method, row.setting) and c.failed is None]
        costs = [row.costs.get(name, "") for name in COSTS]
        for metric, number in row.numbers.items():
            s = number.over_seeds
            spread = [s.mean, _empty(s.low), _empty(s.high), s.seeds, _empty(number.low), _empty(number.high)]
            lines.append(
                [*row.setting, row.method, "*", metric, *spread, int(number.best), "; ".join(number.notes), "", *costs]
            )
            for category, by_seed in sorted(values(own, metric).items()):
                each = ";".join(f"{seed}:{found.value!r}" for seed, found in sorted(by_seed.items()))
                value = sum(m.value for m in by_seed.values()) / len(by_seed)
                blank = ["", "", len(by_seed), "", "", "", ""]
                lines.append([*row.setting, row.method, category, metric, value, *blank, each, *[""] * len(COSTS)])
    return csv_text(lines)


def _heading(both: SideBySide) -> str:
    return ", ".join(
        filter(
            None, [TITLES.get(both.metric, both.metric), both.protocol, f"preset {both.preset}" if both.preset else ""]
        )
    )


def _beside_each_other(both: SideBySide) -> list[list[str]]:
    """Return the lines of methods by categories, unescaped: method, values, mean, rank."""
    return [
        [
            title(line.method),
            *(percent(value) + SHORT * fewer for value, fewer in zip(line.values, line.fewer, strict=True)),
            percent(line.mean),
            MISSING if line.rank is None else f"{line.rank:.2f}",
        ]
        for line in both.lines
    ]


def _by_setting(table: Sequence[Row]) -> Iterable[tuple[Setting, list[Row]]]:
    for one, own in groupby(table, key=lambda row: row.setting):
        yield one, list(own)


def _columns(cells: Results, own: Sequence[Row]) -> tuple[list[str], list[str]]:
    metrics = [m for m in cells.metrics if any(m in row.numbers for row in own)]
    return metrics, [c for c in COSTS if any(c in row.costs for row in own)]


def _notes(own: Sequence[Row], metrics: Sequence[str]) -> list[str]:
    return [f"{title(row.method)}, {note}." for row in own for note in notes(row, metrics)]


def _marked(row: Row, metric: str) -> str:
    number = row.numbers.get(metric)
    text = " ".join(filter(None, [mean(number), bounds(number)]))
    return f"**{text}**" if number is not None and number.best else text


def _rest(row: Row, metrics: Sequence[str], costs: Sequence[str]) -> list[str]:
    covered = f"{len(row.categories)} of {row.of}" + (f", {row.failures} failed" if row.failures else "")
    return [seeds(row, metrics), covered, *(cost(c, row.costs.get(c)) for c in costs)]


def _beside(one: Beside) -> list[str]:
    difference = MISSING if one.difference is None else f"{one.difference:+.2f}"
    source = f"{one.source}; {one.setting}" if one.setting else one.source
    data = one.dataset if one.protocol == ONE_CLASS else f"{one.dataset}, {one.protocol}"
    what = [data, title(one.method), TITLES.get(one.metric, one.metric), f"{one.published:g}", one.kind, source]
    return [*what, percent(one.ours.value), difference, "; ".join(one.differs)]


def _empty(value: float | None) -> float | str:
    return "" if value is None else value
