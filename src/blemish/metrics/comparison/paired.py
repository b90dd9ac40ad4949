"""Two methods over the same categories: Wilcoxon's signed ranks and a permutation of signs, both exact where possible.

Both take one difference per category and ask how often chance alone, which would give each difference either sign,
leads as far. They assume that categories are independent of each other, and Wilcoxon's test also that differences are
comparable in size. Categories where the two methods are equal carry no direction: they are left out, and counted.

With n categories that differ the smallest possible p-value is 2 / 2^n. Where that is not below `alpha` no outcome could
have been significant, so no p-value is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import normal_two_sided

EXACT_RANKS = 200  # more differences than this: the normal approximation, with the correction for ties
EXACT_SIGNS = 16  # up to 2^16 sign patterns are enumerated; beyond, they are drawn

Row = NDArray[np.float64]


class Paired(NamedTuple):
    """Result of a paired test.

    Attributes:
        difference: Mean of first minus second over all categories.
        p: Two-sided p-value, or None with the reason in `note`.
        statistic: What was compared: the sum of the ranks of positive differences, or the mean difference.
        differing: Number of categories that differ.
        zeros: Number of categories that do not.
        smallest: Smallest p-value possible with so many that differ.
        note: How `p` was computed if not exactly, or why there is none.
    """

    difference: float
    p: float | None
    statistic: float
    differing: int
    zeros: int
    smallest: float
    note: str = ""


def wilcoxon(first: ArrayLike, second: ArrayLike, alpha: float = 0.05) -> Paired:
    """Compare two methods over categories by Wilcoxon's signed-rank test.

    Differences of equal size share their mean rank. The distribution is exact, ties included, up to 200 differences,
    and normal with the correction for ties beyond. Zero differences are dropped (Wilcoxon's own way, scipy's default).

    Args:
        first: (n,) values of the first method, one per category.
        second: (n,) values of the second method, in the same order.
        alpha: Significance level, in (0, 1); if no p-value below it is possible, none is given.

    Returns:
        The test's result; its statistic is the sum of the ranks of positive differences.

    Raises:
        InputError: lengths differ, there is no value, one is not finite, or alpha is out of range.
    """
    difference = _differences(first, second)
    kept = difference[difference != 0]
    ranks = mid_ranks(np.abs(kept))
    positive = float(ranks[kept > 0].sum())
    found = Paired(
        float(difference.mean()), None, positive, kept.size, difference.size - kept.size, _smallest(kept.size)
    )
    if reason := _too_few(found, alpha):
        return found._replace(note=reason)
    if kept.size <= EXACT_RANKS:
        return found._replace(p=_exact(ranks, positive))
    variance = float((ranks**2).sum()) / 4
    z = (positive - float(ranks.sum()) / 2) / math.sqrt(variance)
    return found._replace(p=normal_two_sided(z), note=f"normal approximation, {kept.size} differences")


def permutation(
    first: ArrayLike, second: ArrayLike, alpha: float = 0.05, repeats: int = 100_000, seed: int = 0
) -> Paired:
    """Compare two methods over categories by the mean difference under all changes of sign.

    All 2^n patterns are enumerated up to 16 differences; beyond, patterns are drawn, and the p-value is
    (hits + 1) / (repeats + 1), which is never too small (Phipson and Smyth 2010).

    Args:
        first: (n,) values of the first method, one per category.
        second: (n,) values of the second method, in the same order.
        alpha: Significance level, in (0, 1); if no p-value below it is possible, none is given.
        repeats: Number of patterns drawn for more than 16 differences.
        seed: Seed of these patterns.

    Returns:
        The test's result; its statistic is the mean difference.

    Raises:
        InputError: as `wilcoxon`.
    """
    difference = _differences(first, second)
    kept = difference[difference != 0]
    mean = float(difference.mean())
    found = Paired(mean, None, mean, kept.size, difference.size - kept.size, _smallest(kept.size))
    if reason := _too_few(found, alpha):
        return found._replace(note=reason)
    limit = abs(kept.sum()) - 1e-9 * np.abs(kept).max()  # sums in another order may round below what they equal
    if kept.size <= EXACT_SIGNS:
        patterns = (np.arange(2**kept.size)[:, None] >> np.arange(kept.size)) & 1
        sums = (patterns * 2 - 1) @ kept
        return found._replace(p=float((np.abs(sums) >= limit).mean()))
    rng = np.random.default_rng(seed)
    hits = sum(
        int((np.abs(rng.choice((-1.0, 1.0), (part, kept.size)) @ kept) >= limit).sum())
        for part in (min(10_000, repeats - start) for start in range(0, repeats, 10_000))
    )
    return found._replace(p=(hits + 1) / (repeats + 1), note=f"{repeats:,} drawn sign patterns")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p-values, which hold for all comparisons together whatever their dependence.

    Args:
        p_values: One p-value per comparison; None where there is none, which does not count as a comparison.

    Returns:
        The adjusted p-values in the same order, None where there was none.
    """
    made = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for place, (p, i) in enumerate(made):
        highest = max(highest, min(1.0, p * (len(made) - place)))
        adjusted[i] = highest
    return adjusted


def mid_ranks(values: Row) -> Row:
    """Return ranks from 1; equal values share the mean of theirs.

    Args:
        values: (n,) numbers.

    Returns:
        (n,) ranks, the smallest value's first.
    """
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[which], np.float64)


def _differences(first: ArrayLike, second: ArrayLike) -> Row:
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 1 or a.shape != b.shape or not a.size:
        raise InputError(
            f"two rows of equal length are compared, one value a category; these are {a.shape} and {b.shape}"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("a value is not finite; leave out categories that one of the methods has no result for")
    difference: Row = a - b
    # 0.9 - 0.8 and 0.8 - 0.7 are meant to tie
    return np.asarray(np.round(difference, 12), np.float64)


def _smallest(count: int) -> float:
    return min(1.0, 2.0 ** (1 - count))


def _too_few(found: Paired, alpha: float) -> str:
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha}; it must lie between 0 and 1, as 0.05 does")
    if found.smallest < alpha:
        return ""
    many = f"{found.differing} categories differ" if found.differing != 1 else "1 category differs"
    needed = math.floor(1 - math.log2(alpha)) + 1
    return f"too few: {many}, so p cannot be below {found.smallest:.3g}; at least {needed} are needed"


def _exact(ranks: Row, positive: float) -> float:
    """Return the two-sided p-value of a sum of positive ranks, every sign being as likely. Ranks are halves at most."""
    doubled = np.rint(ranks * 2).astype(int)
    chance = np.zeros(int(doubled.sum()) + 1)
    chance[0] = 1.0
    for rank in doubled:
        moved = np.zeros_like(chance)
        moved[rank:] = chance[: len(chance) - rank]
        chance = (chance + moved) / 2
    at = round(positive * 2)
    return min(1.0, 2 * min(float(chance[: at + 1].sum()), float(chance[at:].sum())))
