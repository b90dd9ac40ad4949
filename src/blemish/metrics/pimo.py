"""How well single defective images are covered while next to nothing is marked on good ones: AUPIMO.

For each defective image: the share of its defective pixels marked (no regions), against the mean over the good images
of the share of their pixels marked, on a logarithmic axis between two very small bounds.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance"
(arXiv 2401.01984). Their code samples 300 000 thresholds; here every distinct score of the good images is one, and
where good and defective pixels tie the curve is a line on the logarithmic axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from blemish.core.errors import InputError
from blemish.metrics.counts import Row, Scores, aligned, area, finite, picture

BOUNDS = (1e-5, 1e-4)
ROUNDING = 1e-12  # shares of pixels are sums: one pixel of n may be a little more than 1 / n


def aupimo(
    maps: Sequence[ArrayLike],
    masks: Sequence[ArrayLike],
    bounds: tuple[float, float] = BOUNDS,
    valid: Sequence[ArrayLike] | None = None,
) -> Row:
    """Compute AUPIMO for each defective image.

    An image without a defective pixel is good and measures how much is marked wrongly.

    Args:
        maps: Raw maps, (H, W), of any sizes.
        masks: Binary masks, (H, W); a good image's mask is empty.
        bounds: Range of the share of good pixels marked, 0 < low < high <= 1.
        valid: Binary, (H, W): pixels outside do not count; an image whose defect is wholly outside is left out.

    Returns:
        One score in [0, 1] for each image with a defective pixel, in their order.

    Raises:
        InputError: NaN or infinity, shapes that do not fit, no good or no defective image, or bounds that the good
            images cannot reach because they have too few pixels or too few distinct scores.
    """
    aligned(maps=maps, masks=masks, valid=valid)
    good, bad = [], []
    for i, (map, mask) in enumerate(zip(maps, masks, strict=True)):
        scores, truth, where = picture(map, mask, None if valid is None else valid[i], f"map {i}")
        inside = truth if where is None else truth & where
        if inside.any():
            bad.append(finite(f"map {i}", scores[inside]))
        elif not truth.any() and (where is None or where.any()):
            good.append(finite(f"map {i}", scores if where is None else scores[where]).ravel())
    if not good or not bad:
        raise InputError(f"AUPIMO needs good and defective images; there are {len(good)} and {len(bad)}")
    levels, which = np.unique(np.concatenate(good), return_inverse=True)
    weights = np.concatenate([np.full(len(scores), 1 / (len(good) * len(scores))) for scores in good])
    return pimo_areas(levels[::-1], np.bincount(which, weights)[::-1].astype(np.float64), bad, bounds)


def pimo_areas(levels: Scores, weights: Row, images: Iterable[Scores], bounds: tuple[float, float]) -> Row:
    """Compute the area under each defective image's curve.

    Args:
        levels: (L,) distinct scores of the good images, falling.
        weights: (L,) mean share of the good images' pixels at each level.
        images: Scores of the defective pixels of each defective image, (n,) each.
        bounds: Range of the share of good pixels marked, 0 < low < high <= 1.

    Returns:
        One area in [0, 1] for each defective image.

    Raises:
        InputError: the bounds are not 0 < low < high <= 1, or no level reaches them.
    """
    low, high = bounds
    if not 0 < low < high <= 1:
        raise InputError(f"bounds are {bounds}; they must be 0 < low < high <= 1")
    marked = np.cumsum(weights)
    marked[-1] = 1.0
    end = int(np.searchsorted(marked, high)) + 1
    levels, marked = levels[:end], marked[:end]
    least, most = low * (1 - ROUNDING), high * (1 + ROUNDING)
    if marked[0] > low * (1 + ROUNDING) or not ((marked >= least) & (marked <= most)).any():
        raise InputError(
            f"the bounds {low:g} to {high:g} cannot be reached: the highest score of the good images marks a share of "
            f"{marked[0]:.3g} of their pixels, the steps after it leave the bounds out. Use more good images, larger "
            "or unrounded maps, or higher bounds."
        )
    x = np.repeat(np.log(marked), 2)[1:-1]  # level by level: before it, after it
    areas = []
    for scores in images:
        ordered = np.sort(scores)
        above, reached = (1 - np.searchsorted(ordered, levels, side) / len(ordered) for side in ("right", "left"))
        y = np.stack([above, reached], -1).ravel()[2:]  # the first level is below the bounds
        areas.append(area(x, y, np.log(low), np.log(high)))
    return np.array(areas, np.float64)
