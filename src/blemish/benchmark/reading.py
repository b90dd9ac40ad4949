"""Reading a grid: TOML, or a preset's name, to a `Grid`; every error names the key, the value and what it can be."""

from __future__ import annotations

import itertools
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from blemish.benchmark.cells import Source
from blemish.benchmark.grid import Grid
from blemish.core import registry
from blemish.core.arguments import named_values
from blemish.core.errors import InputError, UnknownName
from blemish.data import synthetic
from blemish.evaluation.planted import Judge
from blemish.evaluation.report import RESOLUTIONS
from blemish.evaluation.settings import Protocol, protocol


def presets() -> dict[str, str]:
    """Return the grids that come with blemish, by name: the first line of each says what it is for."""
    folder = resources.files("blemish.benchmark") / "presets"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}


def read(grid: Path | str, roots: Mapping[str, str] | None = None) -> Grid:
    """Return the grid of a TOML file, or of a preset by its name.

    Args:
        grid: A .toml file, or a preset's name.
        roots: Folders of data sets, by their names in the grid.

    Returns:
        The grid.

    Raises:
        UnknownName: no such preset, key, method, data set or setting; the message suggests the nearest.
        InputError: the file is not TOML, or a value is not what its key allows.
    """
    path = Path(grid)
    if path.suffix == ".toml":
        try:
            text = path.read_text(encoding="utf-8-sig")  # some editors begin with a mark
        except OSError as error:
            raise InputError(f"the grid {path} cannot be read: {error.strerror or error}. Check the path.") from error
        except UnicodeDecodeError as error:
            raise InputError(f"the grid {path} is not UTF-8, which TOML is: {error}. Save it as UTF-8.") from error
    elif str(grid) in presets():
        text = presets()[str(grid)]
    else:
        raise UnknownName("preset of the benchmark", str(grid), presets(), "Or give a grid of your own, a .toml file.")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the grid {grid} is not TOML: {error}") from error
    return parse({"name": path.stem, **values}, roots)


def parse(values: Mapping[str, Any], roots: Mapping[str, str] | None = None) -> Grid:
    """Return the grid that the values of a TOML file describe; see `read`.

    Args:
        values: The values of the file.
        roots: As in `read`.

    Returns:
        The grid.

    Raises:
        UnknownName: as in `read`.
        InputError: as in `read`.
    """
    given = dict(values)
    for key in given:
        if key not in _KEYS:
            raise UnknownName("key of the grid", key, _KEYS)
    for key in ("name", "methods", "datasets"):
        if key not in given:
            raise InputError(f"the grid has no {key}. Every grid needs name, methods and datasets.")
    checked = {key: _KEYS[key](key, value) for key, value in given.items()}
    checked["params"] = _params(checked.get("params", {}), checked["methods"])
    checked["search"] = _search(checked.get("search", {}), checked["methods"])
    if checked["search"] and not checked.get("holdout"):
        raise InputError("search needs held-out good parts to judge on: add a holdout to the grid, holdout = 0.3")
    _known_preset(checked.get("preset"), checked["methods"])
    sources = checked.pop("datasets")
    for name in roots or {}:
        if name not in (source.name for source, _ in sources):
            raise UnknownName("data set of the grid", name, [source.name for source, _ in sources])
    moved = tuple((_rooted(source, roots or {}), chosen) for source, chosen in sources)
    return Grid(sources=moved, **checked)


def _protocols(key: str, value: Any) -> tuple[Protocol, ...]:
    """Return a protocol for every combination of the values that are lists."""
    found: dict[Protocol, None] = {}
    for one in _filled(key, value):
        settings = {"kind": one} if isinstance(one, str) else one
        if not isinstance(settings, dict):
            raise InputError(
                f"{key} holds {one!r}; a protocol is a name, or a table such as {{kind = 'few-shot', k = 4}}"
            )
        each = [_filled(f"{name} of {key}", one) if isinstance(one, list) else [one] for name, one in settings.items()]
        for values in itertools.product(*each):
            found[protocol(dict(zip(settings, values, strict=True)))] = None
    return tuple(found)


def _sources(key: str, value: Any) -> tuple[tuple[Source, tuple[str, ...] | None], ...]:
    found: dict[str, tuple[Source, tuple[str, ...] | None]] = {}
    for table in _filled(key, value):
        source, categories = _source(table)
        if source.name in found:
            raise InputError(
                f"two data sets of the grid are called {source.name!r}; give one of them another name = ..."
            )
        found[source.name] = source, categories
    return tuple(found.values())


