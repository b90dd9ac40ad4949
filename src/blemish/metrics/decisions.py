"""What a threshold does to parts: escapes, false rejects, and what follows from counting them.

A part is defective if its score reaches the threshold, the one rule of `calibration.defective`. Labels are 0 (good) or
1 (defective). Functions raise InputError for NaN, differing shapes, other labels, or an empty denominator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from blemish.core.decision import defective
from blemish.core.errors import InputError
from blemish.core.shares import clopper_pearson
from blemish.metrics import ranking
from blemish.metrics.counts import aligned, labelled


@dataclass(frozen=True, slots=True)
class Confusion:
    """How many parts went where.

    Defective parts are `caught` (TP) or `escaped` (FN); good parts are `rejected` (FP) or `passed` (TN).
    """

    caught: int
    escaped: int
    rejected: int
    passed: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A share `count` / `of`, with its exact (Clopper-Pearson) confidence interval."""

    value: float
    low: float
    high: float
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of defect fares: its parts, their AUROC against all good parts, and how many escape.

    `escapes`, `escape_rate` and its interval `low` to `high` are None without a threshold.
    """

    kind: str
    count: int
    auroc: float
    escapes: int | None = None
    escape_rate: float | None = None
    low: float | None = None
    high: float | None = None


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Count what the threshold does. It may be infinite (pass everything, or nothing), not NaN."""
    truth, values = labelled(labels, scores)
    if math.isnan(threshold):
        raise InputError("the threshold is NaN; calibrate the inspector, or give a number")
    marked = np.asarray(defective(values, threshold))
    caught, rejected = int(np.count_nonzero(marked & truth)), int(np.count_nonzero(marked & ~truth))
    bad = int(np.count_nonzero(truth))
    return Confusion(caught, bad - caught, rejected, truth.size - bad - rejected)


def escape_rate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of defective parts that are passed (FNR)."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.escaped, counts.caught + counts.escaped, "no part is defective, so none can escape")


def false_reject_rate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of good parts that are rejected (FPR)."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.rejected, counts.rejected + counts.passed, "no part is good, so none can be falsely rejected")


def balanced_accuracy(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the mean of the shares of defective parts caught and good parts passed; 0.5 is chance."""
    return 1 - (escape_rate(labels, scores, threshold) + false_reject_rate(labels, scores, threshold)) / 2


def precision(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of rejected parts that are defective."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.caught, counts.caught + counts.rejected, f"no score reaches the threshold {threshold}")


def recall(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of defective parts that are caught (TPR)."""
    counts = confusion(labels, scores, threshold)
    return _share(counts.caught, counts.caught + counts.escaped, "no part is defective, so none can be caught")


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall."""
    c = confusion(labels, scores, threshold)
    return _share(2 * c.caught, 2 * c.caught + c.rejected + c.escaped, "no part is defective and none is rejected")


def rate(count: int, of: int, confidence: float = 0.95) -> Rate:
    """Return the share `count` / `of` with its exact confidence interval.

    Raises:
        InputError: `of` is 0, or `count` does not lie in [0, of].
    """
    if of < 1 or not 0 <= count <= of:
        raise InputError(f"{count} of {of} is not a share; there must be at least one, and no more than all")
    low, high = clopper_pearson(count, of, confidence)
    return Rate(count / of, low, high, count, of)


def decisions(labels: ArrayLike, scores: ArrayLike, threshold: float, confidence: float = 0.95) -> dict[str, Any]:
    """Return everything the threshold does, ready for JSON; both good and defective parts are needed.

    "escape_rate" and "false_reject_rate" are a Rate as a dictionary; "precision" is None if nothing is rejected.
    """
    counts = confusion(labels, scores, threshold)
    marked = counts.caught + counts.rejected
    escapes = rate(counts.escaped, counts.caught + counts.escaped, confidence)
    rejects = rate(counts.rejected, counts.rejected + counts.passed, confidence)
    return {
        "threshold": float(threshold),
        "escape_rate": asdict(escapes),
        "false_reject_rate": asdict(rejects),
        "balanced_accuracy": 1 - (escapes.value + rejects.value) / 2,
        "precision": counts.caught / marked if marked else None,
        "recall": counts.caught / escapes.of,
        "f1": 2 * counts.caught / (marked + escapes.of),
        "confusion": asdict(counts),
    }


def by_kind(
    kinds: Sequence[str],
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> dict[str, Kind]:
    """Return how each kind of defect fares, in alphabetical order. The kind of a good part is not looked at."""
    truth, values = labelled(labels, scores)
    aligned(kinds=kinds, scores=values)
    names = np.array([str(kind) for kind in kinds])
    found = {}
    for kind in sorted(set(names[truth].tolist())):
        own = truth & (names == kind)
        chosen = own | ~truth
        value = ranking.auroc(truth[chosen], values[chosen])
        count = int(np.count_nonzero(own))
        if threshold is None:
            found[kind] = Kind(kind, count, value)
        else:
            escapes = rate(confusion(truth[own], values[own], threshold).escaped, count, confidence)
            found[kind] = Kind(kind, count, value, escapes.count, escapes.value, escapes.low, escapes.high)
    return found


def _share(count: int, of: int, otherwise: str) -> float:
    if not of:
        raise InputError(f"the rate has no value: {otherwise}")
    return count / of
