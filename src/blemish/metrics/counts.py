"""Good and defective counted bin by bin, the highest scores first; every ranking metric is a formula on two such rows.

A bin holds scores that no threshold separates: equal scores in the exact functions, nearly equal ones in the
streaming accumulators. A threshold t marks scores `>= t`, so it takes whole bins from the top.
"""

from __future__ import annotations

from collections.abc import Sized
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError

Row = NDArray[np.float64]
Scores = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]


class ThresholdCounts(NamedTuple):
    """Bins by falling score.

    Attributes:
        thresholds: (B,) lowest score of each bin.
        good: (B,) amount of good.
        bad: (B,) amount of defective.
    """

    thresholds: Row
    good: Row
    bad: Row


def count_thresholds(good: Scores, bad: Scores, weights: Row | None = None) -> ThresholdCounts:
    """Count good and defective scores in the fewest bins that lose nothing.

    One bin for each distinct defective score, with the good scores equal to it, and one for all good scores between
    two of them: they move every curve along a straight line.

    Args:
        good: (n,) scores of good ones.
        bad: (m,) scores of defective ones.
        weights: (m,) amounts of the defective scores, 1 each by default.

    Returns:
        The bins, at most one more than twice the distinct defective scores.
    """
    good = np.sort(good)
    levels, which = np.unique(bad, return_inverse=True)
    mass = np.bincount(which, weights).astype(np.float64)
    low, high = np.searchsorted(good, levels, "left"), np.searchsorted(good, levels, "right")
    size = 2 * len(levels) + 1  # from the lowest: a gap, then alternately a level and the gap above it
    counts, amounts, thresholds = np.zeros(size), np.zeros(size), np.zeros(size)
    counts[1::2], amounts[1::2], thresholds[1::2] = high - low, mass, levels
    counts[0::2] = np.append(low, len(good)) - np.append(0, high)
    starts = np.append(0, high)
    filled = counts[0::2] > 0
    thresholds[0::2][filled] = good[starts[filled]]
    keep = np.flatnonzero((counts > 0) | (amounts > 0))[::-1]
    return ThresholdCounts(thresholds[keep], counts[keep], amounts[keep])


def auroc(good: Row, bad: Row) -> Row:
    """Compute Pr(bad > good) + Pr(bad = good) / 2.

    Args:
        good: (..., B) amounts of good per bin, highest scores first.
        bad: (..., B) amounts of defective.

    Returns:
        AUROC of each row, (...), in [0, 1].
    """
    n, p = good.sum(-1), bad.sum(-1)
    below = n[..., None] - np.cumsum(good, -1)
    wins = (bad * (below + good / 2)).sum(-1)
    return np.asarray(np.minimum(wins / (n * p), 1.0))  # a sum of 1e16 pairs may round above 1


def average_precision(good: Row, bad: Row) -> Row:
    """Compute the sum of precision times gain in recall, step by step.

    Args:
        good: (..., B) amounts of good per bin, highest scores first.
        bad: (..., B) amounts of defective.

    Returns:
        Average precision of each row, (...), in [0, 1].
    """
    hits = np.cumsum(bad, -1)
    marked = hits + np.cumsum(good, -1)
    precision = np.divide(hits, marked, out=np.zeros_like(hits), where=marked > 0)
    return np.asarray((bad * precision).sum(-1) / bad.sum(-1))


def f1(good: Row, bad: Row) -> Row:
    """Compute F1 = 2 TP / (TP + FP + P) after each bin.

    Args:
        good: (..., B) amounts of good per bin, highest scores first.
        bad: (..., B) amounts of defective.

    Returns:
        (..., B) F1, in [0, 1].
    """
    hits = np.cumsum(bad, -1)
    return np.asarray(2 * hits / (hits + np.cumsum(good, -1) + bad.sum(-1, keepdims=True)))


def curve(good: Row, bad: Row) -> tuple[Row, Row]:
    """Compute the shares of good and defective that are marked, bin by bin.

    Args:
        good: (..., B) amounts of good per bin, highest scores first.
        bad: (..., B) amounts of defective.

    Returns:
        Shares of good (x) and of defective (y), (..., B + 1) each, from (0, 0) to (1, 1).
    """
    x, y = (np.cumsum(amount, -1) / amount.sum(-1, keepdims=True) for amount in (good, bad))
    start = np.zeros((*x.shape[:-1], 1))
    x, y = np.concatenate([start, x], -1), np.concatenate([start, np.minimum(y, 1.0)], -1)
    x[..., -1] = y[..., -1] = 1.0  # weights are sums of fractions
    return x, y


