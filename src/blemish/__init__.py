"""blemish: learn what a good part looks like, then find, localise and explain defects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blemish.core.prediction import Prediction
    from blemish.core.registry import create_method, list_datasets, list_methods
    from blemish.data.datasets.folder import Folder
    from blemish.engine.engine import Engine
    from blemish.features import list_backbones
    from blemish.inference.inspector import Inspector
    from blemish.inference.loading import load

__version__ = "0.1.0"
__all__ = [
    "Engine",
    "Folder",
    "Inspector",
    "Prediction",
    "create_method",
    "list_backbones",
    "list_datasets",
    "list_methods",
    "load",
]

_PLACES = {
    "Engine": "blemish.engine",
    "Folder": "blemish.data",
    "Inspector": "blemish.inference.inspector",
    "Prediction": "blemish.core.prediction",
    "create_method": "blemish.core.registry",
    "list_backbones": "blemish.features",
    "list_datasets": "blemish.core.registry",
    "list_methods": "blemish.core.registry",
    "load": "blemish.inference.loading",
}
"""Modules of the names, which are loaded when they are asked for: some need torch, most of blemish does not."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    try:
        return getattr(importlib.import_module(_PLACES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "blemish":
            raise
        from blemish.core.errors import MissingExtra

        raise MissingExtra(f"{error.name}, which blemish.{name} needs,", "train") from error


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
