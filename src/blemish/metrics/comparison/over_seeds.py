"""One number from several seeds: the mean, and Student's interval for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from blemish.core.errors import InputError
from blemish.metrics.comparison.distributions import t_quantile


class Summary(NamedTuple):
    """The mean of runs with `seeds` seeds and its interval.

    `half` is half the interval's width before it was cut to the scale. For a single run `low`, `high` and `half` are None
    and `note` says why.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    half: float | None = None
    note: str = ""


def over_seeds(values: Sequence[float], confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)) -> Summary:
    """Return the mean of one value a seed with Student's t interval, cut to `bounds`.

    It assumes that seeds are independent and their values roughly normal, and speaks of other seeds on the same images:
    what other images would do is the bootstrap's matter (`metrics.interval`). A bootstrap of three seeds would be far
    too narrow; t with two degrees of freedom is honestly wide.

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
