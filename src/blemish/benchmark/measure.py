"""Measure one cell: read the split, let the protocol have it, learn, test, and say what it cost."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import torch

from blemish.benchmark.cells import Cell
from blemish.benchmark.hardware import hardware, peak_mb, resident_mb
from blemish.benchmark.picture import picture
from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.environment import environment
from blemish.core.errors import FormatError, ImageError
from blemish.core.files import read_json, write_json
from blemish.core.read_ahead import read_ahead
from blemish.data import synthetic
from blemish.data.datamodule import DataModule
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.data.split import few_shot, split_hash
from blemish.evaluation.evaluate import Report, evaluate
from blemish.evaluation.settings import Subsets
from blemish.features.cache import FeatureCache, digests
from blemish.imaging.images import Imaging
from blemish.inference.inspector import Inspector
from blemish.training.device import choose_device, device_of
from blemish.training.random_state import seeded


def measure(
    cell: Cell, *, device: str = "cpu", features: Path | None = None, fitted: Path | None = None
) -> dict[str, Any]:
    """Return the result of a cell as JSON values.

    `features` is a folder for the cache of frozen features, if any; `fitted` one for detectors that other cells test too.

    Raises:
        BlemishError: whatever data, method and protocol raise.
    """
    begun = time.perf_counter()
    before = {**environment(), "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
    with ExitStack() as stack:
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        split, imaging = _split(cell)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="blemish-bench-"))
        test = cell.protocol.changed(split.test, imaging, Path(folder))
        cache = None
        if features is not None:
            known = _known(cell, [*split.train, *split.held_out, *test], imaging, features)
            cache = FeatureCache(features / "maps", known)
        with nullcontext() if cache is None else cache.open():
            inspector, learning, kept = _learned(cell, split, imaging, device, cache, fitted)
            reports = {
                category: evaluate(
                    inspector, records, resolution=cell.resolution, batch_size=cell.batch_size, seed=cell.seed
                )
                for category, records in _by_category(test).items()
            }
        drawn = picture(inspector, test, next(iter(reports.values())).parts)
    return {
        **_found(cell, reports, [*map(str, {str(w.message): None for w in caught})]),
        "picture": drawn,
        "costs": {**learning, **_costs(inspector.detector, cell)},
        "stamps": {
            **before,
            "machine": hardware(device_of(inspector.detector)),
            "seed": cell.seed,
            "split": split_hash([*split.train, *split.held_out, *split.test]),
            "image_size": cell.image_size,
            "train_images": len(split.train),
            "resolution": cell.resolution,
            "counts": {"train": len(split.train), "held_out": len(split.held_out), "test": len(split.test)},
            "weights": _weights(inspector),
            "fitted": "for another cell" if kept else "here",
            "features": None if cache is None else {"looked_up": cache.looked_up, "computed": cache.computed},
            "seconds": round(time.perf_counter() - begun, 3),
        },
        "failed": None,
    }


def _split(cell: Cell) -> tuple[Subsets, Imaging]:
    """Return who learns and who is tested, as the protocol wants it, and how images are prepared."""
    source = cell.source
    if source.make is not None:  # kept if it is there already; on another machine it is made there
        named = [category for category in cell.categories if category is not None]
        synthetic.make(Path(source.root), categories=named, **source.make)
    parts = [
        registry.dataset(source.kind)(
            source.root,
            category,
            image_size=cell.image_size,
            train_batch_size=cell.batch_size,
            holdout=cell.holdout,
            seed=cell.seed,
            **source.options,
        )
        for category in cell.categories
    ]
    train = [record for part in parts for record in _at_most(cell.train_images, part, cell.seed)]
    held_out = [record for part in parts for record in part.held_out_records]
    test = [record for part in parts for record in part.test_records]
    return cell.protocol.split(Subsets(train, held_out, test)), parts[0].imaging


def _at_most(count: int | None, part: DataModule, seed: int) -> list[Record]:
    train = part.train_records
    return train if count is None or count >= len(train) else few_shot(train, count, seed)


def _learned(
    cell: Cell, split: Subsets, imaging: Imaging, device: str, cache: FeatureCache | None, folder: Path | None
) -> tuple[Inspector, dict[str, Any], bool]:
    """Return a fitted inspector, what fitting cost, and whether it lay in `folder`; if not, it does now."""
    place = None if folder is None else folder / f"{cell.learning.name}.safetensors"
    if place is not None and place.exists():
        try:
            inspector = Inspector.load(place, device)
            return inspector, inspector.about["costs"], True
        except (FormatError, KeyError) as error:
            warnings.warn(f"{place} cannot be used and was fitted anew: {error}", stacklevel=2)
    inspector, costs = _learn(cell, split, imaging, device, cache)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        Inspector(inspector.detector, imaging, inspector.calibration, {**inspector.about, "costs": costs}).save(place)
    return inspector, costs, False


def _learn(
    cell: Cell, split: Subsets, imaging: Imaging, device: str, cache: FeatureCache | None
) -> tuple[Inspector, dict[str, Any]]:
    """Return a fitted inspector, with a threshold if parts are held out for one, and what fitting cost."""
    loader = Loader(split.train, imaging, batch_size=cell.batch_size, shuffle=True, seed=cell.seed, on_error="skip")
    resident = resident_mb()
    with seeded(cell.seed):
        model: Detector = registry.method(cell.method)(**cell.params).to(choose_device(device))
        begun = time.perf_counter()
        model.fit(loader)
        seconds = time.perf_counter() - begun
    peak, looked_up = peak_mb(), 0 if cache is None else cache.looked_up
    about = {"learned": [record.fingerprint for record in (*split.train, *split.held_out)]}
    inspector = Inspector(model, imaging, about=about)
    if split.held_out:
        inspector.calibrate(split.held_out, false_reject_rate=cell.false_reject_rate)
    costs: dict[str, Any] = {"fit_seconds": round(seconds, 3), "fit_looked_up": looked_up}
    costs["peak_mb"] = None if peak is None or resident is None else round(max(peak - resident, 0.0), 1)
    if device_of(model).type == "cuda":
        costs["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated(device_of(model)) / 2**20, 1)
    return inspector, costs


def _costs(model: Detector, cell: Cell) -> dict[str, Any]:
    """Return parameters in all, and milliseconds an image: the fastest of three batches of eight, after one to warm up."""
    part = torch.rand(8, 3, cell.image_size, cell.image_size, generator=torch.Generator().manual_seed(0))
    part = part.to(device_of(model))
    times = []
    with torch.inference_mode():
        for _ in range(4):
            begun = time.perf_counter()
            model(part).image.cpu()  # waits for a GPU
            times.append(time.perf_counter() - begun)
    return {"score_ms": round(1e3 * min(times[1:]) / 8, 3), "parameters": sum(p.numel() for p in model.parameters())}


def _weights(inspector: Inspector) -> dict[str, str]:
    """Return the SHA-256 of every frozen network by the name it was asked for with, or else by its place."""
    found, asked = inspector.backbones, inspector.detector.params.get("backbone")
    return {str(asked): next(iter(found.values()))} if asked and len(found) == 1 else found


def _by_category(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.category, []).append(record)
    return found


def _found(cell: Cell, reports: dict[str, Report], notes: list[str]) -> dict[str, Any]:
    """Return metrics and raw scores; of several categories, each and their mean."""
    each = {category: _one(report) for category, report in reports.items()}
    every = list(each.values())
    scores = {key: [x for one in every for x in one["scores"][key]] for key in ("keys", "kinds", "labels", "scores")}
    notes += [note for report in reports.values() for note in report.notes]
    if not cell.protocol.unified:
        return {**every[0], "by_category": {}, "notes": notes}
    shared = [name for name in every[0]["metrics"] if all(name in one["metrics"] for one in every)]
    means = {name: mean_interval([one["metrics"][name] for one in every]) for name in shared}
    return {"metrics": means, "scores": scores, "decisions": {}, "by_category": each, "notes": notes}


def _one(report: Report) -> dict[str, Any]:
    parts = report.parts
    return {
        "metrics": {name: _finite(interval._asdict()) for name, interval in report.metrics.items()},
        "decisions": _finite(report.decisions),
        "scores": {
            "keys": [part.key for part in parts],
            "kinds": [part.kind for part in parts],
            "labels": [part.label for part in parts],
            "scores": [part.score for part in parts],
        },
    }


def mean_interval(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of independent estimates with bounds from theirs.

    By the method of variance estimates recovery (Zou and Donner, "Construction of confidence limits about effect
    measures", Statistics in Medicine 27, 2008): the distances to the bounds add up as their squares do.
    """
    count = len(each)
    mean = sum(one["value"] for one in each) / count
    down = math.sqrt(sum((one["value"] - one["low"]) ** 2 for one in each)) / count
    up = math.sqrt(sum((one["high"] - one["value"]) ** 2 for one in each)) / count
    return {"value": mean, "low": mean - down, "high": mean + up}


def _finite(value: Any) -> Any:
    """Return JSON values without NaN and infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _known(cell: Cell, records: Sequence[Record], imaging: Imaging, folder: Path) -> list[str]:
    """Return the digests of the prepared images; read once for each data set, split and way of preparing them."""
    said = [imaging.as_dict(), cell.protocol.as_dict(), [record.fingerprint for record in records]]
    place = folder / "images" / f"{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]}.json"
    try:
        stored: list[str] = read_json(place)
    except (FileNotFoundError, FormatError):
        read = read_ahead(lambda record: imaging(record.image), records)
        images = (image for _, image in read if not isinstance(image, ImageError))
        stored = [digests(torch.from_numpy(image.transpose(2, 0, 1).copy())[None])[0] for image in images]
        write_json(place, stored)
    return stored
