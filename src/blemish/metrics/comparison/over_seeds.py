"""One number from several seeds: the mean, and Student's interval for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import t_quantile


class Summary(NamedTuple):
    """The mean over seeds and its interval.

    Attributes:
        mean: Mean of the runs.
        low: Lower bound, cut to the scale; None for a single run.
        high: Upper bound, cut to the scale; None for a single run.
        seeds: Number of seeds.
        half: Half the interval's width before it was cut to the scale; None for a single run.
        note: Why there is no interval.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    half: float | None = None
    note: str = ""


def over_seeds(values: Sequence[float], confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)) -> Summary:
    """Return the mean over seeds with Student's t interval.

    It assumes that seeds are independent and their values roughly normal, and generalises to other seeds on the same
    images; for other images use the bootstrap (`metrics.interval`). A bootstrap of three seeds would be far too narrow;
    t with two degrees of freedom is honestly wide.

    Args:
        values: One value per seed.
        confidence: Confidence level, in (0, 1).
        bounds: Ends of the metric's scale, to which the interval is cut.

    Returns:
        The mean and its interval.

    Raises:
        InputError: there is no value, one is not finite, or confidence is out of range.
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not numbers.size or not np.isfinite(numbers).all():
        raise InputError(f"values are {list(values)}; one finite number a seed is needed")
    mean = float(numbers.mean())
    if numbers.size == 1:
        return Summary(mean, None, None, 1, note="one seed says nothing about others")
    half = t_quantile(confidence, numbers.size - 1) * float(numbers.std(ddof=1)) / math.sqrt(numbers.size)
    return Summary(mean, max(mean - half, bounds[0]), min(mean + half, bounds[1]), int(numbers.size), half)
