"""Measure one cell: divide the images by its protocol, fit by an Engine, test, and report what it cost."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from blemish.benchmark.cells import COSTS, Cell, is_fitted
from blemish.benchmark.hardware import hardware
from blemish.benchmark.picture import picture
from blemish.core import registry
from blemish.core.detector import Detector
from blemish.core.environment import environment
from blemish.core.errors import FormatError, ImageError, InputError
from blemish.core.files import read_json, write_json
from blemish.core.inputs import KINDS
from blemish.core.memory import peak_mb, resident_mb
from blemish.core.read_ahead import read_ahead
from blemish.core.types import Batch
from blemish.data import synthetic
from blemish.data.record import Record
from blemish.data.split import split_hash
from blemish.engine.engine import Engine
from blemish.engine.search import SearchResult, search
from blemish.evaluation.evaluate import evaluate
from blemish.evaluation.protocol_data import ProtocolData
from blemish.evaluation.report import Report
from blemish.features.cache import FeatureCache, digests
from blemish.imaging.images import Imaging
from blemish.inference.inspector import Inspector
from blemish.training.device import device_of
from blemish.training.random_state import seeded


def measure(
    cell: Cell, *, device: str = "cpu", features: Path | None = None, fitted: Path | None = None, keep: bool = True
) -> dict[str, Any]:
    """Return the result of a cell as JSON values.

    Args:
        cell: What to measure.
        device: "cpu", "auto" or "cuda:0".
        features: Folder for the cache of frozen features; None caches nothing.
        fitted: Folder for the run folders of fits: an interrupted training is resumed there, and a detector that is
            there already is not fitted again. None fits in a temporary folder.
        keep: Whether the fitted detector stays there, for other cells that test it too.

    Returns:
        Metrics, raw scores, decisions, costs, stamps (how it was measured) and a picture.

    Raises:
        BlemishError: whatever data, method and protocol raise.
    """
    begun = time.perf_counter()
    before = {**environment(), "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None}
    with ExitStack() as stack:
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        data = _data(cell)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="blemish-benchmark-")))
        test = cell.protocol.changed(data.test_records, data.imaging, scratch)
        cache = None
        if features is not None:
            records = [*data.train_records, *data.held_out_records, *test]
            cache = FeatureCache(features / "maps", _known(cell, records, data.imaging, features))
        folder = scratch / "run" if fitted is None else fitted / cell.learning.name
        searched: SearchResult | None = None
        with nullcontext() if cache is None else cache.open():
            if cell.search:
                searched = _searched(cell, data, device)
                cell, data = replace(cell, params={**cell.params, **searched.best}), searched.data
            inspector, learning, kept = _fitted(cell, data, device, cache, folder)
            report = evaluate(
                inspector,
                test,
                resolution=cell.resolution,
                batch_size=cell.batch_size,
                seed=cell.seed,
                data=data,
            )
        drawn = picture(inspector, test, next(iter(report.categories.values()), report).parts)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    split = data.subsets
    return {
        **_found(cell, report, [*map(str, {str(w.message): None for w in caught})]),
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
            **({} if searched is None else {"search": searched.as_dict()}),
            "features": None if cache is None else {"looked_up": cache.looked_up, "computed": cache.computed},
            "seconds": round(time.perf_counter() - begun, 3),
        },
        "failed": None,
    }


def _data(cell: Cell) -> ProtocolData:
    """Return the images of a cell, divided by its protocol."""
    source = cell.source
    named = [category for category in cell.categories if category is not None]
    if source.make is not None:  # kept if it is there already; on another machine it is made there
        synthetic.make(Path(source.root), categories=named, **source.make)
    data = registry.dataset(source.kind)(
        source.root,
        named if cell.protocol.unified else cell.categories[0],
        image_size=cell.image_size,
        train_batch_size=cell.batch_size,
        holdout=cell.holdout,
        seed=cell.seed,
        **source.options,
    )
    return ProtocolData(data, cell.protocol, train_images=cell.train_images)


def _searched(cell: Cell, data: ProtocolData, device: str) -> SearchResult:
    judge: Any = cell.judge
    return search(cell.method, cell.search, data, params=cell.params, judge=judge, device=device, seed=cell.seed)


def _fitted(
    cell: Cell, data: ProtocolData, device: str, cache: FeatureCache | None, folder: Path
) -> tuple[Inspector, dict[str, Any], bool]:
    """Return a fitted inspector, what fitting cost, and whether it was in `folder` already; if not, it is now."""
    complete = is_fitted(folder)
    try:
        return (*_fit(cell, data, device, cache, folder), complete)
    except (FormatError, InputError) as error:
        if not folder.exists():
            raise
        shutil.rmtree(folder)
        warnings.warn(f"{folder} cannot be used and was fitted anew: {error}", stacklevel=2)
    return (*_fit(cell, data, device, cache, folder), False)


def _fit(
    cell: Cell, data: ProtocolData, device: str, cache: FeatureCache | None, folder: Path
) -> tuple[Inspector, dict[str, Any]]:
    """Fit by an Engine in `folder`, or go on with what was interrupted there; return the inspector and what it cost."""
    with seeded(cell.seed):
        model: Detector = registry.method(cell.method)(**cell.params)
    engine = Engine(
        seed=model.params.get("seed", cell.seed),
        device=device,
        false_reject_rate=cell.false_reject_rate,
        patience=cell.patience,
    )
    interrupted = (folder / "run.json").exists()
    costs: dict[str, Any] = {}
    _timed(model, costs, cache)
    inspector = engine.fit(model, data, folder=folder, verbose=False)
    if interrupted and not (folder / COSTS).exists():
        warnings.warn("its fit was interrupted and resumed, so its time and memory are not known", stacklevel=2)
        costs = {"fit_looked_up": costs.get("fit_looked_up", 0)}
    if not (folder / COSTS).exists():
        write_json(folder / COSTS, costs)
    stored: dict[str, Any] = read_json(folder / COSTS)
    return inspector, stored


def _timed(model: Detector, costs: dict[str, Any], cache: FeatureCache | None) -> None:
    """Let `model` note in `costs` what its own fit takes, without the Engine's reading, hashing and saving around it."""
    fit = model.fit

    def timed(data: Iterable[Batch]) -> Detector:
        resident, begun = resident_mb(), time.perf_counter()
        fit(data)
        costs["fit_seconds"] = round(time.perf_counter() - begun, 3)
        costs["fit_looked_up"] = 0 if cache is None else cache.looked_up
        peak = peak_mb()
        costs["peak_mb"] = None if peak is None or resident is None else round(max(peak - resident, 0.0), 1)
        if device_of(model).type == "cuda":
            costs["peak_gpu_mb"] = round(torch.cuda.max_memory_allocated(device_of(model)) / 2**20, 1)
        return model

    model.fit = timed  # type: ignore[method-assign]


