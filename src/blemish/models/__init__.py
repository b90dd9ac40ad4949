"""The methods, one file each. `from blemish.models import PatchCore` finds the file by the class's name."""

from __future__ import annotations

import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

from blemish.core.errors import MissingExtra

if TYPE_CHECKING:
    from blemish.core.detector import Detector

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))
"""The available methods, as the command line names them."""

ALIASES = {"reversedistillation": "rd4ad", "stfpm": "stpm"}
"""Names that other libraries use, in lower case without underscores, and the methods they stand for."""


__all__ = [  # read, not imported, which would need torch
    name
    for module in NAMES
    for name in re.findall(r"(?m)^class (\w+)\(Detector\)", Path(__path__[0], f"{module}.py").read_text("utf-8"))
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> type[Detector]:
    return find(name)


def find(name: str) -> type[Detector]:
    """Return a method's class by its name in any spelling of upper and lower case: PatchCore, Patchcore, patchcore.

    Args:
        name: The class or its module, with or without underscores; names that other libraries use, such as Stfpm and
            ReverseDistillation, are known too.

    Returns:
        The class, a subclass of `Detector`.

    Raises:
        AttributeError: no such method.
        MissingExtra: torch, or what else the method needs, is not installed.
    """
    import importlib

    folded = name.lower().replace("_", "")
    folded = ALIASES.get(folded, folded)
    for module_name in NAMES:
        if module_name.replace("_", "") == folded:
            try:
                module = importlib.import_module(f"{__name__}.{module_name}")
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] == "blemish":
                    raise
                raise MissingExtra(f"{error.name}, which the methods need,", "train") from error
            found: type[Detector]
            for key, found in vars(module).items():
                if isinstance(found, type) and key.lower() == module_name.replace("_", ""):
                    return found
    raise AttributeError(f"blemish.models has no {name!r}; methods: {', '.join(NAMES)}")
