"""The scripts of tools/texnet, imported as they import each other."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

TEXNET = Path(__file__).parents[2] / "tools" / "texnet"
NAMES = (
    "painters",
    "camera",
    "recipes",
    "defects",
    "episodes",
    "objective",
    "learner",
    "progress",
    "shipping",
    "starts",
    "train",
    "average",
    "validate",
    "quick",
    "contact_sheet",
)


@pytest.fixture(scope="session")
def tools() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(TEXNET))
    try:
        yield {name: importlib.import_module(name) for name in NAMES}
    finally:
        sys.path.remove(str(TEXNET))
        for name in [name for name in sys.modules if name.split(".")[0] in NAMES]:
            sys.modules.pop(name, None)


@pytest.fixture(scope="session")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts of tools/ that import each other."""
    names = ("measured_table", "measured", "method_source", "method_pages", "method_figures", "docs")
    sys.path.insert(0, str(TEXNET.parent))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(TEXNET.parent))
        for name in names:
            sys.modules.pop(name, None)
