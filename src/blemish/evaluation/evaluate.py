"""Measure an inspector on parts of known truth: one pass over the images, raw scores, bounded memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from blemish import metrics
from blemish.core.environment import environment
from blemish.core.errors import DataError, ImageError, InputError, UnknownName
from blemish.core.files import printable, read_json
from blemish.core.prediction import Prediction, Region
from blemish.core.progress import progress
from blemish.data.record import Record
from blemish.evaluation.new_parts import among
from blemish.imaging import regions
from blemish.imaging.images import Imaging
from blemish.imaging.reading import read_mask
from blemish.inference.inspection import Inspection
from blemish.metrics import Confusion, Interval, Rate

Resolution = Literal["original", "network"]
RESOLUTIONS = get_args(Resolution)
"""At which size pixels are compared.

"original": maps are enlarged to each image's own size and compared with the mask as it was drawn.
"network": masks are resized (nearest) and cropped to the network's input, as most papers do: small defects may vanish. A
part whose defect does so then counts with good pixels only, but never as one of AUPIMO's good images.
"""


PIMO_INTERVAL = "AUPIMO's interval is over defective images, with these good ones, which set its thresholds."
"""Said wherever the interval is shown: other good images would move AUPIMO by more."""


REGIONS = 50
"""How many regions of a part a report keeps, those with the highest peaks: a noisy map has thousands."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """One tested part: truth, raw score, verdict, and where both lie in pixels of the image.

    `peak` and `peak_at` are the map's highest score and its (x, y); None without a map. Of its `region_count` regions at
    most REGIONS are kept as `regions`; without a pixel threshold there are none, and the count is None.
    `true_area` and `true_box` (left, top, right, bottom) are those of all that is marked as defective, None if nothing or
    nobody has marked it; `hit` is whether a region overlaps it.
    """

    key: str
    image: str
    kind: str
    label: int
    score: float
    p_value: float | None
    defective: bool | None
    peak: float | None = None
    peak_at: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    region_count: int | None = None
    true_area: int | None = None
    true_box: tuple[int, int, int, int] | None = None
    hit: bool | None = None

    @property
    def unplaced(self) -> bool:
        """Whether the part is rejected although no region of its map reaches the pixel threshold."""
        return bool(self.defective) and self.region_count == 0

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> PartResult:
        """Return the part whose JSON values these are; what older reports lack stays empty.

        Args:
            stored: The values.

        Returns:
            The part.
        """
        pairs = {name: tuple(stored[name]) for name in ("peak_at", "true_box") if stored.get(name) is not None}
        found = tuple(map(Region.from_dict, stored.get("regions", ())))
        return cls(**{**stored, **pairs, "regions": found})


@dataclass(frozen=True, slots=True)
class Report:
    """What testing found. `metrics` are Interval(value, low, high) by name; `as_dict` is the JSON that is saved."""

    metrics: dict[str, Interval]
    decisions: dict[str, Any]
    kinds: list[dict[str, Any]]
    parts: list[PartResult]
    curves: dict[str, dict[str, list[float]]]
    calibration: dict[str, Any] | None
    about: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        found = asdict(self)
        found["metrics"] = {name: interval._asdict() for name, interval in self.metrics.items()}
        return found

    @classmethod
    def load(cls, path: Path | str) -> Report:
        """Read a saved report.

        Args:
            path: A report.json.

        Returns:
            The report.

        Raises:
            FormatError: the file is not JSON.
        """
        stored = read_json(path)
        stored["metrics"] = {name: Interval(**interval) for name, interval in stored["metrics"].items()}
        stored["parts"] = [PartResult.from_dict(part) for part in stored["parts"]]
        return cls(**stored)

    def text(self) -> str:
        """Return the table for a terminal."""
        rows = [f"{'metric':<20} {'value':>7}   95 % interval"]
        rows += [f"{name:<20} {m.value:7.4f}   {m.low:.4f} to {m.high:.4f}" for name, m in self.metrics.items()]
        if "pixel_AUPIMO" in self.metrics:
            rows.append(PIMO_INTERVAL)
        if self.decisions:
            rows += ["", f"At the threshold {self.decisions['threshold']:.6g}:"]
            rows += [
                f"{name:<20} {rate.value:7.4f}   {rate.low:.4f} to {rate.high:.4f}   {rate.count} of {rate.of} {what}"
                for name, what, rate in self.rates()
            ]
            counts = self.decisions["confusion"]
            rows += ["", f"{'':<20} {'passed':>8} {'rejected':>8}"]
            rows += [f"{'good':<20} {counts['passed']:>8} {counts['rejected']:>8}"]
            rows += [f"{'defective':<20} {counts['escaped']:>8} {counts['caught']:>8}"]
        if self.kinds:
            rows += ["", f"{'kind':<20} {'parts':>5} {'AUROC':>7} {'escapes':>8} {'recall':>7}   95 % interval"]
            for kind in self.kinds:
                row = f"{printable(kind['kind']):<20} {kind['count']:>5} {kind['auroc']:7.4f} "
                if kind["escapes"] is None:
                    rows.append(f"{row}{'-':>8} {'-':>7}   -")
                else:
                    recall = f"{1 - kind['escape_rate']:7.4f}   {1 - kind['high']:.4f} to {1 - kind['low']:.4f}"
                    rows.append(f"{row}{kind['escapes']:>8} {recall}")
        return "\n".join([*rows, *(f"Note: {printable(note)}" for note in self.notes)])

    def rates(self) -> list[tuple[str, str, Rate]]:
        """Return what the threshold does, none without one.

        There is no precision where nothing is rejected. It holds for the tested mix of good and defective parts alone.

        Returns:
            (name, what is counted, share with its interval) each.
        """
        if not self.decisions:
            return []
        counts = Confusion(**self.decisions["confusion"])
        marked, bad = counts.caught + counts.rejected, counts.caught + counts.escaped
        found = [
            ("escape_rate", "defective parts pass", Rate(**self.decisions["escape_rate"])),
            ("false_reject_rate", "good parts are rejected", Rate(**self.decisions["false_reject_rate"])),
            ("recall", "defective parts are rejected", metrics.rate(counts.caught, bad)),
        ]
        if marked:
            found.append(("precision", "rejected parts are defective", metrics.rate(counts.caught, marked)))
        return found


def evaluate(
    inspector: Inspection,
    records: Sequence[Record],
    *,
    resolution: Resolution = "original",
    batch_size: int = 8,
    about: dict[str, Any] | None = None,
    seed: int = 0,
) -> Report:
    """Score every record and measure; nothing is fitted or chosen here.

    Image metrics need good and defective parts. Pixel metrics count good parts, and defective parts that have a mask.
    Intervals are bootstrapped over images; AUPIMO's over the defective ones alone: the good images, which set its
    thresholds, stay as they are.

    Args:
        inspector: The model.
        records: Test images with their labels and masks.
        resolution: At which size pixels are compared, see `Resolution`.
        batch_size: Images scored together.
        about: What the report says of itself, in JSON values.
        seed: Of the bootstrap.

    Returns:
        The report.

    Raises:
        InputError: good or defective parts are missing, a part's label is None, or the resolution is unknown.
        ImageError: an image or a mask cannot be read: a test that leaves parts out would flatter.
        DataError: a mask has another size than its image.
    """
    _check(records, resolution)
    began = time.perf_counter()
    parts, pixels, pimo, unmarked, vanished = _look(inspector, records, resolution, batch_size)
    labels = np.array([part.label for part in parts])
    scores = np.array([part.score for part in parts])
    notes = _notes_on_overlap(inspector, records)
    if many := [part.key for part in parts if (part.region_count or 0) > REGIONS]:
        notes.append(f"Of {len(many)} parts with more regions, the {REGIONS} highest are listed: {_first(many)}.")
    if unmarked:
        notes.append(
            f"{len(unmarked)} defective parts have no mask, or an empty one, and count at image level only: "
            f"{_first(unmarked)}."
        )
    if vanished:
        notes.append(
            f"The defects of {len(vanished)} parts vanish at the network's input, where resolution 'network' compares; "
            f"they count among the good pixels, and not in AUPIMO: {_first(vanished)}."
        )
    found, curves = _measure(labels, scores, pixels, seed)
    try:
        if pixels.measurable:
            found["pixel_AUPIMO"] = metrics.interval(np.mean, pimo.aupimo(), seed=seed)
    except InputError as error:  # too few good pixels to reach false-positive rates of 1e-5
        notes.append(f"No AUPIMO: {error}")
    seconds = time.perf_counter() - began
    threshold = None if inspector.calibration is None else inspector.calibration.threshold
    return Report(
        metrics=found,
        decisions={} if threshold is None else metrics.decisions(labels, scores, threshold),
        kinds=[asdict(k) for k in metrics.by_kind([p.kind for p in parts], labels, scores, threshold).values()],
        parts=parts,
        curves=curves,
        calibration=None if inspector.calibration is None else inspector.calibration.as_dict(),
        about={
            **(about or {}),
            "resolution": resolution,
            "backbones": inspector.backbones,
            "imaging": inspector.imaging.as_dict(),
            "seconds": round(seconds, 3),
            "images_per_second": round(len(parts) / seconds, 2),
            "environment": environment(),
        },
        notes=notes,
    )


def _look(
    inspector: Inspection, records: Sequence[Record], resolution: Resolution, batch_size: int
) -> tuple[list[PartResult], metrics.PixelMetrics, metrics.PimoHistogram, list[str], list[str]]:
    """Score every record in one pass; return the parts, what was counted, and the keys of defects that cannot be compared.

    They are those without a mask, and those whose mask is empty at the size pixels are compared at.
    """
    parts: list[PartResult] = []
    pixels, pimo = metrics.PixelMetrics(), metrics.PimoHistogram()
    unmarked: list[str] = []
    vanished: list[str] = []
    raws = inspector.raw(records, batch_size=batch_size)
    for record, raw in progress(raws, "test", total=len(records)):
        if isinstance(raw, ImageError):
            raise raw
        verdict, truth = inspector.decide(record.key, raw), truth_mask(record, raw.original)
        parts.append(_part(record, verdict, truth))
        if raw.map is None or verdict.map is None:
            continue
        if truth is None or (record.label == 1 and not truth.any()):
            unmarked.append(record.key)
            continue
        map = raw.map if resolution == "network" else verdict.map
        compared = _comparable(inspector.imaging, map, truth, raw.original, resolution)
        pixels.update(*compared)
        if record.label == 1 and not compared[1].any():
            vanished.append(record.key)
        else:
            pimo.update(*compared)
    return parts, pixels, pimo, unmarked, vanished


def truth_mask(record: Record, original: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return where a part is defective, (H, W) bool: all False for a good part, None if nobody has marked it.

    Args:
        record: The part.
        original: (height, width) of its image.

    Returns:
        (H, W) bool, all False for a good part; None if nobody has marked it.

    Raises:
        DataError: a mask has another size than the image.
        ImageError: a mask cannot be read.
    """
    if not record.masks:
        return np.zeros(original, bool) if record.label == 0 else None
    whole = np.zeros(original, bool)
    for path in record.masks:
        mask = read_mask(path, above=record.mask_above)
        if mask.shape != original:
            raise DataError(
                f"the mask {path} is {mask.shape[1]} x {mask.shape[0]} pixels, its image {record.image} is "
                f"{original[1]} x {original[0]}. Draw the mask on the image at its own size."
            )
        whole |= mask
    return whole


