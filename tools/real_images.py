"""Measure PatchCore and PaDiM on real images and write docs/results.md: what the numbers there are made by.

    python tools/real_images.py --data FOLDER --weights mobilenetv2_100.safetensors

FOLDER holds `hazelnut_toy/`, `piped_paper/*/` (MVTec layout) and `magnetic_tile/` (its authors' layout); what is absent
is left out and named. Each cell is kept as JSON in --out and not computed twice, so a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from blemish.core import registry
from blemish.core.environment import environment
from blemish.core.files import read_json, write_json, write_text
from blemish.core.tables import markdown_table
from blemish.data.datamodule import DataModule
from blemish.evaluation.evaluate import evaluate
from blemish.inference.inspector import Inspector
from blemish.training.random_state import seeded

METRICS, TITLES = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO"), ("image AUROC", "pixel AUROC", "AUPRO")


@dataclass(frozen=True)
class Cell:
    """One fit and one test. PatchCore keeps the share `keep` of the patches if it is below 1, else so many."""

    method: str
    backbone: str
    dataset: str
    folder: Path
    kind: str
    size: int
    keep: float

    @property
    def name(self) -> str:
        """The name of the file that keeps the result."""
        return f"{self.method}-{self.backbone}-{self.dataset}-{self.size}"


def cells(data: Path, backbones: list[str], tile_sizes: list[int]) -> Iterator[Cell]:
    sets = [("hazelnut_toy", data / "hazelnut_toy", "folder", [256], 0.1)]
    sets += [(p.name, p, "folder", [256], 0.1) for p in sorted((data / "piped_paper").glob("piped_*"))]
    sets += [("magnetic_tile", data / "magnetic_tile", "magnetic_tile", tile_sizes, 1000)]
    for dataset, folder, kind, sizes, keep in sets:
        if not folder.is_dir():
            print(f"left out, not in {data}: {dataset}")
            continue
        for size in sizes:
            for backbone in backbones:
                for method in ("patchcore", "padim"):
                    yield Cell(method, backbone, dataset, folder, kind, size, keep)


def measure(cell: Cell, weights: str | None, seed: int) -> dict[str, Any]:
    options: dict[str, Any] = {"backbone": cell.backbone}
    if cell.backbone != "texnet_s":
        options["weights"] = weights
    if cell.method == "patchcore":
        options["coreset_sampling_ratio" if cell.keep < 1 else "coreset_size"] = cell.keep
    data: DataModule = registry.dataset(cell.kind)(cell.folder, image_size=cell.size, holdout=0.0, seed=seed)
    model = registry.method(cell.method)(**options)
    began = time.perf_counter()
    with seeded(seed):
        model.fit(data.train())
    fit_seconds = time.perf_counter() - began
    report = evaluate(Inspector(model, data.imaging), data.test_records, seed=seed)
    return {
        "fit_seconds": fit_seconds,
        "images_per_second": report.about["images_per_second"],
        "train": len(data.train_records),
        "test": len(data.test_records),
        "metrics": {name: report.metrics[name]._asdict() for name in METRICS},
        "environment": environment(),
    }


def table(found: dict[Cell, dict[str, Any]]) -> str:
    lines = [
        "# Results on real images",
        "",
        "<!-- Written by a command; not by hand. -->",
        "",
        "`python tools/real_images.py --data FOLDER --weights mobilenetv2_100.safetensors` writes this page.",
        "",
        "All good training images are learned from, nothing is chosen on test images, scores are raw, pixels are",
        "compared at the images' own size. PatchCore keeps 10 % of the patches, 1,000 for Magnetic Tile. Seed 0. In",
        "brackets: 95 % intervals, bootstrapped over images. Published numbers use other sizes, splits and backbones",
        "and are not comparable line by line. Seconds and images/s (with reading, maps at full size and metrics) were",
        "taken on a machine that may have been busy otherwise: they give an order of magnitude only. How backbones",
        "compare: [backbones](backbones.md).",
        "",
    ]
    head = ["data", "px", "method", "backbone", *TITLES, "fit s", "images/s"]
    rows = []
    for cell, row in found.items():
        values = (_interval(row["metrics"][name]) for name in METRICS)
        speeds = f"{row['fit_seconds']:.1f}", f"{row['images_per_second']:.1f}"
        rows.append([cell.dataset, str(cell.size), cell.method, cell.backbone, *values, *speeds])
    lines += [markdown_table(head, rows), "Means over the sets at 256 px:", ""]
    means = []
    for method, backbone in dict.fromkeys((c.method, c.backbone) for c in found):
        own = [r for c, r in found.items() if (c.method, c.backbone, c.size) == (method, backbone, 256)]
        values = (f"{np.mean([r['metrics'][name]['value'] for r in own]):.4f}" for name in METRICS)
        means.append([method, backbone, *values, str(len(own))])
    lines += [markdown_table(["method", "backbone", *TITLES, "sets"], means)]
    made = environment()
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    lines += [f"Made with {versions}; {made['platform']}."]
    lines += [
        "",
        "Data: Magnetic Tile (Huang, Qiu, Yuan, The Visual Computer 2020; split by tile, 80 % of the good ones for",
    ]
    lines += ["training), PIPED paper (University of Perugia, CC BY 4.0), hazelnut_toy (CC BY 4.0)."]
    return "\n".join(lines) + "\n"


def _interval(metric: dict[str, float]) -> str:
    return f"{metric['value']:.4f} ({metric['low']:.3f}–{metric['high']:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--weights", help="mobilenetv2_100 weights, .safetensors; without it only texnet_s is measured")
    parser.add_argument(
        "--tile-sizes", type=int, nargs="+", default=[256, 384], help="sides of the magnetic tiles' input"
    )
    parser.add_argument("--only", help="measure one backbone now, keep its cells, write no page")
    parser.add_argument("--out", type=Path, default=Path("runs/real_images"), help="folder for the cells")
    parser.add_argument("--page", type=Path, default=Path("docs/results.md"), help="the page to write")
    arguments = parser.parse_args()
    backbones = ["texnet_s", *(["mobilenetv2_100"] if arguments.weights else [])]
    if arguments.only:
        backbones = [arguments.only]
    found = {}
    for cell in cells(arguments.data, backbones, arguments.tile_sizes):
        path = arguments.out / f"{cell.name}.json"
        if not path.exists():
            write_json(path, measure(cell, arguments.weights, seed=0))
        found[cell] = read_json(path)
        print(cell.name, json.dumps({k: round(v["value"], 4) for k, v in found[cell]["metrics"].items()}), flush=True)
    if arguments.only:
        return
    write_text(arguments.page, table(found))


if __name__ == "__main__":
    main()
