"""A benchmark's folder, read: one JSON file a cell. What is missing stays missing; what cannot be read is named."""

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
    """A metric of one cell, 0 to 1, and its interval over images where there is one."""

    value: float
    low: float | None
    high: float | None


class Picture(NamedTuple):
    """Three tested parts with their maps: a WebP in base64, and what is shown, (kind, score) from left to right."""

    webp: str
    shown: tuple[tuple[str, float], ...]


class Tested(NamedTuple):
    """The tested images of one category: labels (0 good, 1 defective), raw scores, and names where they are known."""

    labels: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()


class Setting(NamedTuple):
    """Under what a method ran. Numbers of two settings are never ranked against each other."""

    dataset: str
    protocol: str
    preset: str


@dataclass(frozen=True, slots=True)
class CellResult:
    """One method on one category (or, in one model, on all) with one seed, and one draw where parts are drawn.

    `metrics` are by name; `by_category` likewise for each category of a multi-class cell. `tested` holds the tested
    images by category: raw scores of two categories are never pooled. `failed` is {"error", "traceback"} or None.
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
    picture: Picture | None = None
    kind: str = ""  # the kind of data set, which a grid may call by a name of its own

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
        """The cell in words."""
        return " · ".join(
            filter(None, [self.method, *self.setting[:1], self.category, *self.setting[1:], f"seed {self.run}"])
        )


@dataclass(frozen=True, slots=True)
class Results:
    """All cells of a folder, and the files that could not be read, each with the reason."""

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
"""How many lists and objects a cell's values may lie in; ours lie in five at most. A page follows them all."""

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


def read_cells(folder: Path | str, only: Collection[str] | None = None) -> Results:
    """Read every cell below `folder`. JSON files without a "cell" are not ours and are passed over.

    `only` are names of files, without .json, beside which nothing is read: the cells of one grid of several in a folder.

    Raises:
        DataError: there is no such folder, it holds no cell, or two files hold the same one.
    """
    root = Path(folder)
    if not root.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder that the benchmark wrote its cells to.")
    found: dict[tuple[Any, ...], CellResult] = {}
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
        key = (cell.method, *cell.setting, cell.category, cell.run)
        if key in found:
            raise DataError(
                f"{name} and {found[key].file} in {folder} both hold the cell {cell.name}. Remove one of them; "
                "where the grid was changed, those of before it."
            )
        found[key] = cell
    if not found:
        broken = next(iter(unread.values()), "")
        first = f" {len(unread)} files could not be read, the first: {broken}" if unread else ""
        raise DataError(f'{folder} holds no cell of a benchmark: no JSON file there has a readable "cell".{first}')
    return Results(str(folder), tuple(found[key] for key in sorted(found)), unread)


def place(order: Iterable[str], name: str) -> int:
    """Return where `name` stands in `order`, or behind all."""
    names = list(order)
    return names.index(name) if name in names else len(names)


def natural(text: str) -> tuple[tuple[int, float, str], ...]:
    """Return a key that sorts few-shot-2 before few-shot-10."""
    import re

    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((1, float(part), "") if part[:1].isdigit() else (0, 0.0, part) for part in parts)


def _cell(content: Any, file: str) -> CellResult | None:
    if not isinstance(content, Mapping) or "cell" not in content:
        return None
    what = content["cell"]
    if _nested(content, DEEPEST):
        raise FormatError(f"{file} is no readable cell: it is nested more than {DEEPEST} deep")
    try:
        json.dumps(what, ensure_ascii=False).encode()  # half a letter, which JSON may hold and no page, is refused here
        failed = content.get("failed")
        category = str(what.get("category") or "")
        inside = {} if failed else {str(name): one for name, one in (content.get("by_category") or {}).items()}
        by_category = {name: _measured(one.get("metrics", one)) for name, one in inside.items()}
        parts = {name: one.get("scores") for name, one in inside.items()} or {category: content.get("scores")}
        return CellResult(
            method=str(what["method"]),
            setting=Setting(
                str(what["dataset"]), str(what.get("protocol") or ONE_CLASS), str(what.get("preset") or "")
            ),
            category=category,
            seed=int(what["seed"]),
            draw=None if what.get("draw") is None else int(what["draw"]),
            metrics={} if failed else _measured(content.get("metrics")),
            by_category=by_category,
            costs={name: float(v) for name, v in (content.get("costs") or {}).items() if _number(v)},
            tested={name: _tested(found) for name, found in parts.items() if found},
            stamps=_mapping(content.get("stamps") or {}),
            failed=_failure(failed) if failed else None,
            file=file,
            picture=_picture(content.get("picture")),
            kind=str((what.get("source") or {}).get("kind") or what["dataset"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FormatError(f"{file} is no readable cell ({type(error).__name__}): {error}") from error


def _nested(value: Any, most: int) -> bool:
    """Say whether JSON values lie more than `most` lists and objects deep, without following them there."""
    inside = [value]
    for _ in range(most + 1):
        inside = [
            x for one in inside for x in (one.values() if isinstance(one, dict) else one) if isinstance(x, dict | list)
        ]
    return bool(inside)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"{value!r}, which must be an object")
    return value


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
    for name, value in (metrics or {}).items():
        whole = value if isinstance(value, Mapping) else {"value": value}
        if _number(whole.get("value")):
            if not 0 <= whole["value"] <= 1:
                raise ValueError(f"{name} {whole['value']!r}, which must be a share from 0 to 1")
            low, high = (float(whole[side]) if _number(whole.get(side)) else None for side in ("low", "high"))
            found[str(name)] = Measured(float(whole["value"]), low, high)
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
