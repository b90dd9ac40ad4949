"""Measure an inspector on parts of known truth: one pass over the images, raw scores, bounded memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish import metrics
from blemish.core.environment import environment
from blemish.core.errors import DataError, ImageError, InputError, UnknownName
from blemish.core.prediction import Prediction
from blemish.core.progress import progress
from blemish.data.datamodule import DataModule
from blemish.data.record import Record
from blemish.evaluation.by_category import combined
from blemish.evaluation.new_parts import among
from blemish.evaluation.own_metrics import OwnMetric, own_metrics
from blemish.evaluation.report import REGIONS, RESOLUTIONS, PartResult, Report, Resolution
from blemish.imaging import regions
from blemish.imaging.images import Imaging
from blemish.imaging.reading import read_mask
from blemish.inference.inspection import Inspection
from blemish.metrics import Interval


def evaluate(
    inspector: Inspection,
    records: Sequence[Record],
    *,
    resolution: Resolution = "original",
    batch_size: int = 8,
    about: dict[str, Any] | None = None,
    seed: int = 0,
    data: DataModule | None = None,
) -> Report:
    """Score every record and measure; nothing is fitted or chosen here.

    Parts of several categories are measured category by category, each at its own threshold; the report holds the mean of
    their metrics, and that of each.

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
        data: The data set that they are of; its own metrics are measured as well (`evaluation.own_metrics`).

    Returns:
        The report.

    Raises:
        InputError: good or defective parts are missing, a part's label is None, or the resolution is unknown.
        ImageError: an image or a mask cannot be read: a test that leaves parts out would flatter.
        DataError: a mask has another size than its image.
    """
    _check(records, resolution)
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.category, []).append(record)
    if "" in groups:  # of some the product is not known, so all are measured together
        groups = {"": list(records)}
    if len(groups) > 1:
        for name, group in groups.items():
            _check(group, resolution, f" of {name}")
    found = {
        name: _evaluate(inspector, group, resolution, batch_size, about or {}, seed, data)
        for name, group in sorted(groups.items())
    }
    return combined(found) if len(found) > 1 else next(iter(found.values()))


def _evaluate(
    inspector: Inspection,
    records: Sequence[Record],
    resolution: Resolution,
    batch_size: int,
    about: dict[str, Any],
    seed: int,
    data: DataModule | None,
) -> Report:
    """Measure the parts of one category."""
    began = time.perf_counter()
    category = records[0].category if len({record.category for record in records}) == 1 else ""
    calibration = None if inspector.calibration is None else inspector.calibration.of(category)
    own, without = own_metrics(inspector, data, category)
    parts, pixels, pimo, unmarked, vanished = _look(inspector, records, resolution, batch_size, own)
    labels = np.array([part.label for part in parts])
    scores = np.array([part.score for part in parts])
    notes = [*_notes_on_overlap(inspector, records), *without]
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
    found |= {name: value for metric in own for name, value in metric.result(seed).items()}
    try:
        if pixels.measurable:
            found["pixel_AUPIMO"] = metrics.interval(np.mean, pimo.aupimo(), seed=seed)
    except InputError as error:  # too few good pixels to reach false-positive rates of 1e-5
        notes.append(f"No AUPIMO: {error}")
    seconds = time.perf_counter() - began
    threshold = None if calibration is None else calibration.threshold
    return Report(
        metrics=found,
        decisions={} if threshold is None else metrics.decisions(labels, scores, threshold),
        kinds=[asdict(k) for k in metrics.by_kind([p.kind for p in parts], labels, scores, threshold).values()],
        parts=parts,
        curves=curves,
        calibration=None if calibration is None else calibration.as_dict(),
        about={
            **about,
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
    inspector: Inspection,
    records: Sequence[Record],
    resolution: Resolution,
    batch_size: int,
    own: Sequence[OwnMetric],
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
        for metric in own:
            metric.update(record, verdict, truth, inspector.imaging.valid(raw.original))
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


def _check(records: Sequence[Record], resolution: str, of: str = "") -> None:
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
            f"a test needs good and defective parts of known truth; there are {good} good and {bad} defective ones{of}. "
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
        category=record.category,
        branches={name: branch.score for name, branch in verdict.branches.items()},
        words=verdict.words,
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
