"""Counted shares and their uncertainty: exact binomial confidence intervals (Clopper and Pearson 1934)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import InputError


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided confidence interval of a share.

    Clopper and Pearson 1934: each side errs with probability at most (1 - confidence) / 2.

    Args:
        successes: Successes seen.
        trials: Trials in all.
        confidence: Probability that the interval covers the share, in (0, 1).

    Returns:
        (lowest, highest), in [0, 1].

    Raises:
        InputError: not 0 <= successes <= trials with trials >= 1, or confidence outside (0, 1).
    """
    _check_counts(successes, trials)
    tail = (1 - open_share("confidence", confidence)) / 2
    return lowest_share(successes, trials, tail), 1 - lowest_share(trials - successes, trials, tail)


def upper_bound(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact one-sided upper confidence bound of a share.

    Args:
        successes: Successes seen.
        trials: Trials in all.
        confidence: Probability that the share is not above the bound, in (0, 1).

    Returns:
        The bound, in [0, 1].

    Raises:
        InputError: as `clopper_pearson`.
    """
    _check_counts(successes, trials)
    return 1 - lowest_share(trials - successes, trials, 1 - open_share("confidence", confidence))


def open_share(name: str, value: float) -> float:
    """Check that a share lies strictly between 0 and 1.

    Args:
        name: What the message calls it.
        value: The share.

    Returns:
        The share as a float.

    Raises:
        InputError: it does not, or is no number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 < value < 1:
        raise InputError(f"{name} is {value!r}; it must be between 0 and 1, both excluded (0.01 is one in a hundred)")
    return float(value)


def lowest_share(successes: int, trials: int, tail: float) -> float:
    """Return the share p at which seeing `successes` or more in `trials` has probability `tail`, by bisection.

    Args:
        successes: Successes seen.
        trials: Trials in all.
        tail: The probability, in (0, 1).

    Returns:
        The share, in [0, 1]; 0 where there was no success.
    """
    if successes == 0:
        return 0.0
    table, target = log_choose(trials), math.log(tail)
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.logaddexp.reduce(log_mass(table, middle)[successes:]) < target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def log_choose(n: int) -> NDArray[np.float64]:
    """Return the logarithms of the binomial coefficients.

    Args:
        n: Number of trials.

    Returns:
        log(n choose j) for j = 0 .. n, (n + 1,).
    """
    factorial: NDArray[np.float64] = np.array([math.lgamma(j + 1) for j in range(n + 1)])
    table: NDArray[np.float64] = factorial[-1] - factorial - factorial[::-1]
    return table


def log_mass(table: NDArray[np.float64], share: float) -> NDArray[np.float64]:
    """Return the logarithms of the probabilities of a binomial distribution.

    Args:
        table: `log_choose(n)`, (n + 1,).
        share: Probability of success, in (0, 1).

    Returns:
        log P(X = j) for j = 0 .. n and X binomial (n, share), (n + 1,).
    """
    j = np.arange(len(table))
    mass: NDArray[np.float64] = table + j * math.log(share) + j[::-1] * math.log1p(-share)
    return mass


def _check_counts(successes: int, trials: int) -> None:
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(
            f"{successes} successes in {trials} trials: needed are 0 <= successes <= trials and trials >= 1"
        )
