"""Pictures of a verdict: heat over the part, outlines of what was found and of what was marked. No torch."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.files import write_atomically
from blemish.imaging import Image, Imaging, Mask, encode_png, resize, resize_mask
from blemish.types import Prediction

FOUND = (255, 255, 255)
MARKED = (60, 255, 120)

Pixels = NDArray[np.uint8]


def thumbnail(image: Image, side: int = 320) -> Pixels:
    """Return an image as uint8 with its longer side at most `side` pixels."""
    return (resize(image, fitting((image.shape[0], image.shape[1]), side)) * 255).round().astype(np.uint8)


def fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return (height, width) shrunk, never enlarged, so that the longer one is at most `side`."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def heat(picture: Pixels, map: Image, threshold: float | None) -> Pixels:
    """Lay a map over a picture of any size: clear where the score is low, from yellow to red where it is high.

    With a pixel threshold t the colours mean the same on every picture: heat begins at t - |t| / 4, is a quarter at t and
    full at t + 3 |t| / 4, also where scores are negative; for t = 0, which has no size, the map's own span stands for |t|.
    Without one they span the map from its median to its largest score.
    """
    low, high = float(np.median(map)), float(map.max())
    if threshold is not None:
        span = abs(threshold) or high - low
        low, high = threshold - 0.25 * span, threshold + 0.75 * span
    height, width = picture.shape[:2]
    share = np.clip((resize(map, (height, width)) - low) / max(high - low, 1e-12), 0, 1)[..., None]
    colours = cv2.applyColorMap(((0.55 + 0.4 * share) * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    alpha = 0.75 * np.sqrt(share)
    mixed: Pixels = (picture * (1 - alpha) + colours.reshape(picture.shape) * alpha).round().astype(np.uint8)
    return mixed


def outline(picture: Pixels, mask: Mask, colour: tuple[int, int, int]) -> Pixels:
    """Draw the border of a mask of any size onto a copy of the picture."""
    height, width = picture.shape[:2]
    shape = resize_mask(mask, (height, width)).astype(np.uint8)
    contours, _ = cv2.findContours(shape, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    drawn = picture.copy()
    cv2.drawContours(drawn, contours, -1, colour, thickness=max(1, round(max(height, width) / 300)))
    return drawn


def explain(image: Image, verdict: Prediction, threshold: float | None, side: int = 320) -> Pixels:
    """Return the part with heat and the outline of what was found, at most `side` pixels a side."""
    picture = thumbnail(image, side)
    if verdict.map is not None:
        picture = heat(picture, verdict.map, threshold)
    return picture if verdict.mask is None else outline(picture, verdict.mask, FOUND)


def save_overlay(path: Path, verdict: Prediction, imaging: Imaging, threshold: float | None) -> Path:
    """Write the part beside its explanation as a PNG; where `path` exists the new one is numbered. Returns the file."""
    image = imaging.read(verdict.key)
    side = 1024
    both = np.hstack([thumbnail(image, side), explain(image, verdict, threshold, side)])
    numbered = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in count(2))
    free = next(candidate for candidate in chain([path], numbered) if not candidate.exists())
    return write_atomically(free, lambda part: _write(part, both))


def _write(path: Path, pixels: NDArray[Any]) -> None:
    path.write_bytes(encode_png(pixels))
