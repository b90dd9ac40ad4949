"""Pictures of a verdict: heat over the part, outlines of what was found and of what was marked. No torch."""

from __future__ import annotations

from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import ImageError, InputError
from blemish.core.files import storage_errors, write_atomically
from blemish.core.prediction import Prediction
from blemish.imaging.images import resize, resize_mask
from blemish.imaging.parts import preview
from blemish.imaging.reading import Image, Mask, encode_png
from blemish.inference.inspection import Inspection

FOUND = (255, 255, 255)
MARKED = (60, 255, 120)

Pixels = NDArray[np.uint8]


def thumbnail(image: Image, side: int = 320) -> Pixels:
    """Shrink an image for display.

    Args:
        image: (H, W, 3) float32 RGB in [0, 1].
        side: Pixels of the longer side at most.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    return (resize(image, fitting((image.shape[0], image.shape[1]), side)) * 255).round().astype(np.uint8)


def fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Shrink a size, never enlarge it, so that its longer side is at most `side`.

    Args:
        size: (height, width) in pixels.
        side: Pixels of the longer side at most.

    Returns:
        (height, width) in pixels, at least 1 each.
    """
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def heat(picture: Pixels, map: Image, threshold: float | None) -> Pixels:
    """Lay a map over a picture: clear where the score is low, from yellow to red where it is high.

    With a threshold t the colours mean the same on every picture: heat begins at t - |t| / 4, is a quarter at t and
    full at t + 3 |t| / 4, also where scores are negative; for t = 0, which has no size, the map's own span stands for
    |t|. Without one they span the map from its median to its largest score.

    Args:
        picture: (H, W, 3) uint8 RGB.
        map: (h, w) raw map of any size.
        threshold: Raw pixel score from which on a pixel is marked, or None.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    colours, alpha = warmth(warm_share(map, threshold, (height, width)))
    mixed: Pixels = (picture * (1 - alpha) + colours * alpha).round().astype(np.uint8)
    return mixed


def warm_share(map: Image, threshold: float | None, size: tuple[int, int]) -> Image:
    """Resize a map and convert its scores to shares of full heat.

    Args:
        map: (h, w) raw map.
        threshold: Raw pixel score as in `heat`, or None.
        size: (height, width) in pixels.

    Returns:
        (height, width) float32 in [0, 1]: 0 where heat begins, 1 at full heat.
    """
    low, high = float(np.median(map)), float(map.max())
    if threshold is not None:
        low, high = heat_ends(threshold, abs(threshold) or high - low)
    return np.asarray(np.clip((resize(map, size) - low) / max(high - low, 1e-12), 0, 1), np.float32)


def heat_ends(threshold: float, span: float) -> tuple[float, float]:
    """Return the scores at which heat begins and is full: 1/4 of a span below the threshold and 3/4 above.

    Args:
        threshold: Raw pixel score.
        span: Range of scores that the colours cover.

    Returns:
        The lower and the upper score.
    """
    return threshold - span / 4, threshold + 3 * span / 4


def warmth(share: Image) -> tuple[Pixels, Image]:
    """Convert shares of full heat to colours and opacities.

    Args:
        share: (H, W) float32 in [0, 1].

    Returns:
        Colours, (H, W, 3) uint8 RGB, and opacities, (H, W, 1) float32 in [0, 0.75].
    """
    steps = ((0.55 + 0.4 * share) * 255).astype(np.uint8)
    colours = np.asarray(cv2.applyColorMap(steps, cv2.COLORMAP_TURBO)[..., ::-1], np.uint8)
    return colours.reshape(*share.shape, 3), np.asarray(0.75 * np.sqrt(share)[..., None], np.float32)


def heat_layer(map: Image, threshold: float | None, side: int = 160) -> Pixels:
    """Return the heat of `heat` alone, for a page to draw over a picture.

    Args:
        map: (H, W) raw map.
        threshold: Raw pixel score as in `heat`, or None.
        side: Pixels of the longer side at most.

    Returns:
        (h, w, 4) uint8 RGB and opacity.
    """
    share = warm_share(map, threshold, fitting((map.shape[0], map.shape[1]), side))
    colours, alpha = warmth(share)
    return np.concatenate([colours, (alpha * 255).round().astype(np.uint8)], axis=2)


def contour(mask: Mask, size: tuple[int, int]) -> str:
    """Return the border of a mask as an SVG path; however small a region is, it is drawn.

    When the mask is shrunk, a pixel counts if anything in it is marked.

    Args:
        mask: (H, W) bool.
        size: (height, width) of the picture in pixels.

    Returns:
        The `d` of the path, "" for an empty mask.
    """
    shrinks = size[0] <= mask.shape[0] and size[1] <= mask.shape[1]
    marked = resize(mask.astype(np.float32), size) > 0 if shrinks else resize_mask(mask, size)
    contours, _ = cv2.findContours(marked.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    lines = (cv2.approxPolyDP(line, 0.6, True).reshape(-1, 2) for line in contours)
    return "".join("M" + "L".join(f"{x}.5 {y}.5" for x, y in line) + "Z" for line in lines)


def outline(picture: Pixels, mask: Mask, colour: tuple[int, int, int]) -> Pixels:
    """Draw the border of a mask onto a copy of a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        mask: (h, w) bool, of any size.
        colour: RGB, 0 to 255.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = picture.shape[:2]
    shape = resize_mask(mask, (height, width)).astype(np.uint8)
    contours, _ = cv2.findContours(shape, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    drawn = picture.copy()
    cv2.drawContours(drawn, contours, -1, colour, thickness=max(1, round(max(height, width) / 300)))
    return drawn


def explain(image: Image, verdict: Prediction, threshold: float | None, side: int = 320) -> Pixels:
    """Draw heat and the outline of what was found over a part.

    Args:
        image: (H, W, 3) float32 RGB in [0, 1].
        verdict: The verdict on it.
        threshold: Raw pixel score as in `heat`, or None.
        side: Pixels of the longer side at most.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    picture = thumbnail(image, side)
    if verdict.map is not None:
        picture = heat(picture, verdict.map, threshold)
    return picture if verdict.mask is None else outline(picture, verdict.mask, FOUND)


def folder_of_run(out: Path) -> Path:
    """Return a folder for a run's pictures, apart from those of earlier runs.

    Args:
        out: The folder the user chose.

    Returns:
        `out`, or, if it holds pictures already, a new folder in it: run-2, run-3, ...

    Raises:
        StorageError: the new folder cannot be made.
    """
    if not out.is_dir() or next(out.rglob("*.png"), None) is None:
        return out
    for number in count(2):
        run = out / f"run-{number}"
        with storage_errors(run), suppress(FileExistsError):  # of an earlier run, or one that runs now
            run.mkdir()
            return run
    raise AssertionError("there is always a next number")


def save_overlay(path: Path, verdict: Prediction, image: Image, threshold: float | None) -> Path:
    """Write a part next to its explanation as a PNG.

    Args:
        path: File to write; if it exists, the new one is numbered.
        verdict: The verdict on it.
        image: (H, W, 3) float32 RGB in [0, 1], see `blemish.imaging.parts.preview`.
        threshold: Raw pixel score as in `heat`, or None.

    Returns:
        The file written.

    Raises:
        StorageError: the picture cannot be written.
    """
    side = 1024
    both = np.hstack([thumbnail(image, side), explain(image, verdict, threshold, side)])
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    free = next(candidate for candidate in chain([path], numbered) if not candidate.exists())
    return write_atomically(free, lambda part: _write(part, both))


def _write(path: Path, pixels: NDArray[Any]) -> None:
    path.write_bytes(encode_png(pixels))


def picture(verdict: Prediction, inspector: Inspection, image: Any = None, *, side: int = 1024) -> Pixels:
    """Draw a verdict: `plt.imshow(picture(verdict, inspector))`.

    Args:
        verdict: The verdict to draw.
        inspector: The Inspector or Runtime that gave it; it has the way images are read and the pixel threshold.
        image: What was inspected: a file, an array (RGB), bytes or a mapping; by default the file that the verdict names.
        side: Pixels of the longer side at most.

    Returns:
        (H, W, 3) uint8 RGB.

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
    pixels = preview(inspector.imaging, verdict.key if image is None else image, inspector.inputs)
    if verdict.map is not None and verdict.map.shape != pixels.shape[:2]:
        raise InputError(
            f"the verdict's map is {verdict.map.shape} and the image {pixels.shape[:2]} (height, width): another image. "
            f"The verdict is on {verdict.key!r}."
        )
    calibration = inspector.calibration
    return explain(pixels, verdict, None if calibration is None else calibration.pixel_threshold, side)
