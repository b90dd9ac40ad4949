"""Methods and data sets of other packages: by entry point, or by reference, "package.module:Class".

A package registers what it brings in its pyproject.toml; names are then known as ours are:

    [project.entry-points."blemish.methods"]
    nearest_mean = "own_method:NearestMean"

Only what somebody asks for is imported, or what an installed package has registered; never what a file alone names.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from blemish.core.errors import InputError

GROUPS = ("blemish.methods", "blemish.datasets", "blemish.backbones")


@cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Return what the installed packages register.

    Args:
        group: One of GROUPS.

    Returns:
        Entry points by name, sorted; of two packages with one name the first, by the package's name.
    """
    found = sorted(entry_points(group=group), key=lambda point: (point.name, point.value), reverse=True)
    return dict(sorted((point.name, point) for point in found))


def imported(reference: str, base: type) -> type[Any]:
    """Import a class by reference.

    Args:
        reference: "package.module:Class".
        base: What it must be a subclass of.

    Returns:
        The class.

    Raises:
        InputError: there is no such module or class, or it is no subclass.
    """
    place, _, name = reference.partition(":")
    if not all(part.isidentifier() for part in (*place.split("."), *name.split("."))):
        raise InputError(f"{reference!r} must be package.module:Class, for example own_method:UsualTexture")
    try:
        found: Any = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if (error.name or "") not in (place, *(place[:i] for i, letter in enumerate(place) if letter == ".")):
            raise
        raise InputError(
            f"{reference!r}: there is no module {place!r} to import. Install its package (pip install -e FOLDER), or put "
            "its folder on PYTHONPATH."
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    return _checked(reference, found, base)


def registered(reference: str) -> bool:
    """Return whether an installed package registers what is referred to.

    Args:
        reference: "package.module:Class", or of a backbone "package.module:callable".

    Returns:
        True if one of GROUPS names it.
    """
    return any(point.value == reference for group in GROUPS for point in installed(group).values())


def loaded(reference: str, base: type) -> type[Any] | None:
    """Return a class that is imported or registered already; nothing is imported that nobody asked for.

    Args:
        reference: "package.module:Class".
        base: What it must be a subclass of.

    Returns:
        The class, or None.
    """
    place, _, name = reference.partition(":")
    if registered(reference):
        return imported(reference, base)
    found: Any = sys.modules.get(place)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, base) else None


def _checked(reference: str, found: Any, base: type) -> type[Any]:
    if not (isinstance(found, type) and issubclass(found, base)):
        kind = (
            "does not exist" if found is None else "is no class" if not isinstance(found, type) else "is another class"
        )
        raise InputError(f"{reference!r} must name a subclass of blemish's {base.__name__}; it {kind}.")
    return found
