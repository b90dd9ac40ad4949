"""Every method on real images with its `quick` preset: accuracy, time, memory, parameters; one table.

    python benchmarks/methods.py --data FOLDER --page docs/methods-measured.md --export docs/measured

FOLDER holds `piped_paper/` and `magnetic_tile/`; without it the demo's images are made. Each cell is a process of its own,
kept as JSON in --out and not computed twice, so a stopped run goes on. Methods without a preset (they are not trained) see
the same 128 x 128 pixels. Nothing is chosen on test images: trained methods keep their last step. --export writes
each cell as a row of methods.csv in another folder as well; that in docs/measured is what the methods' pages show.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))  # of measured_table

import measured_table
from blemish.core import registry
from blemish.core.card import Preset
from blemish.core.environment import environment
from blemish.core.files import read_json, write_json, write_text
from blemish.core.tables import escape_markdown, markdown_table
from blemish.data import synthetic
from blemish.evaluation.evaluate import evaluate
from blemish.inference.inspector import Inspector
from blemish.training.random_state import seeded

METRICS = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
COLUMNS = ("method", "image AUROC", "pixel AUROC", "AUPRO", "fit, s", "ms an image", "peak, MB", "parameters")
TRAIN_IMAGES = 160
PLAIN = Preset(128, 8)


def sets(data: Path | None) -> dict[str, tuple[str, Path]]:
    if data is None:
        made = synthetic.make(Path("runs/methods/images"), categories=["fabric", "flange"], train=60)
        return {category: ("folder", made / category) for category in ("fabric", "flange")}
    return {
        "piped_pa_bft01_tl": ("folder", data / "piped_paper" / "piped_pa_bft01_tl"),
        "magnetic_tile": ("magnetic_tile", data / "magnetic_tile"),
    }


def measure(method: str, kind: str, folder: Path, seed: int) -> dict[str, Any]:
    """Fit and test one method; called in a process of its own."""
    preset = registry.method_card(method).presets.get("quick", PLAIN)
    side, batch = preset.image_size, preset.batch_size
    data = registry.dataset(kind)(folder, image_size=side, train_batch_size=batch, holdout=0.0, seed=seed)
    train = data.train()
    order = np.random.default_rng(seed).permutation(len(train.records))[:TRAIN_IMAGES]
    train.records = [train.records[i] for i in sorted(order.tolist())]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = registry.method(method)(**{**preset.params, "seed": seed})
    begun = time.perf_counter()
    with seeded(seed):
        model.fit(train)
    fit = time.perf_counter() - begun
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    report = evaluate(Inspector(model, data.imaging), data.test_records, seed=seed)
    part = torch.rand(8, 3, side, side)
    with torch.inference_mode():
        model(part)
        begun = time.perf_counter()
        model(part)
        score = (time.perf_counter() - begun) / 8
    return {
        "metrics": {name: report.metrics[name]._asdict() for name in METRICS if name in report.metrics},
        "fit_seconds": fit,
        "score_ms": 1e3 * score,
        "peak_mb": peak,
        "parameters": sum(p.numel() for p in model.parameters()),
        "preset": {"image_size": side, "batch_size": batch, **preset.params},
        "train": len(train.records),
        "test": len(data.test_records),
        "load": os.getloadavg()[2],
    }


def row(method: str, cell: dict[str, Any]) -> list[str]:
    """Return a method's row of the page's table."""
    if "failed" in cell:
        return [method, f"failed: {escape_markdown(cell['failed'])}", *[""] * (len(COLUMNS) - 2)]
    shown = []
    for metric in METRICS:
        value = cell["metrics"].get(metric)
        within = "" if value is None else f" ({value['low']:.3f} to {value['high']:.3f})"
        shown.append("" if value is None else f"{value['value']:.3f}{within if 'AUROC' in metric else ''}")
    costs = f"{cell['fit_seconds']:.0f}", f"{cell['score_ms']:.1f}", f"{cell['peak_mb']:.0f}", f"{cell['parameters']:,}"
    return [method, *shown, *costs]


def page(cells: dict[tuple[str, str], dict[str, Any]], names: list[str]) -> str:
    lines = [
        "# Methods measured",
        "",
        "<!-- Written by a command; not by hand. -->",
        "",
        "`python benchmarks/methods.py --data FOLDER --page docs/methods-measured.md --export docs/measured`",
        "writes this page.",
        "",
        "Every trained method with its `quick` preset on real images, PatchCore and PaDiM as they come: inputs of 128",
        "pixels, a few hundred steps, minutes on two cores. It",
        "says how they work here and now, not how good they can be: the papers train for hours on GPUs, at 256 pixels.",
        f"One seed, at most {TRAIN_IMAGES} good images; 95 % intervals over images; pixels at the images' own size.",
    ]
    for name in names:
        found = {method: cell for (method, dataset), cell in cells.items() if dataset == name}
        if not found:
            continue
        first = max(found.values(), key=lambda cell: cell["train"])
        lines += ["", f"## {name}", "", f"{first['train']} good images to learn from, {first['test']} to test.", ""]
        lines += markdown_table(COLUMNS, (row(method, cell) for method, cell in found.items())).splitlines()
    busiest = max((cell.get("load", 0.0) for cell in cells.values()), default=0.0)
    if busiest > 1.3 * (os.cpu_count() or 1):
        lines += [
            "",
            f"Other work ran beside some of them (load average up to {busiest:.1f} on {os.cpu_count()} cores):",
        ]
        lines += ["times are upper limits."]
    known = environment()
    versions = ", ".join(f"{package} {version}" for package, version in known["versions"].items())
    threads = torch.get_num_threads()
    return "\n".join([*lines, "", f"Made with {versions}; {known['platform']}; {threads} threads.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of piped_paper and magnetic_tile (else made images)")
    parser.add_argument("--methods", nargs="+", default=list(registry.methods()), help="default: all")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"), help="folder of the finished cells")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--export", type=Path, help="folder of methods.csv, to which finished cells go (docs/measured)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=15.0, help="minutes a cell may take (default 15)")
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        method, kind, folder = given.cell
        print(json.dumps(measure(method, kind, Path(folder), given.seed)))
        return
    cells = {}
    for name, (kind, folder) in sets(given.data).items():
        for method in given.methods:
            path = given.out / f"{method}-{name}-seed{given.seed}.json"
            if not path.exists():
                call = [sys.executable, __file__, "--seed", str(given.seed), "--cell", method, kind, str(folder)]
                path.parent.mkdir(parents=True, exist_ok=True)
                write_json(path, run(call, given.limit))
            cell = cells[method, name] = read_json(path)
            if given.export:
                key = {"method": method, "dataset": name, "seed": given.seed}
                measured_table.put(given.export / "methods.csv", key, cell)
            print(f"{method:<12} {name:<20} {said(cell)}", flush=True)
            if given.page:
                write_text(given.page, page(cells, list(sets(given.data))))


def run(call: list[str], limit: float) -> dict[str, Any]:
    """Return what a cell's process measured, or how it failed."""
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=60 * limit)
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {limit:g} minutes", "train": 0, "test": 0}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["?"])[-1], "train": 0, "test": 0}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def said(cell: dict[str, Any]) -> str:
    if "failed" in cell:
        return f"failed: {cell['failed']}"
    shown = "  ".join(f"{metric} {value['value']:.3f}" for metric, value in cell["metrics"].items())
    return f"{shown}  fit {cell['fit_seconds']:.0f} s"


if __name__ == "__main__":
    main()
