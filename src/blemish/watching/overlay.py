"""The picture of a rejected part, under a name that follows from the part: done again, it replaces itself."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from blemish.imaging import Imaging
from blemish.report.pictures import save_overlay
from blemish.types import Prediction
from blemish.watching.part import Part

FOLDER = "overlays"
LONGEST = 150
"""Bytes of a file's name that are kept in its picture's name; most file systems allow 255 in all."""


def overlay_name(part: Part) -> str:
    """Return where the picture lies below the folder of results, with forward slashes."""
    place, tag = PurePosixPath(part.path), part.digest.hex()[:8]
    name = place.name if len(os.fsencode(place.name)) <= LONGEST else part.digest.hex()
    return str(PurePosixPath(FOLDER) / place.parent / f"{name}.{tag}.png")


def write_overlay(out: Path, part: Part, verdict: Prediction, imaging: Imaging, threshold: float | None) -> str:
    """Write the picture below `out` and return its place there.

    Raises:
        StorageError: it cannot be written.
        ImageError: the part's file cannot be read any more.
    """
    name = overlay_name(part)
    (out / name).unlink(missing_ok=True)  # from an attempt before a crash
    save_overlay(out / name, verdict, imaging, threshold)
    return name


def sweep_up(out: Path) -> None:
    """Remove half-written pictures that a kill has left below `out`."""
    for part in (out / FOLDER).rglob(".*.part"):
        part.unlink(missing_ok=True)
