"""A grid that is done in a moment: two methods on the striped parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blemish.benchmark.cells import Cell
from blemish.benchmark.reading import parse
from parts import write_folder

TINY = {"coreset_sampling_ratio": 0.2}


def tiny(folder: Path, **more: Any) -> dict[str, Any]:
    """The values of a grid on parts written below `folder`."""
    if not (folder / "parts").exists():
        write_folder(folder / "parts", good=12, bad=3, size=(32, 32))
    return {
        "name": "tiny",
        "methods": ["patchcore"],
        "image_size": 32,
        "batch_size": 4,
        "params": {"patchcore": TINY},
        "datasets": [{"name": "parts", "kind": "folder", "root": str(folder / "parts")}],
        **more,
    }


def cells(folder: Path, **more: Any) -> list[Cell]:
    """The cells of that grid."""
    return parse(tiny(folder, **more)).cells(folder / "out")
