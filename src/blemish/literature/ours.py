"""Our own numbers, read from the result files of the benchmark: one JSON file a cell."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from blemish.core.errors import DataError
from blemish.core.files import read_json
from blemish.literature.entries import fold, known_name, look_up
from blemish.literature.facts import datasets

CONDITIONS = ("image_size", "train_images", "pixels")
"""Fields of a cell, beside its preset, that keep cells from being averaged with each other, and are shown."""

Key = tuple[str, ...]
"""Method, data set, protocol and conditions."""

Found = tuple[Path, dict[str, Any]]
"""A result file and what it holds."""

Part = tuple[float, frozenset[str]]
"""A number in percent, and the categories it is the mean of."""

Run = tuple[Any, Any]
"""A seed and the draw of the training parts, None where nothing is drawn."""


@dataclass(frozen=True, slots=True)
class Ours:
    """One number of ours in percent: the mean over categories, then over seeds.

    `spread` is the standard deviation over seeds (None with one seed). Where training parts were drawn several times it is
    that over `draws`, each the mean over its seeds, for runs of one draw had the same training images. `categories` were
    run, of `of_categories` that the data set has (0 if unknown). `left_out` counts seeds that lack a category which others
    have; if all do, `seeds` is 0 and the number is the mean of the categories' own means. `failed` counts cells without a
    result. `conditions` names the preset and whatever else sets the cells apart: parameters of the method in which they
    differ, and what the cells call the data set where that is no known name.
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


def ours(folder: Path | str) -> tuple[Ours, ...]:
    """Return our numbers from a folder of result files, also in folders below.

    A result file is {"cell": {method, dataset, category, seed, protocol, preset, ...}, "metrics": {name: {"value": share
    of 1}}, "failed": null or why}. JSON files without a cell are something else and are passed over. A cell of one detector
    for all its `categories` counts for as many.

    Raises:
        DataError: there is no such folder, it holds no cell, a cell is twice there, two cells differ in something else than
            conditions, or a value is no share of 1.
        FormatError: a file is not JSON.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of benchmark results; give the folder that `blemish bench` wrote.")
    groups: dict[Key, list[Found]] = {}
    seen: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json")):
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("cell"), dict):
            continue
        cell = content["cell"]
        _check_kinds(content, path)
        same = json.dumps(cell, sort_keys=True)
        if same in seen:
            raise DataError(f"{path} and {seen[same]} hold the same cell; remove one of them.")
        seen[same] = path
        groups.setdefault(_key(cell, path), []).append((path, content))
    if not groups:
        raise DataError(f"{folder} holds no result of a benchmark (a JSON file with a cell).")
    alike = {key: group for found in groups.items() for key, group in _by_params(*found).items()}
    return tuple(found for key in sorted(alike) for found in _means(key, alike[key]))


def _check_kinds(content: Mapping[str, Any], path: Path) -> None:
    cell = content["cell"]
    objects = {"metrics": content.get("metrics"), "params": cell.get("params"), "source": cell.get("source")}
    numbers = {"seed": cell.get("seed"), "draw": cell.get("draw")}
    for known, kind, words in ((objects, dict, "an object"), (numbers, int, "a whole number")):
        for name, value in known.items():
            if value is not None and not isinstance(value, kind):
                raise DataError(
                    f"{path}: {name} is {type(value).__name__}; it must be {words}. Restore it from a copy."
                )


def _key(cell: Mapping[str, Any], path: Path) -> Key:
    missing = [name for name in ("method", "dataset", "protocol") if not isinstance(cell.get(name), str)]
    if missing:
        raise DataError(f"{path}: the cell says no {', '.join(missing)}.")
    extra = {name: cell[name] for name in CONDITIONS if cell.get(name) not in (None, "")}
    parts = [str(cell["preset"])] if cell.get("preset") else []
    parts += [f"{name} {value}" for name, value in extra.items()]
    dataset, known = cell["dataset"], look_up("datasets", cell["dataset"])
    if known is None:  # a set with a name of its own: its reader says which one it is
        known = look_up("datasets", str((cell.get("source") or {}).get("kind", "")))
        parts += [f"named {dataset}"] if known else []
    return (cell["method"], known or dataset, cell["protocol"], ", ".join(parts))


def _slot(cell: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the place of a cell among those that are averaged: one cell may stand in it."""
    return (cell.get("seed"), cell.get("draw"), str(cell.get("category") or ""))


def _by_params(key: Key, group: list[Found]) -> dict[Key, list[Found]]:
    """Split cells by the method's parameters, but its seed, in which cells of one category differ; they are conditions."""
    of_category: dict[str, list[Mapping[str, Any]]] = {}
    for _, content in group:
        of_category.setdefault(_slot(content["cell"])[-1], []).append(content["cell"].get("params") or {})
    varied = sorted(
        {
            name
            for variants in of_category.values()
            for name in set().union(*variants) - {"seed"}
            if any(params.get(name) != variants[0].get(name) for params in variants)
        }
    )
    split: dict[Key, list[Found]] = {}
    for path, content in group:
        params = content["cell"].get("params") or {}
        said = [f"{name} {params[name]}" if name in params else f"{name} by default" for name in varied]
        conditions = ", ".join([*([key[-1]] if key[-1] else []), *said])
        split.setdefault((*key[:-1], conditions), []).append((path, content))
    return split


def _means(key: Key, group: list[Found]) -> list[Ours]:
    """Return one number a metric from the cells of one method under one set of conditions.

    Raises:
        DataError: two cells stand in one place, which would leave one of them out.
    """
    method, dataset, protocol, conditions = key
    failed = sum(bool(content.get("failed")) for _, content in group)
    values: dict[str, dict[Run, dict[str, Part]]] = {}  # metric, run, category
    taken: dict[tuple[Any, ...], Found] = {}
    for path, content in group:
        if content.get("failed"):
            continue
        cell = content["cell"]
        seed, draw, category = slot = _slot(cell)
        if slot in taken:
            raise _twice(taken[slot], (path, content))
        taken[slot] = (path, content)
        named = frozenset(map(str, cell.get("categories") or ())) if category == "all" else frozenset()
        for name, found in (content.get("metrics") or {}).items():
            metric = look_up("metrics", name)
            share = found.get("value") if isinstance(found, dict) else found
            if metric is not None and share is not None:
                part = (_percent(share, key, name), named or frozenset({category}))
                values.setdefault(metric, {}).setdefault((seed, draw), {})[category] = part
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
                "failed": failed,
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


def _twice(one: Found, other: Found) -> DataError:
    """Return the error about two cells in one place, with what they differ in."""
    (here, first), (there, second) = one, other
    a, b = first["cell"], second["cell"]
    differ = sorted(name for name in a.keys() | b.keys() if a.get(name) != b.get(name))
    return DataError(
        f"{here} and {there} hold the same method, data set, setting, category and seed, and differ only in "
        f"{', '.join(differ)}; put one of them into another folder."
    )


def _percent(share: Any, key: Key, name: str) -> float:
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DataError(f"{name} of {key[0]} on {key[1]} is {share!r}; results are shares of 1.")
    return 100.0 * share
