"""The methods and data sets there are, found by file name, and the methods' cards, which need no torch."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blemish.core.card import Card, Paper, Preset, Reported
from blemish.core.errors import UnknownName

if TYPE_CHECKING:
    from types import ModuleType

    from blemish.core.detector import Detector
    from blemish.data.datamodule import DataModule

METHODS, DATASETS = "blemish.models", "blemish.data.datasets"
"""The packages that are searched. They are layers above this one, which therefore imports them by name."""

TRAININGS = ("steps", "encoder_steps", "teacher_steps")
"""The hyper-parameters that are numbers of training steps."""


def methods() -> tuple[str, ...]:
    """Return the names of all methods."""
    names: tuple[str, ...] = _package(METHODS).NAMES
    return names


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
    """Return a method's CARD without importing the method, which would need torch.

    The card is one literal expression in the method's file; it is evaluated alone.

    Args:
        name: The method's name, in any spelling.

    Returns:
        The card.

    Raises:
        UnknownName: no such method, or it has no card.
    """
    folder = Path(_package(METHODS).__path__[0])
    tree = ast.parse((folder / f"{_method_name(name)}.py").read_text(encoding="utf-8"))
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
        name: The name of its file, of the class in any spelling, or its name in other libraries (Stfpm).

    Returns:
        The class.

    Raises:
        UnknownName: no such method; the message suggests the nearest.
        MissingExtra: torch, or what else it needs, is not installed.
    """
    found: type[Detector] = _package(METHODS).find(_method_name(name))
    return found


def _method_name(name: str) -> str:
    folded = name.lower().replace("_", "").replace("-", "")
    folded = _package(METHODS).ALIASES.get(folded, folded)
    for known in methods():
        if known.replace("_", "") == folded:
            return known
    raise UnknownName("method", name, methods())


def list_methods() -> list[str]:
    """Return the names of all methods; `create_method` makes one."""
    return list(methods())


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
    return found


def dataset(name: str) -> type[DataModule]:
    """Return a data set's class.

    Args:
        name: The name of its file or of the class, in any spelling.

    Returns:
        The class.

    Raises:
        UnknownName: no such data set; the message suggests the nearest.
    """
    folded = name.lower().replace("_", "").replace("-", "")
    for known, found in datasets().items():
        if folded in (known.replace("_", ""), found.__name__.lower()):
            return found
    raise UnknownName("data set", name, datasets())


def _package(name: str) -> ModuleType:
    return importlib.import_module(name)
