"""Many methods over many categories: average ranks, Friedman's test, Nemenyi's critical difference (Demsar 2006).

Ranks compare only which method is ahead on a category, 1 for the best. They assume that categories are independent of
each other; fifteen categories of one data set, imaged alike, are less than fifteen independent observations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import chi_squared_above, range_quantile
from blemish.metrics.comparison.paired import mid_ranks

FEWEST = 5  # categories below which ranks are not tested
CHI_SQUARED_FROM = 10  # categories from which chi-squared is close enough
SHUFFLES = 20_000

Row = NDArray[np.float64]


class Friedman(NamedTuple):
    """Result of Friedman's test.

    Attributes:
        statistic: Chi-squared with the correction for ties.
        p: p-value, or None with the reason in `note`.
        categories: Number of categories.
        methods: Number of methods.
        note: How `p` was computed if by shuffles, or why there is none.
    """

    statistic: float
    p: float | None
    categories: int
    methods: int
    note: str = ""


def average_ranks(values: ArrayLike, higher_is_better: bool = True) -> Row:
    """Return each method's mean rank; 1 is the best.

    Args:
        values: (categories, methods) results.
        higher_is_better: Whether the highest value gets rank 1.

    Returns:
        (methods,) mean ranks, in [1, methods].

    Raises:
        InputError: values are not a table of finite numbers with at least one category and two methods.
    """
    return np.asarray(_ranks(values, higher_is_better).mean(0))


def friedman(values: ArrayLike, seed: int = 0) -> Friedman:
    """Test whether methods differ at all.

    From 10 categories the p-value is chi-squared's. From 5 to 9, where that is too rough, it is how often shuffling the
    methods within each category leads as far, in 20,000 shuffles. Below 5 none is given.

    Args:
        values: (categories, methods) results.
        seed: Seed of the shuffles.

    Returns:
        The test's result.

    Raises:
        InputError: as `average_ranks`.
    """
    ranks = _ranks(values, higher_is_better=True)
    n, k = ranks.shape
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())  # what ties leave of n k (k + 1) (k - 1) / 12
    if spread == 0:
        return Friedman(0.0, None, n, k, "all methods are level on every category")
    statistic = float(_friedman(ranks.sum(0), n, k, spread))
    if n < FEWEST:
        return Friedman(statistic, None, n, k, f"too few: {n} categories, at least {FEWEST} are needed")
    if n >= CHI_SQUARED_FROM:
        return Friedman(statistic, chi_squared_above(statistic, k - 1), n, k)
    rng = np.random.default_rng(seed)
    limit = statistic * (1 - 1e-12)
    sums = np.zeros((SHUFFLES, k))
    for row in ranks:
        sums += rng.permuted(np.tile(row, (SHUFFLES, 1)), axis=1)
    hits = int(np.count_nonzero(_friedman(sums, n, k, spread) >= limit))
    return Friedman(statistic, (hits + 1) / (SHUFFLES + 1), n, k, f"{n} categories: p by {SHUFFLES:,} shuffles")


@cache
def nemenyi_q(methods: int, alpha: float = 0.05) -> float:
    """Return Nemenyi's constant: the studentised range's quantile for known variance, divided by the root of 2.

    Args:
        methods: Number of methods, at least 2.
        alpha: Significance level, in (0, 1).

    Returns:
        The constant.

    Raises:
        InputError: fewer than two methods, or alpha outside (0, 1).
    """
    if methods < 2:
        raise InputError(f"{methods} method cannot be compared; at least 2 are needed")
    return range_quantile(1 - alpha, methods) / math.sqrt(2)


def critical_difference(methods: int, categories: int, alpha: float = 0.05) -> float:
    """Return how far two average ranks must be apart to differ, for all pairs together.

    It assumes that mean ranks are normal, which is rough for few categories. Run `friedman` first: if that finds no
    difference, this finds none either.

    Args:
        methods: Number of methods, at least 2.
        categories: Number of categories, at least 1.
        alpha: Significance level, in (0, 1).

    Returns:
        The critical difference, in ranks.

    Raises:
        InputError: as `nemenyi_q`, or there is no category.
    """
    if categories < 1:
        raise InputError(f"there are {categories} categories; at least 1 is needed")
    return nemenyi_q(methods, alpha) * math.sqrt(methods * (methods + 1) / (6 * categories))


def cliques(ranks: Sequence[float] | Row, difference: float) -> list[list[int]]:
    """Return the largest groups of at least two methods whose average ranks are all less than a difference apart.

    They are the bars of the critical difference diagram.

    Args:
        ranks: (methods,) average ranks.
        difference: The critical difference.

    Returns:
        Groups of positions in `ranks`, the best first.
    """
    order = sorted(range(len(ranks)), key=lambda i: (ranks[i], i))
    found: list[list[int]] = []
    reached = 0
    for start, first in enumerate(order):
        group = [i for i in order[start:] if ranks[i] - ranks[first] < difference]
        if len(group) > 1 and start + len(group) > reached:
            found.append(group)
            reached = start + len(group)
    return found


def _ranks(values: ArrayLike, higher_is_better: bool) -> Row:
    table = np.asarray(values, np.float64)
    if table.ndim != 2 or table.shape[0] < 1 or table.shape[1] < 2:
        raise InputError(f"values have shape {table.shape}; (categories, methods) with two methods or more are ranked")
    if not np.isfinite(table).all():
        raise InputError("a value is not finite; leave out categories that one of the methods has no result for")
    table = np.round(table, 12)
    return np.stack([mid_ranks(-row if higher_is_better else row) for row in table])


def _friedman(sums: Row, n: int, k: int, spread: float) -> Row:
    """Return chi-squared from sums of ranks, (..., methods)."""
    return np.asarray((k - 1) * ((sums - n * (k + 1) / 2) ** 2).sum(-1) / spread)
