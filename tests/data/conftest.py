"""Tiny trees of tiny images, in whatever layout a test asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

Draw = Callable[..., Path]
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    """Write 4 x 4 grey images of one value below tmp_path (or `at`); the suffix decides the format."""

    def write(*names: str, value: int = 0, at: Path = tmp_path) -> Path:
        for name in names:
            path = at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _, coded = cv2.imencode(path.suffix.lower(), np.full((4, 4), value, np.uint8))
            path.write_bytes(coded.tobytes())
        return at

    return write


@pytest.fixture
def real() -> Callable[[str], Path]:
    """Return the folder of a real copy, or skip."""

    def find(name: str) -> Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"no copy of {name} in {SHARED.name}/ beside the repository")
        return SHARED / name

    return find