def area(x: Row, y: Row, low: float, high: float) -> Row:
    """Compute the mean height over [low, high] of lines through points.

    Args:
        x: (..., B) positions, rising or level.
        y: (..., B) heights.
        low: Start of the range.
        high: End of the range, above `low`.

    Returns:
        The mean height of each row, (...).
    """
    x0, x1, y0, y1 = x[..., :-1], x[..., 1:], y[..., :-1], y[..., 1:]
    width = x1 - x0
    slope = np.divide(y1 - y0, width, out=np.zeros_like(width), where=width > 0)
    left, right = np.clip(x0, low, high), np.clip(x1, low, high)
    return np.asarray(((right - left) * (y0 + slope * ((left + right) / 2 - x0))).sum(-1) / (high - low))


def finite(name: str, values: ArrayLike) -> Scores:
    """Return values as float32 (if they have at most that precision) or float64.

    Args:
        name: What the message calls them.
        values: Numbers, of any shape.

    Returns:
        The values, of the same shape.

    Raises:
        InputError: they are not real numbers, or NaN or infinity is among them.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name} must be real numbers, not {array.dtype}")
    kind = np.float32 if array.dtype in (np.float16, np.float32) else np.float64
    with np.errstate(over="ignore"):
        array = array.astype(kind, copy=False)
    unusable = array.size - int(np.count_nonzero(np.isfinite(array)))
    if unusable:
        raise InputError(
            f"{name}: {unusable} of {array.size} values are NaN or infinite. "
            "A metric of them means nothing: find out which part they come from."
        )
    return array


def binary(name: str, values: ArrayLike) -> Mask:
    """Return True/False or 0/1 as bool.

    Args:
        name: What the message calls them.
        values: Labels or mask pixels, of any shape.

    Returns:
        The values, of the same shape.

    Raises:
        InputError: another value is among them.
    """
    array: NDArray[Any] = np.asarray(values)
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise InputError(f"{name} must be 0 (good) or 1 (defective), not {array.dtype}")
    strange = ~np.isin(array, (0, 1))
    if strange.any():
        raise InputError(
            f"{name} must be 0 (good) or 1 (defective); {array[strange].ravel()[0]} is among them. "
            "A mask with other values is made binary by `mask > 0`."
        )
    return array.astype(np.bool_)


def labelled(labels: ArrayLike, scores: ArrayLike) -> tuple[Mask, Scores]:
    """Check labels and scores.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        Both flattened, (n,) each.

    Raises:
        InputError: the shapes differ, a label is neither 0 nor 1, a score is NaN or infinite.
    """
    truth, values = binary("labels", labels), finite("scores", scores)
    if truth.shape != values.shape:
        raise InputError(f"labels have shape {truth.shape}, scores {values.shape}; they must be equal")
    return truth.ravel(), values.ravel()


def both(good: float, bad: float, what: str = "scores") -> None:
    """Check that there are good and defective ones to compare.

    Args:
        good: Amount of good.
        bad: Amount of defective.
        what: What the message calls them.

    Raises:
        InputError: `good` or `bad` is 0.
    """
    if not good or not bad:
        raise InputError(
            f"there are {good:g} good and {bad:g} defective {what}; the metric compares the two and needs both"
        )


def aligned(**sequences: Sized | None) -> int:
    """Check that sequences have one length.

    Args:
        **sequences: Sequences by the name that the message uses; None is skipped.

    Returns:
        The common length.

    Raises:
        InputError: the lengths differ.
    """
    lengths = {name: len(values) for name, values in sequences.items() if values is not None}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InputError(f"there are {told}; there must be one of each for every image")
    return next(iter(lengths.values()))


def picture(
    map: ArrayLike, mask: ArrayLike, valid: ArrayLike | None = None, name: str = "map"
) -> tuple[NDArray[Any], Mask, Mask | None]:
    """Check that a map, its mask and its valid pixels are (H, W) of one size; scores are not checked.

    Args:
        map: (H, W) raw map.
        mask: (H, W) binary mask, 1 is defective.
        valid: (H, W) binary, 1 where pixels count; None means everywhere.
        name: What the message calls the map.

    Returns:
        The map, the mask, and where pixels count (None: everywhere), as arrays.

    Raises:
        InputError: a shape differs, or a mask is not binary.
    """
    scores: NDArray[Any] = np.asarray(map)
    truth = binary("mask", mask)
    where = None if valid is None else binary("valid", valid)
    if scores.ndim != 2 or truth.shape != scores.shape or (where is not None and where.shape != scores.shape):
        shapes = f"map {scores.shape}, mask {truth.shape}" + (f", valid {where.shape}" if where is not None else "")
        raise InputError(f"{name} must be (H, W), with mask and valid of the same size; got {shapes}")
    return scores, truth, None if where is None or where.all() else where


def fraction(name: str, value: float) -> float:
    """Check that a value is in (0, 1].

    Args:
        name: What the message calls it.
        value: The value.

    Returns:
        The value.

    Raises:
        InputError: it is not.
    """
    if not 0 < value <= 1:
        raise InputError(f"{name} is {value}; it must be above 0 and at most 1")
    return float(value)
