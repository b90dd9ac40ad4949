"""One verdict as a picture: the part, the heat of its map, the outline of what was found. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from blemish.errors import ImageError, InputError
from blemish.inspection import Inspection
from blemish.report.pictures import Pixels, explain
from blemish.types import Prediction


def picture(verdict: Prediction, inspector: Inspection, image: Any = None, *, side: int = 1024) -> Pixels:
    """Return a verdict as (H, W, 3) uint8 RGB, its longer side at most `side` pixels: `plt.imshow(picture(...))`.

    `inspector` is who gave the verdict: an Inspector or a Runtime; it knows how images are read, and from which score on
    a pixel is marked. `image` is what it looked at, a file or an array (RGB); by default the file that the verdict names.

    Raises:
        ImageError: the part could not be inspected, or its file cannot be read now.
        InputError: the verdict is on an array and `image` is not given, or `image` has another size than its map.
    """
    if verdict.error is not None:
        raise ImageError(verdict.error)
    if image is None and not Path(verdict.key).exists():
        raise InputError(
            f"the verdict is on {verdict.key!r}, which is no file here. Give what was looked at: "
            "picture(verdict, inspector, image)"
        )
    pixels = inspector.imaging.read(verdict.key if image is None else image)
    if verdict.map is not None and verdict.map.shape != pixels.shape[:2]:
        raise InputError(
            f"the verdict's map is {verdict.map.shape} and the image {pixels.shape[:2]} (height, width): another image. "
            f"The verdict is on {verdict.key!r}."
        )
    calibration = inspector.calibration
    return explain(pixels, verdict, None if calibration is None else calibration.pixel_threshold, side)
