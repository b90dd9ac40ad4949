"""Metrics on raw scores: exact functions, and accumulators tested equal to them.

Higher scores are more anomalous; labels and mask pixels are 0 (good) or 1 (defective). Nothing is rescaled, equal
scores count exactly, and NaN is an error.
"""

from blemish.metrics.bootstrap import Interval, auroc_interval, image_intervals, interval, mean_interval
from blemish.metrics.decisions import (
    Confusion,
    Kind,
    Rate,
    balanced_accuracy,
    by_kind,
    confusion,
    decisions,
    escape_rate,
    f1,
    false_reject_rate,
    precision,
    rate,
    rates_of,
    recall,
)
from blemish.metrics.pimo import aupimo
from blemish.metrics.pro import aupro, auspro, pro_curve, regions, spro_curve
from blemish.metrics.ranking import auroc, average_precision, f1_max, precision_recall_curve, roc_curve
from blemish.metrics.streaming import ImageScores, PimoHistogram, PixelHistogram, PixelMetrics

__all__ = [
    "Confusion",
    "ImageScores",
    "Interval",
    "Kind",
    "PimoHistogram",
    "PixelHistogram",
    "PixelMetrics",
    "Rate",
    "aupimo",
    "aupro",
    "auroc",
    "auroc_interval",
    "auspro",
    "average_precision",
    "balanced_accuracy",
    "by_kind",
    "confusion",
    "decisions",
    "escape_rate",
    "f1",
    "f1_max",
    "false_reject_rate",
    "image_intervals",
    "interval",
    "mean_interval",
    "precision",
    "precision_recall_curve",
    "pro_curve",
    "rate",
    "rates_of",
    "recall",
    "regions",
    "roc_curve",
    "spro_curve",
]