def _costs(model: Detector, cell: Cell) -> dict[str, Any]:
    """Return parameters in all, and milliseconds an image: the fastest of three batches of eight, after one to warm up."""
    generator, size = torch.Generator().manual_seed(0), (cell.image_size, cell.image_size)
    part: dict[str, Any] = {
        name: torch.rand(8, KINDS[name].channels, *size, generator=generator).to(device_of(model))
        if KINDS[name].channels
        else [str(cell.categories[0] or cell.source.name)] * 8
        for name in model.inputs
    }
    times = []
    with torch.inference_mode():
        for _ in range(4):
            begun = time.perf_counter()
            model(**part).image.cpu()  # waits for a GPU
            times.append(time.perf_counter() - begun)
    return {"score_ms": round(1e3 * min(times[1:]) / 8, 3), "parameters": sum(p.numel() for p in model.parameters())}


def _weights(inspector: Inspector) -> dict[str, str]:
    """Return the SHA-256 of every frozen network by the name it was asked for with, or else by its place."""
    found, asked = inspector.backbones, inspector.detector.params.get("backbone")
    return {str(asked): next(iter(found.values()))} if asked and len(found) == 1 else found


def _found(cell: Cell, report: Report, notes: list[str]) -> dict[str, Any]:
    """Return metrics and raw scores; of several categories, each and their mean."""
    notes = [*notes, *report.notes]
    if not cell.protocol.unified:
        return {**_one(report), "by_category": {}, "notes": notes}
    each = {name: _one(own) for name, own in (report.categories or {cell.categories[0] or "": report}).items()}
    return {**_one(report), "decisions": {}, "by_category": each, "notes": notes}


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
