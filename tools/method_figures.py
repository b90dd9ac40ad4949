"""Draw what each method sees on the demo's images: docs/images/methods/<name>.webp, and keep what was measured.

    python tools/method_figures.py [--methods stpm padim] [--again]

Each method is fitted with its `quick` preset (methods that are not trained: at the same 128 pixels) on one product of the
demo's images, its threshold is chosen on good parts held out, and three test parts are drawn that were named beforehand.
Every method is a process of its own with a time limit; what is there is kept, so a stopped run goes on. What was measured
goes to docs/measured/demo.csv, from which the pages are made; no number is typed. CHEAPER says for which methods the preset
was made smaller still, because they are slow; the caption on the page says so too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import measured_table
from blemish.core import registry
from blemish.core.card import Preset
from blemish.core.files import write_atomically
from blemish.data import Synthetic, synthetic
from blemish.data.record import Record

ROOT = Path(__file__).resolve().parents[1]
CATEGORY, SHOWN = "bottle_cap", ("good/000", "broken_rim/000", "scratch/000")
TRAIN, HELD_OUT, RATE, SEED = 60, 1 / 3, 0.05, 0
METRICS = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
PLAIN = Preset(128, 8)
CHEAPER: Mapping[str, Preset] = {
    "anoddpm": Preset(64, 8, {"steps": 200, "frequency": 16.0}),  # at 128 pixels one part takes seconds
    "efficientad": Preset(128, 8, {"steps": 200}),
    "fanogan": Preset(128, 8, {"steps": 200, "encoder_steps": 200}),
}
HIGHEST = 60 * 1024  # bytes a figure may have
WIDTH, DPI = 3.6, 120  # inches, dots an inch


def preset(method: str) -> tuple[Preset, dict[str, Any]]:
    """Return what a method is fitted with here, and what of it differs from its `quick` preset."""
    quick = registry.method_card(method).presets.get("quick", PLAIN)
    if method not in CHEAPER:
        return quick, {}
    other = CHEAPER[method]
    changed = dict(other.params) | ({} if other.image_size == quick.image_size else {"image_size": other.image_size})
    return Preset(other.image_size, other.batch_size, {**quick.params, **other.params}), changed


def draw(method: str, images: Path, figure: Path, table: Path) -> None:
    """Fit one method, measure it on all test parts of the product, and draw the three parts."""
    from blemish.evaluation.evaluate import evaluate
    from blemish.inference.inspector import Inspector
    from blemish.training.random_state import seeded

    chosen, changed = preset(method)
    data = Synthetic(
        images,
        CATEGORY,
        image_size=chosen.image_size,
        train_batch_size=chosen.batch_size,
        holdout=HELD_OUT,
        seed=SEED,
    )
    model = registry.method(method)(**{**chosen.params, "seed": SEED})
    begun = time.perf_counter()
    with seeded(SEED):
        model.fit(data.train())
    fit = time.perf_counter() - begun
    inspector = Inspector(model, data.imaging)
    calibration = inspector.calibrate(data.held_out_records, false_reject_rate=RATE)
    report = evaluate(inspector, data.test_records, seed=SEED)
    records = [next(r for r in data.test_records if shown in r.image.as_posix()) for shown in SHOWN]
    verdicts = [inspector.inspect(record.image) for record in records]
    content = picture(records, verdicts, calibration.threshold)
    write_atomically(figure, lambda part: _spill(part, content))
    measured_table.put(
        table,
        {"method": method},
        {
            "category": CATEGORY,
            "shown": list(SHOWN),
            "preset": {"image_size": chosen.image_size, "batch_size": chosen.batch_size, **chosen.params},
            "changed": changed,
            "train": len(data.train_records),
            "held_out": len(data.held_out_records),
            "false_reject_rate": RATE,
            "test": len(data.test_records),
            "metrics": {name: report.metrics[name]._asdict() for name in METRICS if name in report.metrics},
            "decisions": {rate: counted(report.decisions[rate]) for rate in ("escape_rate", "false_reject_rate")},
            "fit_seconds": fit,
        },
    )


def counted(rate: Mapping[str, Any]) -> dict[str, int]:
    """Return what a rate is a share of; the rest follows from it."""
    return {"count": rate["count"], "of": rate["of"]}


def picture(records: list[Record], verdicts: list[Any], threshold: float) -> bytes:
    """Return the figure as WebP: parts above, their maps below, one scale of colours for all, truth outlined in both."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    from blemish.imaging.reading import read, read_mask

    maps = [verdict.map for verdict in verdicts]
    low = min((float(map.min()) for map in maps if map is not None), default=0.0)
    high = max((float(map.max()) for map in maps if map is not None), default=1.0)
    drawn, axes = plt.subplots(2, 3, figsize=(WIDTH, WIDTH * 0.8), dpi=DPI, layout="constrained")
    shades = None
    for column, (record, verdict) in enumerate(zip(records, verdicts, strict=True)):
        for axis in axes[:, column]:
            axis.axis("off")
        axes[0, column].imshow(read(record.image))
        axes[0, column].set_title(
            f"{record.kind}\n{verdict.score:.4g}: {'rejected' if verdict.defective else 'passed'}", fontsize=6.5
        )
        if verdict.map is not None:
            shades = axes[1, column].imshow(verdict.map, vmin=low, vmax=high, cmap="inferno")
        for axis, mask in product(axes[:, column], record.masks):
            axis.contour(grown(read_mask(mask)), [0.5], colors=["#30ff80"], linewidths=0.7)
    if shades is not None:
        bar = drawn.colorbar(shades, ax=axes[1, :], shrink=0.9, pad=0.02)
        bar.ax.tick_params(labelsize=5, length=2, width=0.5)
    drawn.suptitle(f"rejected from {threshold:.4g}", fontsize=6.5)
    drawn.canvas.draw()
    pixels = np.asarray(drawn.canvas.buffer_rgba())[..., 2::-1]  # type: ignore[attr-defined]
    plt.close(drawn)
    return encoded(np.ascontiguousarray(pixels))


