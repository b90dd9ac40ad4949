"""Our own numbers, read from the result files of the benchmark: one JSON file a cell."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blemish.errors import DataError
from blemish.files import read_json
from blemish.literature.datasets import datasets
from blemish.literature.names import fold, known_name, look_up

CONDITIONS = ("image_size", "train_images", "pixels")
"""Fields of a cell, beside its preset, that keep cells from being averaged with each other, and are shown."""


@dataclass(frozen=True, slots=True)
class Ours:
    """One number of ours in percent: the mean over categories, then over seeds.

    `spread` is the standard deviation over seeds (None with one seed). `categories` were run, of `of_categories` that the
    data set has (0 if unknown). `left_out` counts seeds that lack a category which others have, `failed` cells without a
    result. `conditions` names the preset and whatever else sets the cells apart.
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

    @property
    def shown(self) -> str:
        """The number with its spread, seeds, and whatever keeps it from being complete."""
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        parts = [f"{self.seeds} seed{'s' * (self.seeds != 1)}"]
        if self.of_categories and self.categories < self.of_categories:
            parts.append(f"{self.categories} of {self.of_categories} categories")
        if self.left_out:
            parts.append(f"{self.left_out} incomplete left out")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.conditions:
            parts.append(self.conditions)
        return f"{self.value:.1f}{spread} ({', '.join(parts)})"


def ours(folder: Path | str) -> tuple[Ours, ...]:
    """Return our numbers from a folder of result files, also in folders below.

    A result file is {"cell": {method, dataset, category, seed, protocol, preset, ...}, "metrics": {name: {"value": share
    of 1}}, "failed": null or why}. JSON files without a cell are something else and are passed over.

    Raises:
        DataError: there is no such folder, it holds no cell, a cell is twice there, or a value is no share of 1.
        FormatError: a file is not JSON.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder of benchmark results; give the folder that `blemish bench` wrote.")
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    seen: dict[str, Path] = {}
    for path in sorted(folder.rglob("*.json")):
        content = read_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("cell"), dict):
            continue
        cell = content["cell"]
        same = json.dumps(cell, sort_keys=True)
        if same in seen:
            raise DataError(f"{path} and {seen[same]} hold the same cell; remove one of them.")
        seen[same] = path
        groups.setdefault(_key(cell, path), []).append(content)
    if not groups:
        raise DataError(f"{folder} holds no result of a benchmark (a JSON file with a cell).")
    return tuple(found for key in sorted(groups) for found in _means(key, groups[key]))


def _key(cell: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    missing = [name for name in ("method", "dataset", "protocol") if not isinstance(cell.get(name), str)]
    if missing:
        raise DataError(f"{path}: the cell says no {', '.join(missing)}.")
    extra = {name: cell[name] for name in CONDITIONS if cell.get(name) not in (None, "")}
    preset = [str(cell["preset"])] if cell.get("preset") else []
    conditions = ", ".join(preset + [f"{name} {value}" for name, value in extra.items()])
    return (cell["method"], cell["dataset"], cell["protocol"], conditions)


def _means(key: tuple[str, ...], group: list[dict[str, Any]]) -> list[Ours]:
    """Return one number a metric from the cells of one method under one set of conditions."""
    method, dataset, protocol, conditions = key
    failed = sum(bool(content.get("failed")) for content in group)
    values: dict[str, dict[Any, dict[str, float]]] = {}  # metric, seed, category
    for content in group:
        if content.get("failed"):
            continue
        for name, found in (content.get("metrics") or {}).items():
            metric = look_up("metrics", name)
            share = found.get("value") if isinstance(found, dict) else found
            if metric is not None and share is not None:
                cell = content["cell"]
                seed, category = (cell.get("seed"), cell.get("draw")), str(cell.get("category") or "")
                values.setdefault(metric, {}).setdefault(seed, {})[category] = _percent(share, key, name)
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


def _mean(by_seed: Mapping[Any, Mapping[str, float]], said: dict[str, Any]) -> Ours:
    """Average over categories, then over the seeds that have as many categories as any."""
    most = max(len(categories) for categories in by_seed.values())
    whole = [c for c in by_seed.values() if len(c) == most]
    means = [sum(c.values()) / most for c in whole]
    mean = sum(means) / len(means)
    spread = math.sqrt(sum((m - mean) ** 2 for m in means) / (len(means) - 1)) if len(means) > 1 else None
    return Ours(
        value=mean,
        seeds=len(means),
        categories=most,
        spread=spread,
        left_out=len(by_seed) - len(whole),
        **said,
    )


def _percent(share: Any, key: tuple[str, ...], name: str) -> float:
    if not isinstance(share, int | float) or not 0 <= share <= 1:
        raise DataError(f"{name} of {key[0]} on {key[1]} is {share!r}; results are shares of 1.")
    return 100.0 * share
