"""The four distributions that comparisons need: normal, Student's t, chi-squared, studentised range.

Degrees of freedom are whole numbers here, so t and chi-squared are finite sums (Abramowitz and Stegun 26.7.3, 26.7.4,
26.4.4, 26.4.5). The studentised range of normal values with known variance is one integral, taken with even steps over
a smooth function that vanishes at both ends, where the trapezoid rule is as exact as the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from blemish.core.errors import InputError

SQRT_HALF = math.sqrt(0.5)


def normal_two_sided(z: float) -> float:
    """Return the probability that a standard normal value is at least as far from 0 as a given one.

    Args:
        z: The value, of either sign.

    Returns:
        The probability, in [0, 1].
    """
    return math.erfc(abs(z) * SQRT_HALF)


def normal_quantile(share: float) -> float:
    """Return the z with Pr(|Z| <= z) = share for a standard normal Z.

    Args:
        share: Probability, in (0, 1).

    Returns:
        z >= 0.

    Raises:
        InputError: the probability is not in (0, 1).
    """
    return _inverse(lambda z: math.erf(z * SQRT_HALF), share)


def t_within(t: float, freedom: int) -> float:
    """Return the probability that Student's t lies within [-t, t].

    Args:
        t: At least 0.
        freedom: Degrees of freedom, at least 1.

    Returns:
        The probability, in [0, 1].
    """
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = cosine if odd else 1.0, 0.0
    for j in range(freedom // 2):
        total += term
        term *= (2 * j + 1 + odd) / (2 * j + 2 + odd) * cosine * cosine
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def t_quantile(share: float, freedom: int) -> float:
    """Return the t with Pr(|T| <= t) = share for Student's T.

    Args:
        share: Probability, in (0, 1).
        freedom: Degrees of freedom, at least 1.

    Returns:
        t >= 0.

    Raises:
        InputError: the probability is not in (0, 1).
    """
    return _inverse(lambda t: t_within(t, freedom), share)


def chi_squared_above(x: float, freedom: int) -> float:
    """Return the probability that chi-squared is at least x.

    Args:
        x: At least 0.
        freedom: Degrees of freedom, at least 1.

    Returns:
        The probability, in [0, 1].
    """
    half = x / 2
    if freedom % 2 == 0:
        term, total = math.exp(-half), 0.0
        for r in range(1, freedom // 2 + 1):  # terms half^(r - 1) / (r - 1)!
            total += term
            term *= half / r
        return total
    root = math.sqrt(x)
    term, total = root, 0.0
    for r in range(1, (freedom - 1) // 2 + 1):  # terms x^(r - 1/2) / (1 3 5 ... (2 r - 1))
        total += term
        term *= x / (2 * r + 1)
    return math.erfc(root * SQRT_HALF) + 2 * math.exp(-half) / math.sqrt(2 * math.pi) * total


def range_below(q: float, groups: int) -> float:
    """Return the probability that standard normal values have a range of at most q.

    It is groups times the integral of phi(z) (Phi(z) - Phi(z - q))^(groups - 1) over the largest value z.

    Args:
        q: Largest minus smallest value, at least 0.
        groups: Number of values, at least 2.

    Returns:
        The probability, in [0, 1].
    """
    z = np.linspace(-9.0, 9.0 + q, 4001)
    density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = _phi(z) - _phi(z - q)
    return float(groups * (density * below ** (groups - 1)).sum() * (z[1] - z[0]))


def range_quantile(share: float, groups: int) -> float:
    """Return the q with Pr(range <= q) = share for the range of standard normal values.

    Args:
        share: Probability, in (0, 1).
        groups: Number of values, at least 2.

    Returns:
        q >= 0.

    Raises:
        InputError: the probability is not in (0, 1).
    """
    return _inverse(lambda q: range_below(q, groups), share)


_phi = np.vectorize(lambda z: 0.5 * math.erfc(-z * SQRT_HALF), otypes=[float])


def _inverse(rising: Callable[[float], float], share: float) -> float:
    """Return where a rising function of values >= 0 reaches `share`, by halving."""
    if not 0 < share < 1:
        raise InputError(f"the probability is {share}; it must lie between 0 and 1, as 0.95 does")
    low, high = 0.0, 1.0
    while rising(high) < share:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < share else (low, middle)
    return (low + high) / 2
