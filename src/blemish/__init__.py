"""blemish: learn what a good part looks like, then find, localise and explain defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.engine.engine import Engine
    from blemish.inspector import Inspector

__version__ = "0.1.0"
__all__ = ["Engine", "Inspector", "__version__"]

_PLACES = {"Engine": "blemish.engine", "Inspector": "blemish.inspector"}
"""Modules of the names that are loaded when they are asked for: they need torch, most of blemish does not."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        return getattr(importlib.import_module(_PLACES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "blemish":
            raise
        from blemish.errors import MissingExtra

        raise MissingExtra(f"{error.name}, which blemish.{name} needs,", "train") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