def _source(table: Any) -> tuple[Source, tuple[str, ...] | None]:
    if not isinstance(table, dict) or not isinstance(table.get("kind"), str):
        raise InputError(f"datasets holds {table!r}; each is a table [[datasets]] with kind = a name of `blemish list`")
    for key in table:
        if key not in ("name", "kind", "root", "categories", "options", "make"):
            raise UnknownName("key of datasets", key, ("name", "kind", "root", "categories", "options", "make"))
    data = registry.dataset(table["kind"])
    kind = data.reference()
    name = _name("name of a data set", table.get("name", kind.rpartition(":")[2].lower()))
    if "make" in table and kind != "synthetic":
        raise InputError(f"data set {name!r} is of kind {kind!r}; only those of kind 'synthetic' can be made")
    if "make" not in table and "root" not in table:
        raise InputError(f"data set {name!r} has no root; say in which folder it lies: root = 'datasets/{kind}'")
    categories = None if table.get("categories", "all") == "all" else _texts("categories", table["categories"])
    for category in (categories or ()) if data.card.categories else ():
        if category not in data.card.categories and not (Path(str(table.get("root", ""))) / category).is_dir():
            raise UnknownName(f"category of {kind}", category, data.card.categories)
    options = _arguments(data.index, table.get("options", {}), f"option of {kind}", {"root", "category", "seed"})
    make = None
    if "make" in table:
        make = _arguments(synthetic.make, table["make"], "argument of make", {"root", "categories", "progress"})
    return Source(name, kind, _text("root", table.get("root", "")), options, make), categories


def _rooted(source: Source, roots: Mapping[str, str]) -> Source:
    return replace(source, root=roots.get(source.name, source.root))


def _params(value: Mapping[str, Any], methods: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found = {}
    for method, params in value.items():
        if method not in methods:
            raise UnknownName("method of params", method, methods, "It must be one of the grid's methods.")
        if isinstance(params, dict) and "seed" in params:
            raise InputError(
                f"params.{method} has a seed: all cells would share it. Leave it out; seeds = [...] gives each its own"
            )
        constructor = registry.method(method).__init__
        found[method] = _arguments(constructor, params, f"parameter of {method}", {"self"})
    return found


def _search(value: Mapping[str, Any], methods: tuple[str, ...]) -> dict[str, dict[str, list[Any]]]:
    """Return the values to try of each method's parameters, each of the parameter's type."""
    found: dict[str, dict[str, list[Any]]] = {}
    for method, grid in value.items():
        for name, values in _table(f"search.{method}", grid).items():
            each = [_params({method: {name: one}}, methods)[method][name] for one in _filled(f"search.{name}", values)]
            found.setdefault(method, {})[name] = each
    return found


def _arguments(function: Callable[..., Any], values: Any, kind: str, unless: set[str]) -> dict[str, Any]:
    pairs = [f"{name}={json.dumps(value)}" for name, value in _table(kind, values).items()]
    return named_values(function, pairs, kind, kind, unless=unless)


def _methods(key: str, value: Any) -> tuple[str, ...]:
    if value == "all":
        return registry.methods()
    found = tuple(dict.fromkeys(registry.method_name(name) for name in _texts(key, value)))
    for name in found:
        registry.method(name)  # a reference is looked up here
    return found


def _known_preset(preset: str | None, methods: tuple[str, ...]) -> None:
    known = sorted({name for method in methods for name in registry.method_card(method).presets}) or ["paper", "quick"]
    if preset is not None and preset not in known:
        raise UnknownName("preset of methods", preset, known)


def _filled(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{key} is {value!r}; it must be a list that is not empty")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{key} is {value!r}; it must be a text")
    return value


def _name(key: str, value: Any) -> str:
    """Return a text that can name a folder of results, and leads out of none."""
    name = _text(key, value)
    if name in ("", ".", "..") or any(letter in name for letter in "/\\\0"):
        raise InputError(f"{key} is {name!r}; a folder is called so, so it must be a name without / and \\")
    return name


def _texts(key: str, value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(f"an entry of {key}", one) for one in _filled(key, value)))


def _table(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{key} is {value!r}; it must be a table")
    return value


def _whole(least: int, most: int = 2**31) -> Callable[[str, Any], int]:
    def check(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise InputError(f"{key} is {value!r}; it must be a whole number from {least} to {most}")
        return value

    return check


def _seeds(key: str, value: Any) -> tuple[int, ...]:
    check = _whole(0)
    return tuple(dict.fromkeys(check(f"an entry of {key}", one) for one in _filled(key, value)))


def _number(least: float, below: float) -> Callable[[str, Any], float]:
    def check(key: str, value: Any) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value < below:
            raise InputError(f"{key} is {value!r}; it must be a number from {least:g} to below {below:g}")
        return float(value)

    return check


def _resolution(key: str, value: Any) -> str:
    if value not in RESOLUTIONS:
        raise UnknownName(key, str(value), RESOLUTIONS)
    return str(value)


def _judge(key: str, value: Any) -> str:
    if value not in get_args(Judge):
        raise UnknownName(key, str(value), get_args(Judge))
    return str(value)


_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "name": _name,
    "methods": _methods,
    "datasets": _sources,
    "seeds": _seeds,
    "protocols": _protocols,
    "preset": _text,
    "image_size": _whole(8, 8192),
    "batch_size": _whole(1),
    "holdout": _number(0, 1),
    "false_reject_rate": _number(1e-6, 1),
    "train_images": _whole(1),
    "patience": _whole(1),
    "resolution": _resolution,
    "limit_minutes": _number(1e-3, 1e6),
    "params": _table,
    "search": _table,
    "judge": _judge,
}
