"""Does the exported file give the same results as the model? Both inspect the same images; differences are reported."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.decision import defective
from blemish.core.errors import ExportError, ImageError, InputError
from blemish.evaluation.evaluate import evaluate
from blemish.inference.inspection import Inspection
from blemish.inference.runtime import plain_inputs
from blemish.inference.sources import key_of

METRICS = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")

TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}
"""How far a score or a map value may be off, as a share of the largest seen, by precision."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of scores or maps over all images.

    Attributes:
        largest: Largest absolute difference.
        mean: Mean absolute difference.
        scale: Largest absolute value of the model itself.
    """

    largest: float
    mean: float
    scale: float

    @property
    def relative(self) -> float:
        """The largest difference as a share of the largest value."""
        return self.largest / self.scale if self.scale else self.largest


@dataclass(frozen=True, slots=True)
class Parity:
    """Result of comparing an exported file with its model.

    Attributes:
        precision: "fp32", "fp16" or "int8".
        images: Number of images compared.
        source: Where they come from: "given" or "made".
        score: Difference of the scores.
        map: Difference of the maps, None without maps.
        changed: Names of the images on which the decisions differ, None without a threshold.
        tolerance: Largest difference allowed, as a share of the largest value.
        held_out: Each metric's [of the model, of the export] on parts of known truth, and the counts "parts" and
            "changed" (decisions that differ); empty if none were given.
        bytes: Sizes (before, after): for fp32 of the model in torch and the exported file, for other precisions of the
            export in fp32 and this one.
        milliseconds: Median times of single images (before, after), network and scoring alone.
        kept: Layers left in float32.
    """

    precision: str
    images: int
    source: str
    score: Difference
    map: Difference | None
    changed: list[str] | None
    tolerance: float
    held_out: dict[str, Any] = field(default_factory=dict)
    bytes: tuple[int, int] = (0, 0)
    milliseconds: tuple[float, float] = (0.0, 0.0)
    kept: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Within the tolerance; in fp32 also no decision that differs."""
        near = all(d.relative <= self.tolerance for d in (self.score, self.map) if d is not None)
        return near and (self.precision != "fp32" or not self.changed)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "passed": self.passed}

    def text(self) -> str:
        """Return the report for a terminal."""
        rows = [f"Parity, {self.precision}, on {self.images} images ({self.source}):"]
        for name, d in (("score", self.score), ("map", self.map)):
            if d is not None:
                rows.append(
                    f"  {name:<9} largest difference {d.largest:.3g}, mean {d.mean:.3g}; "
                    f"{d.relative:.2g} of the largest {name} {d.scale:.4g} (allowed {self.tolerance:g})"
                )
        if self.changed is not None:
            named = f": {', '.join(self.changed[:3])}" if self.changed else ""
            rows.append(f"  decisions {len(self.changed)} of {self.images} differ{named}")
        for name, value in self.held_out.items():
            if isinstance(value, list):
                rows.append(f"  {name:<13} {value[0]:.4f} to {value[1]:.4f} ({value[1] - value[0]:+.4f})")
        if self.held_out:
            rows.append(f"  held out: {self.held_out['changed']} of {self.held_out['parts']} decisions differ")
        what = "model in torch" if self.precision == "fp32" else "fp32 export"
        rows.append(
            f"  against the {what}: {self.bytes[1] / 1e6:.1f} MB after {self.bytes[0] / 1e6:.1f}, "
            f"{self.milliseconds[1]:.1f} ms an image after {self.milliseconds[0]:.1f}"
        )
        if self.kept:
            rows.append(f"  left in float32: {', '.join(self.kept)}")
        return "\n".join(rows)


def compare(
    model: Inspection, exported: Inspection, sources: Sequence[Any]
) -> tuple[Difference, Difference | None, list[str] | None]:
    """Compare the scores, maps and decisions of two inspections of the same images.

    Maps are compared at the images' own size, as users see them. Unreadable images are skipped.

    Args:
        model: The model itself.
        exported: The exported file.
        sources: Files, arrays or Records.

    Returns:
        The differences of scores and of maps (None without maps), and the names of the images on which the decisions
        differ (None without a threshold).

    Raises:
        InputError: no image could be read.
        ExportError: a score or a map is not finite in one of them, so that nothing can be compared.
    """
    scores, maps = _Sum(), _Sum()
    changed: list[str] = []
    localises = False
    pairs = zip(model.raw(sources, batch_size=4), exported.raw(sources, batch_size=4), strict=True)
    for index, ((source, own), (_, other)) in enumerate(pairs):
        if isinstance(own, ImageError) or isinstance(other, ImageError):
            continue
        named = key_of(source, index)
        scores.add(np.array([own.score]), np.array([other.score]), f"score of {named}")
        if own.map is not None and other.map is not None:
            localises = True
            first, second = (model.imaging.restore(map, own.original) for map in (own.map, other.map))
            maps.add(first, second, f"map of {named}")
        if model.calibration is not None:
            threshold = model.calibration.threshold
            if defective(own.score, threshold) != defective(other.score, threshold):
                changed.append(named)
    if not scores.count:
        raise InputError(f"none of {len(sources)} images could be read, so nothing shows that the export is right.")
    return scores.found(), maps.found() if localises else None, changed if model.calibration is not None else None


def held_out(model: Inspection, exported: Inspection, records: Sequence[Any]) -> dict[str, Any]:
    """Evaluate both on parts of known truth.

    Args:
        model: The model itself.
        exported: The exported file.
        records: Records of good and defective parts.

    Returns:
        Each metric's [of the model, of the export], the number of "parts", and how many decisions have "changed".

    Raises:
        InputError: good or defective parts are missing.
    """
    own, other = (evaluate(one, records) for one in (model, exported))
    found: dict[str, Any] = {
        name: [own.metrics[name].value, other.metrics[name].value] for name in METRICS if name in own.metrics
    }
    pairs = zip(own.parts, other.parts, strict=True)
    return {**found, "parts": len(own.parts), "changed": sum(a.defective != b.defective for a, b in pairs)}


def milliseconds(inspection: Inspection, repeats: int = 15) -> float:
    """Measure the median time of scoring one prepared image, after one for warming up.

    Args:
        inspection: An Inspector or a Runtime.
        repeats: Number of measurements.

    Returns:
        The time in milliseconds.
    """
    part = plain_inputs(inspection, 1)
    inspection.score(part)
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        inspection.score(part)
        times.append(time.perf_counter() - begun)
    return 1e3 * float(np.median(times))


class _Sum:
    """Largest and mean absolute difference of arrays that come one after another."""

    def __init__(self) -> None:
        self.largest = self.total = self.scale = 0.0
        self.count = 0

    def add(self, own: NDArray[Any], other: NDArray[Any], what: str) -> None:
        for looks, values in (("model", own), ("exported file", other)):
            if not np.isfinite(values).all():
                raise ExportError(
                    f"the {what} is not finite in the {looks}, so nothing shows that the export is right. "
                    "Look at the part with the model; fp32 has the widest range."
                )
        differ = np.abs(own.astype(np.float64) - other)
        self.largest = max(self.largest, float(differ.max()))
        self.total += float(differ.sum())
        self.count += differ.size
        self.scale = max(self.scale, float(np.abs(own).max()))

    def found(self) -> Difference:
        return Difference(self.largest, self.total / self.count, self.scale)
