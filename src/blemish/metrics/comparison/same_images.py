"""Two methods on the same images: how far apart their AUROCs are, and how certain that is.

An AUROC is the mean, over all pairs of a good and a defective image, of 1 (ranked correctly), 1/2 (equal) or 0. So the
difference of two is the mean of one table, defective by good images, and a method with several seeds is the mean of its
tables.
Both functions generalise to other images of the same origin, for the seeds that were run; they assume that images are
independent of each other, which several images of one part are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import normal_quantile, normal_two_sided
from blemish.metrics.counts import both

FEWEST = 10  # good or defective images below which nothing is tested
SMALLEST = 1e-12  # deviation that is only rounding, of values within -1 to 1
BLOCK = 1 << 22  # pairs of images held at a time

Row = NDArray[np.float64]


class Difference(NamedTuple):
    """Difference of two AUROCs.

    Attributes:
        value: First AUROC minus second, in [-1, 1].
        low: Lower bound of the confidence interval; None if nothing is tested.
        high: Upper bound of the confidence interval; None if nothing is tested.
        p: Two-sided p-value; None if nothing is tested, and from the bootstrap.
        good: Number of good images.
        defective: Number of defective images.
        note: Why nothing is tested.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    good: int
    defective: int
    note: str = ""


def delong(labels: ArrayLike, first: ArrayLike, second: ArrayLike, confidence: float = 0.95) -> Difference:
    """Compare the AUROCs of two methods on the same images by the test of DeLong, DeLong and Clarke-Pearson (1988).

    It assumes that the difference is normal, which needs enough images of both kinds: with fewer than 10 good or
    defective ones nothing is tested.

    Args:
        labels: (n,) 0 (good) or 1 (defective).
        first: (n,) raw scores of the first method, or (seeds, n): the AUROC is then the mean over seeds.
        second: Raw scores of the second method, as `first`.
        confidence: Confidence level, in (0, 1).

    Returns:
        The difference, its interval and its p-value.

    Raises:
        InputError: shapes differ, a score is not finite, good or defective images are absent, or `confidence` is not
            between 0 and 1.
    """
    truth, a, b = _checked(labels, first, second)
    if not 0 < confidence < 1:
        raise InputError(f"confidence is {confidence}; it must lie between 0 and 1")
    good, bad = int((~truth).sum()), int(truth.sum())
    columns, rows = np.zeros(good), np.zeros(bad)
    for part, table in _blocks(truth, a, b):
        rows[part] = table.mean(1)
        columns += table.sum(0)
    columns /= bad
    value = float(rows.mean())
    bare = Difference(value, None, None, None, good, bad)
    if reason := _too_few(good, bad):
        return bare._replace(note=reason)
    deviation = math.sqrt(float(rows.var(ddof=1)) / bad + float(columns.var(ddof=1)) / good)
    if deviation < SMALLEST:
        return bare._replace(note="the difference is the same for every image: there is no variation to measure by")
    half = normal_quantile(confidence) * deviation
    return bare._replace(
        low=max(value - half, -1.0), high=min(value + half, 1.0), p=normal_two_sided(value / deviation)
    )


def auroc_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    confidence: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> Difference:
    """Compare the AUROCs of two methods on the same images by the paired bootstrap.

    Images are drawn with replacement, good and defective ones separately, the same for both methods.

    Args:
        labels: (n,) 0 (good) or 1 (defective).
        first: (n,) raw scores of the first method, or (seeds, n): the AUROC is then the mean over seeds.
        second: Raw scores of the second method, as `first`.
        confidence: Confidence level, in (0, 1).
        repeats: Number of resamples, at least 1.
        seed: Seed of the resampling.

    Returns:
        The difference and its percentile interval; `p` is always None.

    Raises:
        InputError: as `delong`, or confidence or repeats are out of range.
    """
    truth, a, b = _checked(labels, first, second)
    if not 0 < confidence < 1 or repeats < 1:
        raise InputError(f"confidence is {confidence} (between 0 and 1), repeats is {repeats} (at least 1)")
    good, bad = int((~truth).sum()), int(truth.sum())
    rng = np.random.default_rng(seed)
    weights_good, weights_bad = (rng.multinomial(n, np.full(n, 1 / n), repeats) / n for n in (good, bad))
    value, drawn = 0.0, np.zeros(repeats)
    for part, table in _blocks(truth, a, b):
        value += float(table.sum()) / (good * bad)
        drawn += ((weights_good @ table.T) * weights_bad[:, part]).sum(1)
    if reason := _too_few(good, bad):
        return Difference(value, None, None, None, good, bad, reason)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(value, float(low), float(high), None, good, bad)


def _checked(labels: ArrayLike, first: ArrayLike, second: ArrayLike) -> tuple[NDArray[np.bool_], Row, Row]:
    truth = np.asarray(labels)
    if truth.ndim != 1 or not np.isin(truth, (0, 1)).all():
        raise InputError("labels must be one row of 0 (good) and 1 (defective)")
    scores = [np.atleast_2d(np.asarray(s, np.float64)) for s in (first, second)]
    for row in scores:
        if row.ndim != 2 or row.shape[1] != truth.size:
            raise InputError(
                f"scores have shape {row.shape}; with {truth.size} labels they are ({truth.size},) or a row a seed"
            )
        if not np.isfinite(row).all():
            raise InputError("a score is not finite; scores must be finite to be ranked")
    count = int(np.count_nonzero(truth))
    both(truth.size - count, count, "images")
    return truth.astype(bool), scores[0], scores[1]


def _blocks(truth: NDArray[np.bool_], first: Row, second: Row) -> Iterator[tuple[slice, Row]]:
    """Yield the table of differences, some defective images (rows) at a time, by all good images (columns)."""
    good, bad = int((~truth).sum()), int(truth.sum())
    step = max(1, BLOCK // good)
    for start in range(0, bad, step):
        part = slice(start, min(start + step, bad))
        yield part, _wins(truth, first, part) - _wins(truth, second, part)


def _wins(truth: NDArray[np.bool_], scores: Row, part: slice) -> Row:
    total = np.zeros((part.stop - part.start, int((~truth).sum())))
    for row in scores:
        bad, good = row[truth][part, None], row[~truth]
        total += (bad > good) + (bad == good) / 2
    return np.asarray(total / len(scores))


def _too_few(good: int, bad: int) -> str:
    if min(good, bad) >= FEWEST:
        return ""
    return f"too few: {good} good and {bad} defective images, at least {FEWEST} of each are needed"
