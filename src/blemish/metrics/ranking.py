"""How well raw scores rank defective above good: AUROC, average precision, F1-max and their curves.

Everything here depends on the order of the scores only: any strictly monotone transform leaves it unchanged, equal
scores are treated exactly, and nothing is rescaled. Labels and scores may have any equal shape (parts, pixels); labels
are 0 (good) or 1 (defective). Every function raises InputError for NaN, infinity, differing shapes, other labels, or
when good or defective ones are absent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from blemish.metrics import counts as counting
from blemish.metrics.counts import Row, ThresholdCounts, both, labelled


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the share of (good, defective) pairs ranked rightly; a tie counts one half. 0.5 is chance."""
    _, good, bad = _counts(labels, scores)
    return float(counting.auroc(good, bad))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the mean precision over the defective ones, as steps: no trapezoid, which flatters. Chance: prevalence."""
    _, good, bad = _counts(labels, scores)
    return float(counting.average_precision(good, bad))


def f1_max(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Return the best F1 of any threshold, and the highest threshold that reaches it (`score >= threshold`).

    The threshold is chosen on the data it is measured on: an upper bound, not an operating point.
    """
    thresholds, good, bad = _counts(labels, scores)
    values = counting.f1(good, bad)
    best = int(np.argmax(values))
    return float(values[best]), float(thresholds[best])


def roc_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Row, Row, Row]:
    """Return the corners of the ROC: (fpr, tpr, thresholds), from (0, 0) at threshold infinity to (1, 1).

    Thresholds fall; each point is what `score >= threshold` gives. Points on a straight line between two others are
    left out.
    """
    thresholds, good, bad = _counts(labels, scores)
    fpr, tpr = counting.curve(good, bad)
    return fpr, tpr, np.append(np.inf, thresholds)


def precision_recall_curve(labels: ArrayLike, scores: ArrayLike) -> tuple[Row, Row, Row]:
    """Return (precision, recall, thresholds), of equal length, thresholds falling and recall rising.

    Each point is what `score >= threshold` gives. Of the thresholds that add only good ones in a row, the last is kept.
    """
    thresholds, good, bad = _counts(labels, scores)
    hits = np.cumsum(bad)
    return hits / (hits + np.cumsum(good)), hits / hits[-1], thresholds


def _counts(labels: ArrayLike, scores: ArrayLike) -> ThresholdCounts:
    truth, values = labelled(labels, scores)
    count = int(np.count_nonzero(truth))
    both(truth.size - count, count)
    return counting.count_thresholds(values[~truth], values[truth])
