"""The reader of a benchmark's folder, a JSON file a cell. Missing values stay missing, unreadable files are named."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from blemish.core.errors import DataError, FormatError
from blemish.core.files import read_json

ONE_CLASS, MULTI_CLASS = "one-class", "multi-class"


class Measured(NamedTuple):
    """A metric of one cell.

    Attributes:
        value: 0 to 1.
        low: Lower bound of the interval over images, None where there is none.
        high: Its upper bound.
    """

    value: float
    low: float | None
    high: float | None


class Picture(NamedTuple):
    """Three tested parts with their maps.

    Attributes:
        webp: The picture as WebP in base64.
        shown: (kind, score) of the parts from left to right.
    """

    webp: str
    shown: tuple[tuple[str, float], ...]


class Tested(NamedTuple):
    """The tested images of one category, in one order.

    Attributes:
        labels: 0 good, 1 defective.
        scores: Raw image scores.
        keys: Names of the images; empty where they are not known.
    """

    labels: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()


class Setting(NamedTuple):
    """The conditions of a run. Numbers of two settings are never ranked against each other.

    Attributes:
        dataset: What the grid calls the data set.
        protocol: "one-class", "multi-class", "few-shot-4", "robustness-blur-2", ...
        preset: The method's preset, "" for none.
    """

    dataset: str
    protocol: str
    preset: str


@dataclass(frozen=True, slots=True)
class CellResult:
    """One method on one category (or, in one model, on all) with one seed, and one draw where parts are drawn.

    Attributes:
        method: The method's name in the registry.
        setting: Data set, protocol and preset.
        category: "" where the data set has none, "all" for one detector of all categories.
        seed: The seed of method and split.
        draw: Which draw of the training parts, None where nothing is drawn.
        metrics: By name; empty for a failed cell.
        by_category: Metrics of each category of a multi-class cell.
        costs: Times, memory and parameters, those that are known.
        tested: Tested images by category: raw scores of two categories are never pooled.
        stamps: How it was measured: versions, machine, split, weights.
        failed: {"error", "traceback"}, or None.
        file: The file, relative to the folder that was read.
        asked: The whole description of the cell as the file has it; the fields below are taken from it.
        params: The method's parameters.
        image_size: Pixels a side, None where not recorded.
        train_images: The largest number of training images, None for all of them.
        resolution: At which size pixels are compared, "" where not recorded; older files call it "pixels".
        trained_on: The categories that one detector of category "all" was fitted on; empty for every other cell.
        picture: Tested parts with their maps.
        kind: The data set's name in the registry; a grid may give it a name of its own.
    """

    method: str
    setting: Setting
    category: str
    seed: int
    draw: int | None
    metrics: Mapping[str, Measured]
    by_category: Mapping[str, Mapping[str, Measured]]
    costs: Mapping[str, float]
    tested: Mapping[str, Tested]
    stamps: Mapping[str, Any]
    failed: Mapping[str, str] | None
    file: str
    asked: Mapping[str, Any]
    params: Mapping[str, Any]
    image_size: int | None
    train_images: int | None
    resolution: str
    trained_on: tuple[str, ...]
    picture: Picture | None
    kind: str

    @property
    def categories(self) -> Mapping[str, Mapping[str, Measured]]:
        """The metrics by category; a cell of one category has its own, "" where the data set has none."""
        return self.by_category or {self.category: self.metrics}

    @property
    def run(self) -> str:
        """The seed, with the draw of training parts where there is one."""
        return str(self.seed) if self.draw is None else f"{self.seed} draw {self.draw}"

    @property
    def name(self) -> str:
        """The cell as text."""
        return " · ".join(
            filter(None, [self.method, *self.setting[:1], self.category, *self.setting[1:], f"seed {self.run}"])
        )


@dataclass(frozen=True, slots=True)
class Results:
    """The cells of a folder.

    Attributes:
        folder: The folder that was read.
        cells: Sorted by method, setting, category, seed and draw.
        unread: The files that could not be read, each with the reason.
    """

    folder: str
    cells: tuple[CellResult, ...]
    unread: Mapping[str, str]

    @property
    def failed(self) -> list[CellResult]:
        """The cells that ended with an error."""
        return [cell for cell in self.cells if cell.failed is not None]

    @property
    def metrics(self) -> list[str]:
        """The names of all metrics, images' first."""
        names = {name for cell in self.cells for found in cell.categories.values() for name in found}
        return sorted(names, key=lambda name: (place(METRICS, name), name))

    @property
    def settings(self) -> list[Setting]:
        """All settings, one-class first."""
        return sorted(
            {cell.setting for cell in self.cells},
            key=lambda s: (s.protocol != ONE_CLASS, natural(s.protocol), s.dataset, s.preset),
        )


