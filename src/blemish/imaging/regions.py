"""Connected regions of a mask: 8 neighbours, so a diagonal scratch is one region; and where a map peaks. No torch."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.types import Peak, Region


def label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Return the regions of a (H, W) mask as an int32 map, 0 outside and 1 to count inside, and the count."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32), count - 1


def find(map: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[Region, ...]:
    """Return the regions of a (H, W) mask with box, area and peak of the map, the highest peak first."""
    if not mask.any():
        return ()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    inside = np.flatnonzero(mask)
    values, owners = map.ravel()[inside], labels.ravel()[inside].astype(np.intp)
    highest = np.full(count, -np.inf, values.dtype)
    np.maximum.at(highest, owners, values)
    at_peak = values == highest[owners]
    peaks = np.zeros(count, np.int64)
    peaks[owners[at_peak]] = inside[at_peak]  # of equal ones the last one stays
    found = []
    for (left, top, width, height, area), at in zip(stats[1:], peaks[1:], strict=True):
        y, x = divmod(int(at), mask.shape[1])
        box = (int(left), int(top), int(left + width), int(top + height))
        found.append(Region(box, int(area), float(map[y, x]), (x, y)))
    return tuple(sorted(found, key=lambda region: -region.peak))


def peak(map: NDArray[np.float32], valid: NDArray[np.bool_]) -> Peak | None:
    """Return the highest score of a (H, W) map where it is valid, and its place; None if nothing is valid."""
    _, value, _, at = cv2.minMaxLoc(map, valid.astype(np.uint8))
    return Peak(float(value), (int(at[0]), int(at[1]))) if at[0] >= 0 else None


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return (left, top, right, bottom) of all that a (H, W) mask marks, right and bottom exclusive; None if nothing is."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (int(left), int(top), int(left + width), int(top + height)) if width else None
