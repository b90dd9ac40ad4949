"""Computed images of good and defective parts: six products, and what goes wrong with them.

`render` paints the same part twice, with and without its defect, and photographs both with the same camera. The mask is
where the two images differ, so it is exact by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import InputError, UnknownName
from blemish.data.record import GOOD
from blemish.data.synthetic.parts import blister, bottle_cap, flange
from blemish.data.synthetic.surface import UNITS, Camera, Field, Surface
from blemish.data.synthetic.textures import brushed_metal, fabric, wood_veneer

__all__ = ["CATEGORIES", "LARGEST", "SMALLEST", "render"]

Painter = Callable[[int, np.random.Generator, str, np.random.Generator], Surface]

CATEGORIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "blister": ("missing_pill", "broken_pill", "wrong_colour", "hair"),
        "bottle_cap": ("misprint", "scratch", "broken_rim", "dirt"),
        "brushed_metal": ("scratch", "dent", "stain", "rust"),
        "fabric": ("hole", "oil_stain", "pulled_thread", "foreign_yarn"),
        "flange": ("missing_hole", "scratch", "chipped_edge", "rust"),
        "wood_veneer": ("crack", "scratch", "glue", "wormholes"),
    }
)
"""Every product and its kinds of defects; a painter of the product's name paints it."""
_PAINTERS: Mapping[str, Painter] = {
    p.__name__: p for p in (blister, bottle_cap, brushed_metal, fabric, flange, wood_veneer)
}

SMALLEST, LARGEST = 64, 2048
FAINTEST = 3.0 / 255
"""A change below this, well within the noise, is left out of image and mask."""
VISIBLE = 9.0 / 255
"""The mean change inside a mask is at least this, or another defect is drawn."""
TRIES = 40


def render(
    category: str, kind: str, size: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Compute an image of a part and the mask of its defect.

    With the same state of `rng` a defective image equals the good one everywhere outside the mask, and inside it
    nothing changes beyond what a defect of this kind changes. A defect covers at least 20 pixels at size 256.

    Args:
        category: One of `CATEGORIES`.
        kind: "good" or one of `CATEGORIES[category]`.
        size: Side of the image in pixels, 64 to 2048.
        rng: Random generator.

    Returns:
        The image, (size, size, 3) uint8 RGB, and the mask, (size, size), empty for a good part.

    Raises:
        UnknownName: no such category or kind.
        InputError: `size` is not in 64 .. 2048.
    """
    if category not in CATEGORIES:
        raise UnknownName("category", category, CATEGORIES)
    if kind not in (GOOD, *CATEGORIES[category]):
        raise UnknownName(f"kind of {category}", kind, (GOOD, *CATEGORIES[category]))
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"size is {size}; a picture can be {SMALLEST} to {LARGEST} pixels wide")
    part, shot, fault = (int(seed) for seed in rng.integers(2**62, size=3))
    camera = Camera.draw(np.random.default_rng(shot), size)
    clean = camera.see(_paint(category, GOOD, size, part, fault))
    if kind == GOOD:
        return camera.expose(clean), np.zeros((size, size), bool)
    for attempt in range(TRIES):
        spoiled = camera.see(_paint(category, kind, size, part, fault + attempt))
        change = np.abs(np.clip(spoiled, 0, 1) - np.clip(clean, 0, 1)).max(axis=2)
        mask = _changed(change)
        if mask.sum() >= 24 * (size / UNITS) ** 2 and change[mask].mean() >= VISIBLE:
            return camera.expose(np.where(mask[..., None], spoiled, clean)), mask
    raise AssertionError(f"{category}/{kind}: no visible defect in {TRIES} tries")  # a painter is broken


def _paint(category: str, kind: str, size: int, part: int, fault: int) -> Surface:
    return _PAINTERS[category](size, np.random.default_rng(part), kind, np.random.default_rng(fault))


def _changed(change: Field) -> NDArray[np.bool_]:
    """Return where a defect shows: changed pixels, without crumbs of one or two, pores inside closed."""
    marked = (change > FAINTEST).astype(np.uint8)
    closed = cv2.morphologyEx(marked, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, facts, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    keep = facts[:, cv2.CC_STAT_AREA] >= 4
    keep[0] = False
    return np.asarray(keep[:count][labels])