DEEPEST = 20
"""How deep a cell's lists and objects may be nested; ours are five deep at most. A page follows them all."""

METRICS = (
    "image_AUROC",
    "image_AP",
    "image_F1Max",
    "pixel_AUROC",
    "pixel_AP",
    "pixel_F1Max",
    "pixel_AUPRO",
    "pixel_AUPRO_05",
    "pixel_AUPIMO",
)


def read_cells(folder: Path | str, only: Collection[str] | None = None, *, variants: bool = False) -> Results:
    """Read every cell below a folder. JSON files without a "cell" are skipped.

    Args:
        folder: The folder that the benchmark wrote to, or its `cells`.
        only: File names without .json; no other file is read. They are the cells of one grid of several in a folder.
        variants: Whether cells may differ in nothing but conditions and parameters of the method. Tables have one place
            for such cells and refuse a second.

    Returns:
        The cells, failed ones too, and the files that could not be read.

    Raises:
        DataError: there is no such folder, it holds no cell, or two files hold the same one.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(
            f"{folder} is not a folder of benchmark results. Give the folder that the benchmark wrote its cells to."
        )
    found: dict[tuple[str, ...], CellResult] = {}
    unread: dict[str, str] = {}
    for path in sorted(path for path in root.rglob("*.json") if only is None or path.stem in only):
        name = path.relative_to(root).as_posix()
        try:
            cell = _cell(read_json(path), name)
        except (FormatError, OSError) as error:
            unread[name] = str(error)
            continue
        if cell is None:
            continue
        key = (cell.method, *cell.setting, cell.category, cell.run, _written(cell.asked) if variants else "")
        if key in found:
            raise DataError(
                f"{name} and {found[key].file} in {folder} both hold the same cell, {cell.name}. Remove one of them; "
                "where the grid was changed, those of before it."
            )
        found[key] = cell
    if not found:
        broken = next(iter(unread.values()), "")
        first = f" {len(unread)} files could not be read, the first: {broken}" if unread else ""
        raise DataError(f'{folder} holds no cell of a benchmark: no JSON file there has a readable "cell".{first}')
    return Results(str(folder), tuple(found[key] for key in sorted(found)), unread)


def place(order: Iterable[str], name: str) -> int:
    """Return a name's position in an order.

    Args:
        order: Names in their order.
        name: The name.

    Returns:
        Its position from 0; the number of names if it is not among them.
    """
    names = list(order)
    return names.index(name) if name in names else len(names)


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts few-shot-2 before few-shot-10.

    Args:
        text: What is to be sorted.

    Returns:
        Its numbers, by value, and the texts between them.
    """
    import re

    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((1, float(part), "") if part[:1].isdigit() else (0, 0.0, part) for part in parts)


