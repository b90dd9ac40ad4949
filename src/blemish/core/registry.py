"""The methods and data sets there are, and their cards: ours by file name, those of other packages by `core.plugins`."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.errors import FormatError, UnknownName
from blemish.core.plugins import imported, installed, loaded

if TYPE_CHECKING:
    from types import ModuleType

    from blemish.core.detector import Detector
    from blemish.data.datamodule import DataModule

METHODS, DATASETS = "blemish.models", "blemish.data.datasets"
"""The packages that are searched. They are layers above this one, which therefore imports them by name."""

TRAININGS = ("steps", "encoder_steps", "teacher_steps")
"""The hyper-parameters that are numbers of training steps."""


def methods() -> tuple[str, ...]:
    """Return the names of our methods."""
    names: tuple[str, ...] = _package(METHODS).NAMES
    return names


def known_methods() -> tuple[str, ...]:
    """Return the names of our methods and of those that installed packages register."""
    return (*methods(), *(name for name in installed("blemish.methods") if name not in methods()))


@cache
def preset(name: str, wanted: str) -> Preset:
    """Return a method's settings for one purpose.

    Args:
        name: The method's name, in any spelling.
        wanted: "quick" or "paper".

    Returns:
        The preset of its card.

    Raises:
        UnknownName: there is no such method, or it has no such preset (methods that are not trained have none).
    """
    known = method_card(name).presets
    if wanted not in known:
        hint = "" if known else f"{name} is not trained by gradients and needs none."
        raise UnknownName(f"preset of {name}", wanted, list(known), hint)
    return known[wanted]


def training(params: Mapping[str, Any], image_size: int, batch_size: int) -> str:
    """Return as text how long a method is trained.

    Args:
        params: The method's hyper-parameters.
        image_size: Side of the network's input, in pixels.
        batch_size: Images per batch.

    Returns:
        "400 steps at 128 x 128 pixels, in batches of 8"; empty if the method is not trained by gradients.
    """
    length = " and ".join(f"{params[name]:,} {name.replace('_', ' ')}" for name in TRAININGS if name in params)
    return f"{length} at {image_size} x {image_size} pixels, in batches of {batch_size}" if length else ""


def method_card(name: str) -> Card:
    """Return a method's CARD, of our methods without importing them, which would need torch.

    The card is one literal expression in the method's file; it is evaluated alone. Another package's method has the CARD
    of its module, if its name is the class's; otherwise one is made of the class and its docstring.

    Args:
        name: The method's name, in any spelling, or "package.module:Class".

    Returns:
        The card.

    Raises:
        UnknownName: no such method.
    """
    folder, known = Path(_package(METHODS).__path__[0]), method_name(name)
    if known not in methods():
        found = method(name)
        card = getattr(importlib.import_module(found.__module__), "CARD", None)
        idea = (found.__doc__ or "").strip().partition("\n")[0]
        own = isinstance(card, Card) and card.name == found.__name__
        return card if own else Card(found.__name__, idea, "own", Paper(found.reference(), "", 0))  # type: ignore[return-value]
    tree = ast.parse((folder / f"{known}.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CARD":
            code = compile(ast.Expression(node.value), name, "eval")
            names = {"Card": Card, "Paper": Paper, "Preset": Preset, "Reported": Reported}
            card = eval(code, {"__builtins__": {}, **names})  # noqa: S307
            assert isinstance(card, Card)  # noqa: S101 - the contract suite checks it for every method
            return card
    raise UnknownName("method with a CARD", name, methods())


def method(name: str) -> type[Detector]:
    """Return a method's class.

    Args:
        name: The name of its file, of the class in any spelling, or its name in other libraries (Stfpm); a name that an
            installed package registers, or "package.module:Class".

    Returns:
        The class.

    Raises:
        UnknownName: no such method; the message suggests the nearest.
        InputError: a reference names nothing that can be imported, or no method.
        MissingExtra: torch, or what else it needs, is not installed.
    """
    known = method_name(name)
    if known in methods():
        found: type[Detector] = _package(METHODS).find(known)
        return found
    points = installed("blemish.methods")
    return imported(points[known].value if known in points else name, _base())


def saved_method(stored: str, path: Path | str, asked: str | type[Detector] | None = None) -> type[Detector]:
    """Return the class of a saved file's method, without importing what the file alone names.

    Args:
        stored: The name in the file: "PatchCore", or "package.module:Class".
        path: The file, for messages.
        asked: The method that the user expects in it: a name, a reference or the class.

    Returns:
        The class.

    Raises:
        FormatError: the file holds a method that is neither ours, nor registered, nor asked for, or another than asked for.
        UnknownName: as `method`.
        InputError: as `method`.
    """
    if asked is not None:
        found = method(asked) if isinstance(asked, str) else asked
        if found.reference() != stored:
            raise FormatError(f"{path} holds the method {stored}, not {found.reference()}.")
        return found
    if ":" not in stored:
        return method(stored)
    known: type[Detector] | None = loaded(stored, _base())
    if known is None:
        raise FormatError(
            f"{path} holds a method of another package, {stored}, which is not registered here. Install that package; if "
            f"it registers nothing and you trust the file, ask for it: load(path, method={stored!r}), --method {stored}"
        )
    return known


def _base() -> type[Detector]:
    from blemish.core.detector import Detector

    return Detector


def method_name(name: str) -> str:
    """Return the one name of a method that may be spelled in several ways.

    Args:
        name: As `method` takes it.

    Returns:
        The name of our method's file, a registered name, or a reference.

    Raises:
        UnknownName: no such method; a reference is not looked up.
    """
    if ":" in name:
        return name
    folded = name.lower().replace("_", "").replace("-", "")
    folded = _package(METHODS).ALIASES.get(folded, folded)
    for known in known_methods():
        if known.lower().replace("_", "").replace("-", "") == folded:
            return known
    raise UnknownName("method", name, known_methods(), "Another package's is named package.module:Class.")


def list_methods() -> list[str]:
    """Return the names of all methods, ours and those that installed packages register; `create_method` makes one."""
    return list(known_methods())


def list_datasets() -> list[str]:
    """Return the names of all data sets; their classes are in `blemish.data`."""
    return list(datasets())


def create_method(name: str, **params: Any) -> Detector:
    """Make a new detector.

    Args:
        name: The method's name, in any spelling.
        **params: Hyper-parameters that differ from the method's defaults.

    Returns:
        The detector, not fitted.

    Raises:
        UnknownName: no such method or hyper-parameter; the message suggests the nearest.
        MissingExtra: torch, or what else the method needs, is not installed.
    """
    return method(name)(**params)


@cache
def datasets() -> dict[str, type[DataModule]]:
    """Return every data set's class by the name of its file."""
    base = importlib.import_module("blemish.data.datamodule").DataModule
    found: dict[str, type[DataModule]] = {}
    for module in pkgutil.iter_modules(_package(DATASETS).__path__):
        place = f"{DATASETS}.{module.name}"
        own = [v for v in vars(importlib.import_module(place)).values() if getattr(v, "__module__", "") == place]
        found.update((module.name, v) for v in own if isinstance(v, type) and issubclass(v, base))
    for name, point in installed("blemish.datasets").items():
        found.setdefault(name, imported(point.value, base))
    return found


def dataset(name: str) -> type[DataModule]:
    """Return a data set's class.

    Args:
        name: The name of its file or of the class, in any spelling; or "package.module:Class".

    Returns:
        The class.

    Raises:
        UnknownName: no such data set; the message suggests the nearest.
        InputError: a reference names nothing that can be imported, or no data set.
    """
    if ":" in name:
        return imported(name, importlib.import_module("blemish.data.datamodule").DataModule)
    folded = name.lower().replace("_", "").replace("-", "")
    for known, found in datasets().items():
        if folded in (known.replace("_", ""), found.__name__.lower()):
            return found
    raise UnknownName("data set", name, datasets())


def _package(name: str) -> ModuleType:
    return importlib.import_module(name)
