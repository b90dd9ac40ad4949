"""What a threshold does to parts: escapes, false rejects, and the rates that follow from counting them.

A part is defective if its score reaches the threshold, the one rule of `core.decision.defective`.
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
    """Counts of parts by truth and decision.

    Attributes:
        caught: Defective parts that are rejected (TP).
        escaped: Defective parts that are passed (FN).
        rejected: Good parts that are rejected (FP).
        passed: Good parts that are passed (TN).
    """

    caught: int
    escaped: int
    rejected: int
    passed: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A share `count` / `of`, with its exact (Clopper-Pearson) confidence interval.

    Attributes:
        value: The share, in [0, 1].
        low: Lower bound of the interval.
        high: Upper bound of the interval.
        count: Numerator.
        of: Denominator.
    """

    value: float
    low: float
    high: float
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Kind:
    """The results of one kind of defect.

    Attributes:
        kind: Its name.
        count: Its parts.
        auroc: AUROC of its parts against all good parts.
        escapes: How many of its parts are passed; None without a threshold, as are the next three.
        escape_rate: The share of its parts that are passed.
        low: Lower bound of that share.
        high: Upper bound of that share.
    """

    kind: str
    count: int
    auroc: float
    escapes: int | None = None
    escape_rate: float | None = None
    low: float | None = None
    high: float | None = None


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Confusion:
    """Count what the threshold does.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected. It may be infinite (pass everything, or nothing).

    Returns:
        The four counts.

    Raises:
        InputError: shapes differ, a label is neither 0 nor 1, a score is NaN or infinite, or the threshold is NaN.
    """
    truth, values = labelled(labels, scores)
    if math.isnan(threshold):
        raise InputError("the threshold is NaN; calibrate the inspector, or give a number")
    marked = np.asarray(defective(values, threshold))
    caught, rejected = int(np.count_nonzero(marked & truth)), int(np.count_nonzero(marked & ~truth))
    bad = int(np.count_nonzero(truth))
    return Confusion(caught, bad - caught, rejected, truth.size - bad - rejected)


def escape_rate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of defective parts that are passed (FNR).

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        The share, in [0, 1].

    Raises:
        InputError: as `confusion`, or no part is defective.
    """
    counts = confusion(labels, scores, threshold)
    return _share(counts.escaped, counts.caught + counts.escaped, "no part is defective, so none can escape")


def false_reject_rate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of good parts that are rejected (FPR).

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        The share, in [0, 1].

    Raises:
        InputError: as `confusion`, or no part is good.
    """
    counts = confusion(labels, scores, threshold)
    return _share(counts.rejected, counts.rejected + counts.passed, "no part is good, so none can be falsely rejected")


def balanced_accuracy(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the mean of the shares of defective parts caught and good parts passed.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        The mean, in [0, 1]; 0.5 is chance.

    Raises:
        InputError: as `confusion`, or no part is good or none is defective.
    """
    return 1 - (escape_rate(labels, scores, threshold) + false_reject_rate(labels, scores, threshold)) / 2


def precision(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of rejected parts that are defective.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        The share, in [0, 1].

    Raises:
        InputError: as `confusion`, or no part is rejected.
    """
    counts = confusion(labels, scores, threshold)
    return _share(counts.caught, counts.caught + counts.rejected, f"no score reaches the threshold {threshold}")


def recall(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return the share of defective parts that are caught (TPR).

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        The share, in [0, 1].

    Raises:
        InputError: as `confusion`, or no part is defective.
    """
    counts = confusion(labels, scores, threshold)
    return _share(counts.caught, counts.caught + counts.escaped, "no part is defective, so none can be caught")


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """Return F1 = 2 TP / (2 TP + FP + FN), the harmonic mean of precision and recall.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.

    Returns:
        F1, in [0, 1].

    Raises:
        InputError: as `confusion`, or no part is defective and none is rejected.
    """
    c = confusion(labels, scores, threshold)
    return _share(2 * c.caught, 2 * c.caught + c.rejected + c.escaped, "no part is defective and none is rejected")


def rate(count: int, of: int, confidence: float = 0.95) -> Rate:
    """Return a share with its exact confidence interval.

    Args:
        count: Numerator, in [0, of].
        of: Denominator, at least 1.
        confidence: Confidence level, in (0, 1).

    Returns:
        The share and its Clopper-Pearson interval.

    Raises:
        InputError: `of` is 0, `count` is not in [0, of], or confidence is out of range.
    """
    if of < 1 or not 0 <= count <= of:
        raise InputError(f"{count} of {of} is not a share; there must be at least one, and no more than all")
    low, high = clopper_pearson(count, of, confidence)
    return Rate(count / of, low, high, count, of)


def decisions(labels: ArrayLike, scores: ArrayLike, threshold: float, confidence: float = 0.95) -> dict[str, Any]:
    """Return everything the threshold does, ready for JSON.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.
        threshold: Raw score; a part that reaches it is rejected.
        confidence: Confidence level of the intervals, in (0, 1).

    Returns:
        The rates by name. "escape_rate" and "false_reject_rate" are a Rate as a dictionary, "confusion" a Confusion;
        "precision" is None if nothing is rejected.

    Raises:
        InputError: as `confusion`, good or defective parts are missing, or confidence is out of range.
    """
    counts = confusion(labels, scores, threshold)
    return {"threshold": float(threshold), **rates_of(counts, confidence), "confusion": asdict(counts)}


def rates_of(counts: Confusion, confidence: float = 0.95) -> dict[str, Any]:
    """Return the rates of counted decisions, ready for JSON.

    Args:
        counts: The decisions; good and defective parts are among them.
        confidence: Confidence level of the intervals, in (0, 1).

    Returns:
        As `decisions`, without threshold and confusion.

    Raises:
        InputError: good or defective parts are missing, or confidence is out of range.
    """
    marked = counts.caught + counts.rejected
    escapes = rate(counts.escaped, counts.caught + counts.escaped, confidence)
    rejects = rate(counts.rejected, counts.rejected + counts.passed, confidence)
    return {
        "escape_rate": asdict(escapes),
        "false_reject_rate": asdict(rejects),
        "balanced_accuracy": 1 - (escapes.value + rejects.value) / 2,
        "precision": counts.caught / marked if marked else None,
        "recall": counts.caught / escapes.of,
        "f1": 2 * counts.caught / (marked + escapes.of),
    }


def by_kind(
    kinds: Sequence[str],
    labels: ArrayLike,
    scores: ArrayLike,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> dict[str, Kind]:
    """Return the results of each kind of defect.

    Args:
        kinds: Kind of each part; that of a good part is ignored.
        labels: (n,) 0 (good) or 1 (defective).
        scores: (n,) raw scores.
        threshold: Raw score; a part that reaches it is rejected. Without it only the AUROC is given.
        confidence: Confidence level of the escape rates, in (0, 1).

    Returns:
        Each kind's results by name, in alphabetical order.

    Raises:
        InputError: as `confusion`, lengths differ, no part is good, or confidence is out of range.
    """
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
