"""The metrics that belong to a data set: its card names them, and a test prints them first where its papers do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from blemish import metrics
from blemish.core.errors import ImageError, InputError, UnknownName
from blemish.core.prediction import Prediction
from blemish.data.datamodule import DataModule
from blemish.data.record import Record
from blemish.imaging.reading import read_mask
from blemish.inference.inspection import Inspection
from blemish.metrics import Interval

Truth = NDArray[np.bool_]

SPRO = {
    "AU_sPRO_05": "pixel_AUPRO_05",
    "AU_sPRO_01": "pixel_AUPRO_01",
    "AU_sPRO_1": "pixel_AUPRO_1",
    "AU_sPRO_3": "pixel_AUPRO",
    "AU_sPRO_whole": "pixel_AUPRO_whole",
}
"""The areas up to the LIMITS, by the name that `PixelMetrics` has for each."""

LIMITS = (0.05, 0.01, 0.1, 0.3, 1.0)
"""False-positive rates up to which the sPRO curve is integrated in the LOCO paper; 0.05 is the one it compares by."""


class OwnMetric(Protocol):
    """What a data set's paper measures, fed part by part."""

    def update(self, record: Record, verdict: Prediction, truth: Truth | None, valid: Truth) -> None:
        """Count a part.

        Args:
            record: The part.
            verdict: The verdict on it, with its map at the part's own size.
            truth: (H, W) where it is defective, None where nobody has marked it.
            valid: (H, W) where pixels count.
        """

    def result(self, seed: int) -> dict[str, Interval]:
        """Return the metrics by name.

        Args:
            seed: Of the bootstrap.

        Returns:
            The metrics with their intervals.
        """


class SaturatedPro(OwnMetric):
    """AU-sPRO and image AUROC, of logical and of structural anomalies apart, and their mean.

    Bergmann et al., "Beyond dents and scratches", IJCV 130, 2022: a kind of anomaly is measured on its own images and all
    good ones; an instance of a defect counts as found from its saturation area on (`DataModule.saturations`).

    Args:
        data: The data set, which knows the saturation areas.
    """

    def __init__(self, data: DataModule) -> None:
        self.data = data
        self.pixels = {kind: metrics.PixelMetrics() for kind in ("logical", "structural")}
        self.labels: dict[str, list[int]] = {kind: [] for kind in self.pixels}
        self.scores: dict[str, list[float]] = {kind: [] for kind in self.pixels}

    def update(self, record: Record, verdict: Prediction, truth: Truth | None, valid: Truth) -> None:
        """Count a part for its kind of anomaly, a good one for both; see `OwnMetric`."""
        for kind in self.pixels:
            if record.label == 1 and not record.kind.startswith(kind):
                continue
            self.labels[kind].append(int(record.label == 1))
            self.scores[kind].append(verdict.score)
            if verdict.map is None or truth is None:
                continue
            instances = [read_mask(path, above=record.mask_above) for path in record.masks]
            self.pixels[kind].update(verdict.map, truth, valid, instances, self.data.saturations(record))

    def result(self, seed: int) -> dict[str, Interval]:
        """Return the metrics of each kind that was tested, and of both their means."""
        found: dict[str, Interval] = {}
        for kind, pixels in self.pixels.items():
            if set(self.labels[kind]) == {0, 1}:
                image = metrics.image_intervals(self.labels[kind], self.scores[kind], seed=seed)
                found[f"image_AUROC_{kind}"] = image["image_AUROC"]
            if pixels.measurable:
                each = pixels.intervals(seed=seed, limits=LIMITS)
                found |= {f"{name}_{kind}": each[usual] for name, usual in SPRO.items()}
        for name in ("image_AUROC", *SPRO):
            both = [found[f"{name}_{kind}"] for kind in self.pixels if f"{name}_{kind}" in found]
            if len(both) == len(self.pixels):
                mean = metrics.mean_interval(both)
                found["image_AUROC_mean" if name == "image_AUROC" else name] = mean
        order = [*(n for n in SPRO if n in found), *(n for n in found if n not in SPRO)]
        return {name: found[name] for name in order}


class SegF1(OwnMetric):
    """F1 of the pixels at one threshold, counted over all images: the mean of the validation maps and 3 deviations.

    Heckler-Kram et al., "The MVTec AD 2 dataset", 2025; the threshold is the one that its submission checker suggests.

    Args:
        inspector: Whose maps of good parts set the threshold.
        validation: The good parts.

    Raises:
        ImageError: one of them cannot be read.
    """

    def __init__(self, inspector: Inspection, validation: list[Record]) -> None:
        count, total, squares = 0, 0.0, 0.0
        for _, raw in inspector.raw(validation):
            if isinstance(raw, ImageError):
                raise raw
            if raw.map is None:
                break
            map = inspector.imaging.restore(raw.map, raw.original).astype(np.float64)
            count, total, squares = count + map.size, total + float(map.sum()), squares + float((map**2).sum())
        self.counts: list[tuple[int, int, int]] = []
        mean = total / max(count, 1)
        self.threshold = mean + 3 * max(squares / max(count, 1) - mean**2, 0.0) ** 0.5 if count else None

    def update(self, record: Record, verdict: Prediction, truth: Truth | None, valid: Truth) -> None:
        """Count the pixels of a part; see `OwnMetric`."""
        if verdict.map is None or truth is None or self.threshold is None:
            return
        marked, bad = (verdict.map >= self.threshold) & valid, truth & valid
        hit = int((marked & bad).sum())
        self.counts.append((hit, int(marked.sum()) - hit, int(bad.sum()) - hit))

    def result(self, seed: int) -> dict[str, Interval]:
        """Return SegF1; nothing where the method has no maps."""
        return {"SegF1": metrics.interval(_f1, np.array(self.counts), seed=seed)} if self.counts else {}


def _f1(counts: NDArray[np.int64]) -> float:
    hit, false, missed = np.asarray(counts).sum(0)
    return float(2 * hit / max(2 * hit + false + missed, 1))


def _saturated_pro(inspector: Inspection, data: DataModule, category: str) -> OwnMetric:
    return SaturatedPro(data)


def _seg_f1(inspector: Inspection, data: DataModule, category: str) -> OwnMetric:
    validation = [record for record in data.held_out_records if record.category == category]
    if not validation:
        raise InputError("No SegF1: there are no validation images to choose its threshold from.")
    return SegF1(inspector, validation)


OWN: Mapping[str, Callable[[Inspection, DataModule, str], OwnMetric]] = MappingProxyType(
    {"AU-sPRO": _saturated_pro, "SegF1": _seg_f1}
)
"""By the name that a `DatasetCard` has in its `metrics`."""


def own_metrics(inspector: Inspection, data: DataModule | None, category: str) -> tuple[list[OwnMetric], list[str]]:
    """Return the metrics that a data set's card names, ready to be fed with the parts of a category.

    Args:
        inspector: The model that is tested.
        data: The data set; None has no metrics of its own.
        category: The category.

    Returns:
        The metrics, and notes on those that cannot be measured.

    Raises:
        UnknownName: the card names a metric that is not there.
    """
    found: list[OwnMetric] = []
    notes: list[str] = []
    for name in () if data is None else data.card.metrics:
        if name not in OWN:
            raise UnknownName("metric of a data set's card", name, OWN)
        try:
            found.append(OWN[name](inspector, data, category))  # type: ignore[arg-type]  # there is one, if it has metrics
        except InputError as error:
            notes.append(str(error))
    return found, notes