def _check(records: Sequence[Record], resolution: str) -> None:
    if resolution not in RESOLUTIONS:
        raise UnknownName("resolution", resolution, RESOLUTIONS)
    unknown = [record.key for record in records if record.label is None]
    if unknown:
        raise InputError(
            f"the label of {len(unknown)} parts is None, so nobody says whether they are good (0) or defective (1): "
            f"{_first(unknown)}. Leave them out, or use `blemish inspect`, which needs no truth."
        )
    good, bad = (sum(r.label == label for r in records) for label in (0, 1))
    if not good or not bad:
        raise InputError(
            f"a test needs good and defective parts of known truth; there are {good} good and {bad} defective ones. "
            "Add what is missing (test/good, test/<kind of defect>), or use `blemish inspect`, which needs no truth."
        )


def _notes_on_overlap(inspector: Inspection, records: Sequence[Record]) -> list[str]:
    """Say so if parts are tested that were learned from, or that the threshold was chosen from."""
    provenance = inspector.provenance
    names = set(provenance.learned)
    others = [record for record in records if record.fingerprint not in names]
    copies = among(provenance.learned_content or (), others)  # their names may be others in another folder
    chosen = among(provenance.calibrated, others)
    chosen = [key for key in chosen if key not in copies]
    notes = []
    both = len(records) - len(others) + len(copies)
    if both and provenance.learns_from == "unlabelled":
        notes.append(
            f"Transductive: the method was fitted on {both} of the {len(records)} tested parts, without their labels. "
            "Its results say nothing of single parts that come later."
        )
    elif both:
        notes.append(
            f"{both} of {len(records)} tested parts have the name and size, or the content, of parts that were learned "
            "from, or that the threshold was chosen from: these results flatter. Test on other parts."
        )
    if chosen:
        notes.append(
            f"The files of {len(chosen)} of {len(records)} tested parts are ones that the threshold was chosen from "
            f"({_first(chosen)}): decisions at it flatter, and nothing is guaranteed of them. Test on other parts."
        )
    return notes


