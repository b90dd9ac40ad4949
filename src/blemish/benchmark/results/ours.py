"""Our own numbers for leaderboards: means over categories, then over seeds, from the cells of the benchmark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from blemish.benchmark.results.cells import CellResult, read_cells
from blemish.core.errors import DataError
from blemish.literature.entries import fold, known_name, look_up
from blemish.literature.facts import datasets
from blemish.literature.leaderboard import Ours

Key = tuple[str, str, str, str]
"""Method, data set, protocol and conditions."""

Part = tuple[float, frozenset[str]]
"""A number in percent, and the categories it is the mean of."""

Run = tuple[int, int | None]
"""A seed and the draw of the training parts, None where nothing is drawn."""


def ours(folder: Path | str) -> tuple[Ours, ...]:
    """Return our numbers from a folder of result files, also in folders below.

    Cells that differ in preset, image size, number of training images, resolution or a parameter of the method are not
    averaged with each other. A cell of one detector for several categories counts for as many.

    Args:
        folder: The folder that the benchmark wrote to.

    Returns:
        One number for each metric of a method on a data set in a setting under one set of conditions.

    Raises:
        DataError: there is no such folder, it holds no cell, a file cannot be read, a cell is there twice, or two cells
            differ in something other than conditions.
    """
    found = read_cells(folder, variants=True)
    if found.unread:
        first = next(iter(found.unread.values()))
        raise DataError(f"{len(found.unread)} files in {folder} could not be read, the first: {first}")
    groups: dict[Key, list[CellResult]] = {}
    for cell in found.cells:
        groups.setdefault(_key(cell), []).append(cell)
    alike = {key: group for several in groups.items() for key, group in _by_params(*several).items()}
    return tuple(one for key in sorted(alike) for one in _means(key, alike[key]))


def _key(cell: CellResult) -> Key:
    conditions = {
        "image_size": cell.image_size,
        "train_images": cell.train_images,
        "resolution": cell.resolution or None,
    }
    parts = [cell.setting.preset] if cell.setting.preset else []
    parts += [f"{name} {value}" for name, value in conditions.items() if value is not None]
    dataset, known = cell.setting.dataset, look_up("datasets", cell.setting.dataset)
    if known is None:  # a set with a name of its own: its reader says which one it is
        known = look_up("datasets", cell.kind)
        parts += [f"named {dataset}"] if known else []
    return cell.method, known or dataset, cell.setting.protocol, ", ".join(parts)


def _by_params(key: Key, group: list[CellResult]) -> dict[Key, list[CellResult]]:
    """Split cells by the parameters, but the seed, in which cells of one category differ; they become conditions."""
    of_category: dict[str, list[Mapping[str, Any]]] = {}
    for cell in group:
        of_category.setdefault(cell.category, []).append(cell.params)
    varied = sorted(
        {
            name
            for variants in of_category.values()
            for name in set().union(*variants) - {"seed"}
            if any(params.get(name) != variants[0].get(name) for params in variants)
        }
    )
    split: dict[Key, list[CellResult]] = {}
    for cell in group:
        said = [f"{name} {cell.params[name]}" if name in cell.params else f"{name} by default" for name in varied]
        conditions = ", ".join([*([key[-1]] if key[-1] else []), *said])
        split.setdefault((*key[:-1], conditions), []).append(cell)
    return split


def _means(key: Key, group: list[CellResult]) -> list[Ours]:
    """Return one number a metric from the cells of one method under one set of conditions."""
    method, dataset, protocol, conditions = key
    values: dict[str, dict[Run, dict[str, Part]]] = {}  # metric, run, category
    taken: dict[tuple[Run, str], CellResult] = {}
    done = [cell for cell in group if cell.failed is None]
    for cell in done:
        run = cell.seed, cell.draw
        other = taken.setdefault((run, cell.category), cell)
        if other is not cell:
            raise _twice(other, cell)
        for name, measured in cell.metrics.items():
            metric = look_up("metrics", name)
            if metric is not None:
                part = 100.0 * measured.value, frozenset(cell.trained_on or (cell.category,))
                values.setdefault(metric, {}).setdefault(run, {})[cell.category] = part
    known = look_up("datasets", dataset)
    return [
        _mean(
            values[metric],
            {
                "method": known_name(method),
                "dataset": known or dataset,
                "metric": metric,
                "setting": look_up("settings", protocol) or fold(protocol),
                "of_categories": len(datasets()[known].categories) if known else 0,
                "conditions": conditions,
                "failed": len(group) - len(done),
            },
        )
        for metric in sorted(values)
    ]


def _mean(by_run: Mapping[Run, Mapping[str, Part]], said: dict[str, Any]) -> Ours:
    """Average over categories, then over the runs that have all of them; runs of one of several draws count as one."""
    every = frozenset[str]().union(*(names for parts in by_run.values() for _, names in parts.values()))
    whole = {
        run: sum(value * len(names) for value, names in parts.values()) / len(every)
        for run, parts in by_run.items()
        if sum(len(names) for _, names in parts.values()) == len(every)
    }
    several = len({draw for _, draw in whole}) > 1
    groups: dict[Any, list[float]] = {}
    for (seed, draw), value in whole.items():
        groups.setdefault(draw if several else (seed, draw), []).append(value)
    means = [fmean(each) for each in groups.values()] or [_of_categories(by_run, every)]
    return Ours(
        value=fmean(means),
        seeds=len(whole),
        draws=len(groups) if several else 0,
        categories=len(every),
        spread=stdev(means) if len(means) > 1 else None,
        left_out=len(by_run) - len(whole),
        **said,
    )


def _of_categories(by_run: Mapping[Run, Mapping[str, Part]], every: Iterable[str]) -> float:
    """Return the mean over categories of what each has on average, over the runs that have it."""
    parts = [part for run in by_run.values() for part in run.values()]
    return fmean(fmean(value for value, names in parts if name in names) for name in every)


def _twice(one: CellResult, other: CellResult) -> DataError:
    """Return the error about two cells in one place, one of which would be left out, with what they differ in."""
    differ = sorted(k for k in one.asked.keys() | other.asked.keys() if one.asked.get(k) != other.asked.get(k))
    return DataError(
        f"{one.file} and {other.file} hold the same method, data set, setting, category and seed, and differ only in "
        f"{', '.join(differ)}; put one of them into another folder."
    )