def _cell(content: Any, file: str) -> CellResult | None:
    """Return the cell of a file, None if the file holds something else."""
    if not isinstance(content, Mapping) or "cell" not in content:
        return None
    if _nested(content, DEEPEST):
        raise FormatError(f"{file} is no readable cell: it is nested more than {DEEPEST} deep")
    try:
        asked = _mapping("cell", content["cell"])
        _written(asked).encode()  # half a letter, which JSON may hold and no page, is refused here
        missing = [name for name in ("method", "dataset") if not isinstance(asked.get(name), str)]
        if missing:
            raise ValueError(f"the cell says no {', '.join(missing)}")
        failed, category = content.get("failed"), str(asked.get("category") or "")
        inside = (
            {} if failed else {str(k): one for k, one in _mapping("by_category", content.get("by_category")).items()}
        )
        by_category = {name: _measured(one.get("metrics", one)) for name, one in inside.items()}
        parts = {name: one.get("scores") for name, one in inside.items()} or {category: content.get("scores")}
        return CellResult(
            method=asked["method"],
            setting=Setting(asked["dataset"], str(asked.get("protocol") or ONE_CLASS), str(asked.get("preset") or "")),
            category=category,
            seed=_whole("seed", asked["seed"]),
            draw=_whole_or_none("draw", asked),
            metrics={} if failed else _measured(content.get("metrics")),
            by_category=by_category,
            costs={name: float(v) for name, v in _mapping("costs", content.get("costs")).items() if _number(v)},
            tested={name: _tested(found) for name, found in parts.items() if found},
            stamps=_mapping("stamps", content.get("stamps")),
            failed=_failure(failed) if failed else None,
            file=file,
            asked=asked,
            params=_mapping("params", asked.get("params")),
            image_size=_whole_or_none("image_size", asked),
            train_images=_whole_or_none("train_images", asked),
            resolution=str(asked.get("resolution") or asked.get("pixels") or ""),
            trained_on=tuple(map(str, asked.get("categories") or ())) if category == "all" else (),
            picture=_picture(content.get("picture")),
            kind=str(_mapping("source", asked.get("source")).get("kind") or asked["dataset"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"{file} is no readable cell ({type(error).__name__}): {error}") from error


def _written(asked: Mapping[str, Any]) -> str:
    return json.dumps(asked, ensure_ascii=False, sort_keys=True)


def _nested(value: Any, most: int) -> bool:
    """Return whether JSON values are nested more than `most` lists and objects deep, without following them there."""
    inside = [value]
    for _ in range(most + 1):
        inside = [
            x for one in inside for x in (one.values() if isinstance(one, dict) else one) if isinstance(x, dict | list)
        ]
    return bool(inside)


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for what is not there."""
    if not isinstance(value or {}, Mapping):
        raise TypeError(f"{name} is {value!r}, which must be an object")
    return value or {}


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}, which must be a whole number")
    return value


def _whole_or_none(name: str, asked: Mapping[str, Any]) -> int | None:
    return None if asked.get(name) is None else _whole(name, asked[name])


def _tested(scores: Mapping[str, Any]) -> Tested:
    found = Tested(
        tuple(int(v) for v in scores.get("labels") or ()),
        tuple(float(v) for v in scores.get("scores") or ()),
        tuple(str(v) for v in scores.get("keys") or ()),
    )
    if not len(found.labels) == len(found.scores) == (len(found.keys) or len(found.labels)):
        raise ValueError(f"{len(found.labels)} labels, {len(found.scores)} scores and {len(found.keys)} keys")
    if not all(map(math.isfinite, found.scores)):
        raise ValueError("a score that is not finite")
    return found


def _picture(found: Any) -> Picture | None:
    if not found:
        return None
    base64.b64decode(found["webp"], validate=True)  # it goes into a page as it is
    return Picture(str(found["webp"]), tuple((str(one["kind"]), float(one["score"])) for one in found["shown"]))


def _failure(failed: Any) -> dict[str, str]:
    if isinstance(failed, Mapping):
        return {"error": str(failed.get("error", "")), "traceback": str(failed.get("traceback", ""))}
    return {"error": str(failed), "traceback": ""}


def _measured(metrics: Any) -> dict[str, Measured]:
    found = {}
    for name, value in _mapping("metrics", metrics).items():
        whole = value if isinstance(value, Mapping) else {"value": value}
        if _number(whole.get("value")):
            if not 0 <= whole["value"] <= 1:
                raise ValueError(f"{name} {whole['value']!r}, which must be a share from 0 to 1")
            low, high = (float(whole[side]) if _number(whole.get(side)) else None for side in ("low", "high"))
            found[str(name)] = Measured(float(whole["value"]), low, high)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
