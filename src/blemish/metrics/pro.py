"""How well a map covers each defect, large or small: the per-region overlap (PRO) and its saturated form (sPRO).

PRO at a threshold is the mean over all defect regions of the share of their pixels that is marked, so a scratch weighs
as much as a dent. It is drawn against the share of good pixels marked, over all images, and its area up to a limit is
divided by that limit: a perfect map gives 1, a constant one limit / 2.

Bergmann et al., "The MVTec Anomaly Detection Dataset" (IJCV 129, 2021); saturation: "Beyond Dents and Scratches"
(IJCV 130, 2022). The values are those of the data set authors' code for MVTec AD: every distinct score is a threshold,
regions have 8 neighbours, ties count once. Their code for MVTec LOCO places thresholds at random and counts ties in
favour of the detector; here sPRO is exact as well.

Pixels outside `valid` are neither good nor defective. Regions are found before that, so an ignored strip does not cut
a defect in two; one wholly outside does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError
from blemish.imaging.regions import label as regions
from blemish.metrics.counts import (
    Mask,
    Row,
    Scores,
    aligned,
    area,
    binary,
    both,
    count_thresholds,
    curve,
    finite,
    fraction,
    picture,
)

__all__ = ["aupro", "auspro", "pro_curve", "regions", "spro_curve"]


def pro_curve(
    maps: Sequence[ArrayLike], masks: Sequence[ArrayLike], valid: Sequence[ArrayLike] | None = None
) -> tuple[Row, Row, Row]:
    """Compute the corners of the PRO curve; each point is the result of `score >= threshold`.

    Args:
        maps: Raw maps, (H, W), of any sizes.
        masks: Binary masks, (H, W); a good image's mask is empty.
        valid: Binary, (H, W), 1 where pixels count; everywhere by default.

    Returns:
        (fpr, pro, thresholds), thresholds falling: from (0, 0) at threshold infinity to (1, 1).

    Raises:
        InputError: NaN or infinity, shapes that do not fit, masks that are not binary, no good or no defective pixel.
    """
    return _curve(maps, masks, valid, None, None)


def aupro(
    maps: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    limit: float = 0.3,
    valid: Sequence[ArrayLike] | None = None,
) -> float:
    """Compute the area under the PRO curve up to a limit, divided by that limit.

    Args:
        maps: Raw maps, (H, W), of any sizes.
        masks: Binary masks, (H, W); a good image's mask is empty.
        limit: Largest share of good pixels marked, in (0, 1].
        valid: Binary, (H, W), 1 where pixels count; everywhere by default.

    Returns:
        The area, in [0, 1].

    Raises:
        InputError: as `pro_curve`, or the limit is not in (0, 1].
    """
    fraction("limit", limit)
    x, y, _ = pro_curve(maps, masks, valid)
    return float(area(x, y, 0.0, limit))


def spro_curve(
    maps: Sequence[ArrayLike],
    instances: Sequence[Sequence[ArrayLike]],
    saturations: Sequence[Sequence[float]] | None = None,
    valid: Sequence[ArrayLike] | None = None,
) -> tuple[Row, Row, Row]:
    """Compute the corners of the saturated PRO curve; a pixel is good if no instance holds it.

    Args:
        maps: Raw maps, (H, W), of any sizes.
        instances: For each image its defects' binary masks, (H, W): none for a good image, several for several defects,
            which may overlap and need not be connected.
        saturations: For each image and defect the pixels, once marked, that cover it; at most its area, the default.
        valid: Binary, (H, W), 1 where pixels count; everywhere by default.

    Returns:
        (fpr, spro, thresholds), as `pro_curve`.

    Raises:
        InputError: as `pro_curve`, or a saturation is not positive.
    """
    aligned(maps=maps, instances=instances, saturations=saturations)
    masks = [union(np.shape(map), masks) for map, masks in zip(maps, instances, strict=True)]
    return _curve(maps, masks, valid, instances, saturations)


def auspro(
    maps: Sequence[ArrayLike],
    instances: Sequence[Sequence[ArrayLike]],
    saturations: Sequence[Sequence[float]] | None = None,
    limit: float = 0.05,
    valid: Sequence[ArrayLike] | None = None,
) -> float:
    """Compute the area under the sPRO curve up to a limit, divided by that limit.

    Args:
        maps: Raw maps, (H, W), of any sizes.
        instances: For each image its defects' binary masks, (H, W), as `spro_curve`.
        saturations: For each image and defect the pixels that cover it, as `spro_curve`.
        limit: Largest share of good pixels marked, in (0, 1].
        valid: Binary, (H, W), 1 where pixels count; everywhere by default.

    Returns:
        The area, in [0, 1].

    Raises:
        InputError: as `spro_curve`, or the limit is not in (0, 1].
    """
    fraction("limit", limit)
    x, y, _ = spro_curve(maps, instances, saturations, valid)
    return float(area(x, y, 0.0, limit))


def union(shape: tuple[int, ...], instances: Sequence[ArrayLike]) -> Mask:
    """Return the pixels that any instance holds.

    Args:
        shape: (H, W) of the image.
        instances: Binary masks of its defects, (H, W).

    Returns:
        (H, W) mask.

    Raises:
        InputError: an instance has another shape, or is not binary.
    """
    whole = np.zeros(shape, np.bool_)
    for instance in instances:
        mask = binary("instance", instance)
        if mask.shape != shape:
            raise InputError(f"an instance has shape {mask.shape}, its map {shape}; they must be equal")
        whole |= mask
    return whole


def overlaps(map: NDArray[Any], mask: Mask, valid: Mask | None) -> tuple[Scores, Row]:
    """Return the scores of an image's defective pixels and what each adds to its region's overlap.

    Args:
        map: (H, W) raw map.
        mask: (H, W) mask of the defects.
        valid: (H, W), True where pixels count; None means everywhere.

    Returns:
        Scores and shares of a region's area, (n,) each.

    Raises:
        InputError: a score is NaN or infinite.
    """
    inside = mask if valid is None else mask & valid
    if not inside.any():
        return np.zeros(0, np.float32), np.zeros(0)
    labels, count = regions(mask)
    ids = labels[inside]
    areas = np.bincount(ids, minlength=count + 1)
    return finite("map", map[inside]), 1.0 / areas[ids]


def saturated(
    map: NDArray[Any], instances: Sequence[ArrayLike], saturations: Sequence[float] | None, valid: Mask | None
) -> tuple[Scores, Row]:
    """Return the scores of all pixels of all instances and what each adds to its instance's saturated overlap.

    The highest scores fill an instance, 1 / saturation each; those after it is full add nothing.

    Args:
        map: (H, W) raw map.
        instances: Binary masks of the image's defects, (H, W).
        saturations: Pixels that cover each defect, at most its area, the default.
        valid: (H, W), True where pixels count; None means everywhere.

    Returns:
        Scores and shares of a saturation, (n,) each.

    Raises:
        InputError: the numbers of instances and saturations differ, a saturation is not positive, or a score is NaN or
            infinite.
    """
    aligned(instances=instances, saturations=saturations)
    scores: list[Scores] = [np.zeros(0, np.float32)]
    weights = [np.zeros(0)]
    for i, instance in enumerate(instances):
        mask = binary("instance", instance)
        values = np.sort(finite("map", map[mask if valid is None else mask & valid]))[::-1]
        full = float(len(values) if saturations is None else saturations[i])
        if saturations is not None and not full > 0:
            raise InputError(f"a saturation is {saturations[i]}; it must be a positive number of pixels")
        if len(values):
            full = min(full, len(values))
            scores.append(values)
            weights.append(np.clip(full - np.arange(len(values)), 0, 1) / full)
    return np.concatenate(scores), np.concatenate(weights)


def _curve(
    maps: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    valid: Sequence[ArrayLike] | None,
    instances: Sequence[Sequence[ArrayLike]] | None,
    saturations: Sequence[Sequence[float]] | None,
) -> tuple[Row, Row, Row]:
    aligned(maps=maps, masks=masks, valid=valid)
    good: list[Scores] = [np.zeros(0, np.float32)]
    bad: list[Scores] = [np.zeros(0, np.float32)]
    weights = [np.zeros(0)]
    for i, (map, mask) in enumerate(zip(maps, masks, strict=True)):
        scores, truth, where = picture(map, mask, None if valid is None else valid[i], f"map {i}")
        good.append(finite(f"map {i}", scores[~truth if where is None else where & ~truth]))
        if instances is None:
            covered = overlaps(scores, truth, where)
        else:
            covered = saturated(scores, instances[i], None if saturations is None else saturations[i], where)
        bad.append(covered[0])
        weights.append(covered[1])
    all_good, all_bad = np.concatenate(good), np.concatenate(bad)
    both(len(all_good), len(all_bad), "pixels")
    thresholds, counts, amounts = count_thresholds(all_good, all_bad, np.concatenate(weights))
    return *curve(counts, amounts), np.append(np.inf, thresholds)