def _first(keys: Sequence[str]) -> str:
    return f"{', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"


def _part(record: Record, verdict: Prediction, truth: NDArray[np.bool_] | None) -> PartResult:
    marked = None if truth is None else regions.bounds(truth)
    mask = verdict.mask
    return PartResult(
        record.key,
        str(record.image),
        record.kind,
        int(record.label == 1),
        verdict.score,
        verdict.p_value,
        verdict.defective,
        peak=None if verdict.peak is None else verdict.peak.value,
        peak_at=None if verdict.peak is None else verdict.peak.at,
        regions=verdict.regions[:REGIONS],
        region_count=None if mask is None else len(verdict.regions),
        true_area=None if truth is None or marked is None else int(np.count_nonzero(truth)),
        true_box=marked,
        hit=None if mask is None or truth is None or marked is None else bool((mask & truth).any()),
    )


def _comparable(
    imaging: Imaging,
    map: NDArray[np.float32],
    truth: NDArray[np.bool_],
    original: tuple[int, int],
    resolution: Resolution,
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return map, truth and where pixels count, all at the size pixels are compared at, which is the map's."""
    valid = imaging.valid(original)
    if resolution == "network":
        return map, imaging.prepare_mask(truth), imaging.prepare_mask(valid)
    return map, truth, valid


def _measure(
    labels: NDArray[Any], scores: NDArray[Any], pixels: metrics.PixelMetrics, seed: int
) -> tuple[dict[str, Interval], dict[str, dict[str, list[float]]]]:
    found = metrics.image_intervals(labels, scores, seed=seed)
    fpr, tpr, _ = metrics.roc_curve(labels, scores)
    curves = {"roc": {"x": fpr.tolist(), "y": tpr.tolist()}}
    if pixels.measurable:
        found |= pixels.intervals(seed=seed)
        curves |= pixels.curves()
    return found, curves
