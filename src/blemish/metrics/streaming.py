"""The same metrics over a stream of images, in bounded memory: images are added one by one, in any order, and merged.

Pixels are counted in bins of nearly equal scores (`bins.FloatBins`); a metric is the exact one of scores rounded down
to their bins. `error_bound` is how far that can be from the exact value; it is computed from the counts, not assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import InputError
from blemish.metrics import counts as counting
from blemish.metrics import ranking
from blemish.metrics.bins import FloatBins
from blemish.metrics.bootstrap import Interval, Sketch, around, pixel_bootstrap, sketch
from blemish.metrics.counts import Mask, Row, Scores, both, finite, fraction, labelled, picture
from blemish.metrics.pimo import BOUNDS, pimo_areas
from blemish.metrics.pro import overlaps, saturated, union

GOOD, BAD, OVERLAP = range(3)


class ImageScores:
    """Labels and scores of images; the metrics are the exact ones."""

    def __init__(self) -> None:
        self._labels: list[Mask] = []
        self._scores: list[Row] = []

    def update(self, labels: ArrayLike, scores: ArrayLike) -> None:
        """Add images.

        Args:
            labels: 0 (good) or 1 (defective), (B,) or a single number.
            scores: Raw scores, of the same shape.

        Raises:
            InputError: shapes differ, a label is neither 0 nor 1, a score is NaN or infinite.
        """
        truth, values = labelled(labels, scores)
        self._labels.append(truth)
        self._scores.append(values.astype(np.float64))

    @property
    def labels(self) -> Mask:
        """(N,) True for defective."""
        return np.concatenate([np.zeros(0, np.bool_), *self._labels])

    @property
    def scores(self) -> Row:
        """(N,) raw scores."""
        return np.concatenate([np.zeros(0), *self._scores])

    def auroc(self) -> float:
        """Return the AUROC, as `ranking.auroc`."""
        return ranking.auroc(self.labels, self.scores)

    def average_precision(self) -> float:
        """Return the average precision, as `ranking.average_precision`."""
        return ranking.average_precision(self.labels, self.scores)

    def f1_max(self) -> tuple[float, float]:
        """Return the best F1 and its threshold, as `ranking.f1_max`."""
        return ranking.f1_max(self.labels, self.scores)

    def merge(self, other: ImageScores) -> None:
        """Add the images of another accumulator.

        Args:
            other: The accumulator; it is left unchanged.
        """
        self._labels += other._labels
        self._scores += other._scores


class PixelHistogram:
    """Counts of good and defective pixels, and of what each adds to the overlap with its region, by raw score.

    Memory: at most 75 MB, however many images.

    Attributes:
        regions: Number of regions counted.
    """

    def __init__(self) -> None:
        self._bins = FloatBins(3)
        self.regions = 0

    def update(
        self,
        map: ArrayLike,
        mask: ArrayLike,
        valid: ArrayLike | None = None,
        instances: Sequence[ArrayLike] | None = None,
        saturations: Sequence[float] | None = None,
    ) -> None:
        """Add an image; scores are kept as float32.

        Args:
            map: (H, W) raw map.
            mask: (H, W) binary mask; a good image's mask is empty.
            valid: (H, W) binary, 1 where pixels count; everywhere by default.
            instances: Binary masks of the defects, (H, W), whose union is the mask; by default its connected regions.
            saturations: Pixels that cover each instance; the AUPRO is then the saturated one, see `pro`.

        Raises:
            InputError: NaN or infinity (also after rounding to float32), shapes that differ, a mask that is not binary
                or not the union of the instances, or saturations without instances; nothing is then counted.
        """
        self._add(*_truth(map, mask, valid, instances, saturations))

    def _add(self, good: Scores, bad: Scores, region: Scores, weights: Row, count: int) -> None:
        split = np.cumsum([len(good), len(bad)])
        same = bad is region
        places = np.split(self._bins.locate(np.concatenate([good, bad] if same else [good, bad, region])), split)
        self._bins.add(GOOD, places[0])
        self._bins.add(BAD, places[1])
        self._bins.add(OVERLAP, places[1] if same else places[2], weights)
        self.regions += count

    def merge(self, other: PixelHistogram) -> None:
        """Add the images of another histogram.

        Args:
            other: The histogram; it is left unchanged.
        """
        self._bins.merge(other._bins)
        self.regions += other.regions

    @property
    def measurable(self) -> bool:
        """Whether there are both good and defective pixels."""
        _, (good, bad, _) = self._bins.rows()
        return bool(good.any() and bad.any())

    def auroc(self) -> float:
        """Return the pixel AUROC, within `error_bound()` of the exact one."""
        _, good, bad, _ = self._rows()
        return float(counting.auroc(good, bad))

    def average_precision(self) -> float:
        """Return the pixel average precision."""
        _, good, bad, _ = self._rows()
        return float(counting.average_precision(good, bad))

    def f1_max(self) -> tuple[float, float]:
        """Return the best F1 of any threshold between bins, and that threshold (`score >= threshold`)."""
        floors, good, bad, _ = self._rows()
        values = counting.f1(good, bad)
        best = int(np.argmax(values))
        return float(values[best]), float(floors[best])

    def aupro(self, limit: float = 0.3) -> float:
        """Return the area under the PRO curve up to a limit, divided by it.

        Args:
            limit: Largest share of good pixels marked, in (0, 1].

        Returns:
            The area, in [0, 1], within `error_bound(limit)` of the exact one.

        Raises:
            InputError: the limit is out of range, or there is no good or no defective pixel.
        """
        fraction("limit", limit)
        _, good, _, overlap = self._rows()
        return float(counting.area(*counting.curve(good, overlap), 0.0, limit))

    def roc_curve(self, points: int = 500) -> tuple[Row, Row, Row]:
        """Return the ROC curve of pixels at points evenly spaced along it, its ends among them.

        Args:
            points: Approximate number of points, at least 2.

        Returns:
            (fpr, tpr, thresholds), thresholds falling.

        Raises:
            InputError: there are fewer than 2 points, or there is no good or no defective pixel.
        """
        floors, good, bad, _ = self._rows()
        return _thin(*counting.curve(good, bad), floors, points)

    def pro_curve(self, points: int = 500) -> tuple[Row, Row, Row]:
        """Return the PRO curve at points evenly spaced along it, its ends among them.

        Args:
            points: Approximate number of points, at least 2.

        Returns:
            (fpr, pro, thresholds), thresholds falling.

        Raises:
            InputError: as `roc_curve`.
        """
        floors, good, _, overlap = self._rows()
        return _thin(*counting.curve(good, overlap), floors, points)

    def error_bound(self, limit: float | None = None) -> float:
        """Return how far `auroc()` or `aupro(limit)` can be from the exact value of these scores.

        Inside a bin the true curve lies somewhere in the rectangle whose diagonal the metric takes: half the sum of the
        rectangles' areas. It holds up to floating-point rounding.

        Args:
            limit: The limit of the AUPRO, in (0, 1]; None means the AUROC.

        Returns:
            The bound, not negative.

        Raises:
            InputError: the limit is out of range, or there is no good or no defective pixel.
        """
        _, good, bad, overlap = self._rows()
        if limit is None:
            return float((good * bad).sum() / 2 / (good.sum() * bad.sum()))
        x, y = counting.curve(good, overlap)
        width, height = np.diff(np.minimum(x, fraction("limit", limit))), np.diff(y)
        cut = x[1:] > limit  # beyond the limit the diagonal is no bound for this side of it
        return float((width * height * np.where(cut, 1.0, 0.5)).sum() / limit)

    def _rows(self) -> tuple[Row, Row, Row, Row]:
        floors, (good, bad, overlap) = self._bins.rows()
        both(good.sum(), bad.sum(), "pixels")
        return floors, good, bad, overlap


class PimoHistogram:
    """AUPIMO over a stream: good images are counted, the defective pixels of defective images are kept as float32."""

    def __init__(self) -> None:
        self._bins = FloatBins(1)
        self._good = 0
        self._bad: list[NDArray[np.float32]] = []

    def update(self, map: ArrayLike, mask: ArrayLike, valid: ArrayLike | None = None) -> None:
        """Add an image.

        Args:
            map: (H, W) raw map.
            mask: (H, W) binary mask; a good image's mask is empty.
            valid: (H, W) binary, 1 where pixels count; everywhere by default.

        Raises:
            InputError: NaN or infinity, shapes that differ, a mask that is not binary; nothing is then counted.
        """
        scores, truth, where = picture(map, mask, valid)
        inside = truth if where is None else truth & where
        if inside.any():
            self._bad.append(_single(scores[inside]))
        elif not truth.any() and (where is None or where.any()):
            good = _single(scores.ravel() if where is None else scores[where])
            self._bins.add(0, self._bins.locate(good), 1 / len(good))
            self._good += 1

    def merge(self, other: PimoHistogram) -> None:
        """Add the images of another accumulator, after the present ones.

        Args:
            other: The accumulator; it is left unchanged.
        """
        self._bins.merge(other._bins)
        self._good += other._good
        self._bad += other._bad

    def aupimo(self, bounds: tuple[float, float] = BOUNDS) -> Row:
        """Compute AUPIMO for each defective image, as `pimo.aupimo` of scores rounded down to their bins.

        Args:
            bounds: Range of the share of good pixels marked, 0 < low < high <= 1.

        Returns:
            One score in [0, 1] for each image with a defective pixel, in their order.

        Raises:
            InputError: as `pimo.aupimo`.
        """
        if not self._good or not self._bad:
            raise InputError(f"AUPIMO needs good and defective images; there are {self._good} and {len(self._bad)}")
        floors, amounts = self._bins.rows()
        return pimo_areas(floors, amounts[0] / self._good, (self._bins.floors(scores) for scores in self._bad), bounds)


class PixelMetrics:
    """All pixel metrics over a stream, with bootstrap intervals over images: a PixelHistogram and sketches of images.

    Memory: that of the histogram, and about 8 kB per image.

    Attributes:
        histogram: Counts of the pixels of all images.
    """

    def __init__(self) -> None:
        self.histogram = PixelHistogram()
        self._sketches: list[Sketch] = []

    def update(
        self,
        map: ArrayLike,
        mask: ArrayLike,
        valid: ArrayLike | None = None,
        instances: Sequence[ArrayLike] | None = None,
        saturations: Sequence[float] | None = None,
    ) -> None:
        """Add an image, as `PixelHistogram.update`.

        Args:
            map: (H, W) raw map.
            mask: (H, W) binary mask; a good image's mask is empty.
            valid: (H, W) binary, 1 where pixels count; everywhere by default.
            instances: Binary masks of the defects, (H, W), whose union is the mask; by default its connected regions.
            saturations: Pixels that cover each instance; the AUPRO is then the saturated one, see `pro`.

        Raises:
            InputError: as `PixelHistogram.update`.
        """
        good, bad, region, weights, count = _truth(map, mask, valid, instances, saturations)
        self.histogram._add(good, bad, region, weights, count)
        self._sketches.append(sketch(good, bad, region, weights))

    def merge(self, other: PixelMetrics) -> None:
        """Add the images of another accumulator.

        Args:
            other: The accumulator; it is left unchanged.
        """
        self.histogram.merge(other.histogram)
        self._sketches += other._sketches

    @property
    def measurable(self) -> bool:
        """Whether there are both good and defective pixels."""
        return self.histogram.measurable

    def intervals(
        self,
        confidence: float = 0.95,
        repeats: int = 1000,
        seed: int = 0,
        limits: Sequence[float] = (0.3, 0.05),
    ) -> dict[str, Interval]:
        """Return the pixel metrics with their bootstrap intervals.

        Values are the histogram's. Bounds are those of `bootstrap.pixel_bootstrap`, shifted by its small difference.

        Args:
            confidence: Confidence level, in (0, 1).
            repeats: Number of resamples, at least 1.
            seed: Seed of the resampling.
            limits: Limits of the AUPRO, in (0, 1].

        Returns:
            The intervals of "pixel_AUROC", "pixel_AP", "pixel_F1Max", "pixel_AUPRO" (limit 0.3), "pixel_AUPRO_05"
            (0.05) and so on; limit 1 is "pixel_AUPRO_whole".

        Raises:
            InputError: good or defective pixels are missing, or an argument is out of range.
        """
        histogram = self.histogram
        values = {
            "AUROC": histogram.auroc(),
            "AP": histogram.average_precision(),
            "F1Max": histogram.f1_max()[0],
            **{f"AUPRO@{limit:g}": histogram.aupro(limit) for limit in limits},
        }
        drawn = pixel_bootstrap(self._sketches, limits, repeats, seed)
        return {_name(key): around(value, drawn[key], confidence) for key, value in values.items()}

    def curves(self, points: int = 500) -> dict[str, dict[str, list[float]]]:
        """Return the ROC and PRO curves of pixels, ready for JSON.

        Args:
            points: Approximate number of points of each, at least 2.

        Returns:
            "pixel_roc" and "pro", each {"x": [...], "y": [...]}.

        Raises:
            InputError: as `PixelHistogram.roc_curve`.
        """
        drawn = {"pixel_roc": self.histogram.roc_curve(points), "pro": self.histogram.pro_curve(points)}
        return {name: {"x": x.tolist(), "y": y.tolist()} for name, (x, y, _) in drawn.items()}


def _truth(
    map: ArrayLike,
    mask: ArrayLike,
    valid: ArrayLike | None,
    instances: Sequence[ArrayLike] | None,
    saturations: Sequence[float] | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], Row, int]:
    """Return the scores of good, defective and regions' pixels, what each of the last adds, and the regions' count."""
    scores, truth, where = picture(map, mask, valid)
    outside = ~truth if where is None else where & ~truth
    good = _single(scores[outside]) if truth.any() or where is not None else _single(scores.ravel())
    bad = _single(scores[truth if where is None else where & truth])
    if instances is None:
        if saturations is not None:
            raise InputError("saturations need instances: give each defect's own mask")
        _, weights = overlaps(scores, truth, where)
        return good, bad, bad, weights, round(float(weights.sum()))
    if (union(truth.shape, instances) != truth).any():
        raise InputError("the mask is not the union of the instances; give the pixels of all defects as mask")
    region, weights = saturated(scores, instances, saturations, where)
    return good, bad, _single(region), weights, round(float(weights.sum()))


def _single(scores: NDArray[Any]) -> NDArray[np.float32]:
    values = finite("map", scores)
    with np.errstate(over="ignore"):
        single = values.astype(np.float32, copy=False)
    if single is not values:
        finite("map as float32", single)
    return single


def _thin(x: Row, y: Row, floors: Row, points: int) -> tuple[Row, Row, Row]:
    if points < 2:
        raise InputError(f"points is {points}; a curve has at least 2")
    steps = np.append(0, np.cumsum(np.diff(x) + np.diff(y))) * ((points - 1) / 2)
    keep = np.append(True, np.diff(np.floor(steps + 1e-9)) > 0)
    keep[-1] = True
    return x[keep], y[keep], np.append(np.inf, floors)[keep]


def _name(key: str) -> str:
    name, _, limit = key.partition("@")
    if limit in {"", "0.3"}:
        return f"pixel_{name}"
    return f"pixel_{name}_{'whole' if limit == '1' else limit.removeprefix('0.')}"
