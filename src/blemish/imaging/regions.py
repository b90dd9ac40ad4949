"""Connected regions of a mask: 8 neighbours, so a diagonal scratch is one region; and where a map peaks. No torch."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.prediction import Peak, Region


def label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the regions of a mask.

    Args:
        mask: (H, W) bool.

    Returns:
        (labels, count): (H, W) int32, 0 outside and 1 to count inside, and the number of regions.
    """
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels, np.int32), count - 1


def find(map: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[Region, ...]:
    """Return the regions of a mask, with the peak of the map in each.

    Args:
        map: (H, W) float32 raw scores.
        mask: (H, W) bool.

    Returns:
        The regions, the highest peak first.
    """
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
    """Return the highest score of a map and its position.

    Args:
        map: (H, W) float32 raw scores.
        valid: (H, W) bool, True where pixels count.

    Returns:
        The peak; None if no pixel counts.
    """
    _, value, _, at = cv2.minMaxLoc(map, valid.astype(np.uint8))
    return Peak(float(value), (int(at[0]), int(at[1]))) if at[0] >= 0 else None


def bounds(mask: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return the box around all that a mask marks.

    Args:
        mask: (H, W) bool.

    Returns:
        (left, top, right, bottom) in pixels, right and bottom exclusive; None if nothing is marked.
    """
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return (int(left), int(top), int(left + width), int(top + height)) if width else None