def grown(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grow a mask by a few pixels, so that its outline runs around the defect and hides nothing of it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (13, 13))))


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Return BGR pixels as WebP of the best quality that fits into HIGHEST bytes."""
    for quality in (90, 80, 65, 50):
        _, content = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, quality])
        if len(content) <= HIGHEST:
            return bytes(content)
    raise AssertionError(f"the figure takes {len(content)} bytes")


def _spill(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=list(registry.methods()), help="default: all")
    parser.add_argument("--again", action="store_true", help="draw also what is there")
    parser.add_argument("--limit", type=float, default=20.0, help="minutes a method may take (default 20)")
    parser.add_argument("--images", type=Path, default=Path("runs/method-figures/images"), help="folder of made images")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs", help="folder of the pages")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    synthetic.make(given.images, categories=[CATEGORY], train=TRAIN, seed=SEED)
    if given.one:
        draw(given.one, given.images, *places(given.docs, given.one))
        return 0
    failed = []
    for method in given.methods:
        figure, table = places(given.docs, method)
        known = [row["method"] for row in measured_table.read(table)]
        if figure.exists() and method in known and not given.again:
            continue
        said = attempt(
            [sys.executable, __file__, "--one", method, "--images", str(given.images), "--docs", str(given.docs)],
            given.limit,
        )
        print(f"{method:<12} {said or 'drawn'}", flush=True)
        failed += [method] if said else []
    return len(failed)


def places(docs: Path, method: str) -> tuple[Path, Path]:
    """Return where a method's figure is kept, and the table of what was measured."""
    return docs / "images" / "methods" / f"{method}.webp", docs / "measured" / "demo.csv"


def attempt(call: list[str], limit: float) -> str:
    """Run a call for at most `limit` minutes; return what went wrong, or nothing."""
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60 * limit)
    except subprocess.TimeoutExpired:
        return f"failed: not done after {limit:g} minutes"
    said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]  # below 0: a signal
    return f"failed: {said[-1]}" if done.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
