"""The main job from end to end on images made here: no network, no data set, no GPU."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from pathlib import Path

from blemish.core import registry
from blemish.core.card import Preset
from blemish.data import synthetic
from blemish.data.datamodule import DataModule
from blemish.engine.engine import Engine
from blemish.evaluation.report import Report
from blemish.report.page import write_index

_HEAD = "category         image AUROC pixel AUROC   AUPRO   escaped  rejected  seconds"


def run_demo(
    out: Path,
    *,
    categories: Sequence[str] | None = None,
    method: str = "patchcore",
    preset: str | None = None,
    seed: int = 0,
) -> Path:
    """Make the synthetic inspection task, then fit, test and report each category.

    Args:
        out: Folder for images, runs and the index page.
        categories: Only these; None for all.
        method: The method's name.
        preset: One of the method's; None takes its "quick" if it has one, for a demonstration is to take minutes.
        seed: Of images, split and model.

    Returns:
        The index page.

    Raises:
        UnknownName: no such method, category or preset.
        StorageError: `out` cannot be written.
    """
    make = registry.method(method)
    settings = _settings(method, preset)
    seeded = {"seed": seed} if "seed" in inspect.signature(make).parameters else {}
    print(f"Making images in {out / 'images'}", flush=True)
    root = synthetic.make(out / "images", categories=categories, train=60, seed=seed)
    engine = Engine(out / "runs", seed=seed, false_reject_rate=0.05)
    pages: dict[str, tuple[Report, Path]] = {}
    print(_HEAD, flush=True)
    for category in categories or synthetic.CATEGORIES:
        began = time.perf_counter()
        model, data = make(**seeded, **settings.params), _data(root, category, settings, seed)
        engine.fit(model, data, verbose=False)
        report = engine.report(model, data)
        run = engine.run_of(model)
        assert run is not None  # noqa: S101 - fit made it
        pages[category] = report, run.page
        print(_row(category, report, time.perf_counter() - began), flush=True)
    return write_index(out / "report.html", pages)


def _settings(method: str, preset: str | None) -> Preset:
    """Return the settings to fit with, and say how long the training of each category is, if there is one."""
    known = registry.method_card(method).presets
    wanted = preset or ("quick" if "quick" in known else None)
    if wanted is None:
        return Preset(256, 32)
    settings = registry.preset(method, wanted)
    defaults = {p.name: p.default for p in inspect.signature(registry.method(method)).parameters.values()}
    length = registry.training({**defaults, **settings.params}, settings.image_size, settings.batch_size)
    others = ", ".join(f"--preset {name}" for name in known if name != wanted)
    print(f"Settings: {wanted} of {method}, {length} (or: {others})", flush=True)
    return settings


def _data(root: Path, category: str, settings: Preset, seed: int) -> DataModule:
    return registry.dataset("synthetic")(
        root,
        category,
        image_size=settings.image_size,
        train_batch_size=settings.batch_size,
        holdout=1 / 3,
        seed=seed,
    )


def _row(category: str, report: Report, seconds: float) -> str:
    values = (report.metrics[name].value for name in ("image_AUROC", "pixel_AUROC", "pixel_AUPRO"))
    image, pixel, pro = values
    escape, reject = report.decisions["escape_rate"], report.decisions["false_reject_rate"]
    escaped, rejected = (f"{rate['count']}/{rate['of']}" for rate in (escape, reject))
    return f"{category:<16} {image:>11.4f} {pixel:>11.4f} {pro:>7.4f} {escaped:>9} {rejected:>9} {seconds:>8.1f}"
