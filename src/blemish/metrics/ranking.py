"""How well raw scores rank defective above good: AUROC, average precision, F1-max and their curves.

Everything here depends on the order of the scores only: any strictly monotone transform leaves it unchanged, equal
scores are treated exactly, and nothing is rescaled. Labels and scores are those of parts or of pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from blemish.metrics import counts as counting
from blemish.metrics.counts import Row, ThresholdCounts, both, labelled


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the share of (good, defective) pairs that are ranked correctly; a tie counts one half.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        AUROC, in [0, 1]; 0.5 is chance.

    Raises:
        InputError: shapes differ, a label is neither 0 nor 1, a score is NaN or infinite, or good or defective ones are
            absent.
    """
    _, good, bad = _counts(labels, scores)
    return float(counting.auroc(good, bad))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the mean precision over the defective ones, as steps: no trapezoid, which flatters.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        Average precision, in [0, 1]; the share of defective ones is chance.

    Raises:
        InputError: as `auroc`.
    """
    _, good, bad = _counts(labels, scores)
    return float(counting.average_precision(good, bad))


def f1_max(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Find the best F1 of any threshold.

    The threshold is chosen on the data it is measured on: an upper bound, not an operating point.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        The best F1, in [0, 1], and the highest threshold that reaches it (`score >= threshold`).

    Raises:
        InputError: as `auroc`.
    """
    thresholds, good, bad = _counts(labels, scores)
    values = counting.f1(good, bad)
    best = int(np.argmax(values))
    return float(values[best]), float(thresholds[best])


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Row, Row, Row]:
    """Compute the corners of the ROC curve; each point is the result of `score >= threshold`.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        (fpr, tpr, thresholds), thresholds falling: from (0, 0) at threshold infinity to (1, 1). Points on a straight
        line between two others are left out.

    Raises:
        InputError: as `auroc`.
    """
    thresholds, good, bad = _counts(labels, scores)
    fpr, tpr = counting.curve(good, bad)
    return fpr, tpr, np.append(np.inf, thresholds)


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Row, Row, Row]:
    """Compute the precision-recall curve; each point is the result of `score >= threshold`.

    Args:
        labels: 0 (good) or 1 (defective), any shape.
        scores: Raw scores, of the same shape.

    Returns:
        (precision, recall, thresholds), of equal length, thresholds falling and recall rising. Of consecutive
        thresholds that add only good ones, the last is kept.

    Raises:
        InputError: as `auroc`.
    """
    thresholds, good, bad = _counts(labels, scores)
    hits = np.cumsum(bad)
    return hits / (hits + np.cumsum(good)), hits / hits[-1], thresholds


def _counts(labels: ArrayLike, scores: ArrayLike) -> ThresholdCounts:
    truth, values = labelled(labels, scores)
    count = int(np.count_nonzero(truth))
    both(truth.size - count, count)
    return counting.count_thresholds(values[~truth], values[truth])
