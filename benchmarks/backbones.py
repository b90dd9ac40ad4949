"""Compare backbones under one PatchCore on real images: accuracy over several seeds, beside the time of a forward pass.

    python benchmarks/backbones.py --data FOLDER --weights mobilenetv2_100.safetensors

FOLDER holds `hazelnut_toy/`, `piped_paper/*/` (MVTec layout) and `magnetic_tile/` (its authors' layout); --root names other
data sets in the MVTec layout; without either the demo's images are made. Every backbone gives its maps of strides 8 and 16
at the same input size; PatchCore is the same for all but for that. A seed draws the good images (at most --train-images)
and the coreset of --patches patches. Nothing is chosen on test images; pixels are compared at the images' own size.
`random` is the embedded network with random weights, `pixels` no network at all: the colours of a patch, brought to as
many cells. A file of weights, `runs/texnet/texnet_s.safetensors` say, is texnet_s with those, to judge a training run.

Each cell is kept as JSON in --out and not computed twice, so a stopped run goes on. The table goes to --page. --kinds adds
for each data set with several kinds of defects how well each kind is told from the good parts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core import registry
from blemish.core.environment import environment
from blemish.core.files import read_json, write_json, write_text
from blemish.core.tables import markdown_table
from blemish.data import synthetic
from blemish.data.reader import Loader
from blemish.evaluation.evaluate import evaluate
from blemish.features import Features, extractor
from blemish.inference.inspector import Inspector
from blemish.models import PatchCore
from blemish.training.random_state import seeded

METRICS = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


class Pixels(nn.Module):
    """The colours of each 8 x 8 patch, its own brightness left in: (B, 3, H, W) to one (B, 48, H / 8, W / 8) map."""

    def forward(self, image: Tensor) -> list[Tensor]:
        """Shrink to half of the stride-2 grid and unfold 4 x 4 blocks of it."""
        return [F.pixel_unshuffle(F.avg_pool2d(image, 2), 4)]


@dataclass(frozen=True)
class Cell:
    """One fit and one test."""

    backbone: str
    dataset: str
    folder: str
    kind: str
    size: int
    patches: int
    train_images: int
    seed: int

    @property
    def name(self) -> str:
        """The name of the file that keeps the result."""
        return f"{Path(self.backbone).stem}-{self.dataset}-{self.size}px-{self.patches}-{self.train_images}-seed{self.seed}"


def is_file(backbone: str) -> bool:
    return backbone.endswith(".safetensors")


def features(backbone: str, weights: str | None) -> Features:
    if is_file(backbone):
        return extractor("texnet_s", [8, 16], weights=backbone)
    if backbone == "pixels":
        return Features(Pixels(), ["pixels"], [48], [8], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    if backbone == "random":
        return extractor("texnet_s", [8, 16], pretrained=False)
    return extractor(backbone, [8, 16], weights=None if backbone == "texnet_s" else weights)


def sets(data: Path | None, roots: list[Path]) -> list[tuple[str, Path, str]]:
    found = [(root.name, root, "folder") for root in roots]
    if data is not None:
        found += [("hazelnut_toy", data / "hazelnut_toy", "folder")]
        found += [(path.name, path, "folder") for path in sorted((data / "piped_paper").glob("piped_*"))]
        found += [("magnetic_tile", data / "magnetic_tile", "magnetic_tile")]
    if not found:  # nothing at hand: the demo's made images
        made = synthetic.make(Path("runs/backbones/images"), train=60)
        found = [(category, made / category, "folder") for category in synthetic.CATEGORIES]
    absent = [str(path) for _, path, _ in found if not path.is_dir()]
    if absent:
        raise SystemExit(f"not there: {', '.join(absent)}")
    return found


def measure(cell: Cell, net: Features) -> dict[str, Any]:
    data = registry.dataset(cell.kind)(Path(cell.folder), image_size=cell.size, holdout=0.0, seed=cell.seed)
    records = data.train_records
    order = np.random.default_rng(cell.seed).permutation(len(records))[: cell.train_images]
    model = PatchCore(coreset_size=cell.patches, pretrained=False, seed=cell.seed)
    model.features = net
    with seeded(cell.seed):
        model.fit(Loader([records[i] for i in sorted(order.tolist())], data.imaging, batch_size=8))
    report = evaluate(Inspector(model, data.imaging), data.test_records, seed=cell.seed)
    return {
        "metrics": {name: report.metrics[name].value for name in METRICS},
        "kinds": {found["kind"]: {"count": found["count"], "auroc": found["auroc"]} for found in report.kinds},
        "train": min(len(records), cell.train_images),
        "test": len(data.test_records),
    }


def forward(net: Features, size: int, batch: int, seconds: float = 3.0) -> float:
    """Return the median milliseconds an image of a forward pass of `batch` images."""
    image, times = torch.rand(batch, 3, size, size), []
    started = time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() - started < seconds or len(times) < 5:
            begun = time.perf_counter()
            net(image)
            times.append(time.perf_counter() - begun)
    return float(np.median(times) * 1e3 / batch)


def speed(nets: dict[str, Features], size: int) -> dict[str, dict[str, float]]:
    """Time every backbone in turn, three rounds, and keep each one's best median: the machine may be busy otherwise."""
    found: dict[str, dict[str, float]] = {name: {} for name in nets}
    for _ in range(3):
        for name, net in nets.items():
            for threads, batch in ((1, 1), (2, 1), (2, 8)):
                torch.set_num_threads(threads)
                key = f"{threads} threads, batch {batch}"
                found[name][key] = min(found[name].get(key, np.inf), forward(net, size, batch, 1.0))
    return found


def by_kind(cells: list[Cell], results: dict[Cell, dict[str, Any]]) -> list[str]:
    """Return a table for each data set with several kinds: image AUROC of each kind against all good parts."""
    lines: list[str] = []
    for dataset in dict.fromkeys(c.dataset for c in cells):
        chosen = [c for c in cells if c.dataset == dataset]
        counts = {kind: found["count"] for kind, found in results[chosen[0]]["kinds"].items()}
        if len(counts) < 2:
            continue
        names = list(dict.fromkeys(c.backbone for c in chosen))
        rows = []
        for kind, count in counts.items():
            row = [kind, str(count)]
            for name in names:
                by_seed = [results[c]["kinds"][kind]["auroc"] for c in chosen if c.backbone == name]
                row.append(f"{np.mean(by_seed):.4f} ± {np.std(by_seed):.4f}")
            rows.append(row)
        lines += [f"### {dataset}", "", *markdown_table(["kind", "images", *names], rows).splitlines(), ""]
    head = ["## image AUROC by kind of defect", "", "Each kind against all good parts.", ""]
    return [*head, *lines] if lines else [*head, "No data set has several kinds.", ""]


def table(
    cells: list[Cell], results: dict[Cell, dict[str, Any]], times: dict[str, dict[str, float]], kinds: bool = False
) -> str:
    names, datasets = list(dict.fromkeys(c.backbone for c in cells)), list(dict.fromkeys(c.dataset for c in cells))
    seeds = sorted({c.seed for c in cells})
    lines = [
        "# Backbones compared",
        "",
        "<!-- Written by a command; not by hand. -->",
        "",
        "`python benchmarks/backbones.py --data FOLDER --weights mobilenetv2_100.safetensors` writes this page.",
        "",
        f"One PatchCore (coreset of {cells[0].patches:,} patches, at most {cells[0].train_images} good images, maps of",
        f"strides 8 and 16, {cells[0].size} px) with different backbones; mean ± deviation over {len(seeds)} seeds,",
        "which draw the good images and the coreset. Raw scores, pixels compared at the images' own size.",
        "",
    ]
    for metric in METRICS:
        rows = []
        for dataset in (*datasets, "mean"):
            row = [dataset]
            for name in names:
                chosen = [c for c in cells if c.backbone == name and dataset in (c.dataset, "mean")]
                by_seed = [np.mean([results[c]["metrics"][metric] for c in chosen if c.seed == seed]) for seed in seeds]
                row.append(f"{np.mean(by_seed):.4f} ± {np.std(by_seed):.4f}")
            rows.append(row)
        lines += [f"## {metric.replace('_', ' ')}", "", markdown_table(["data", *names], rows)]
    lines += by_kind(cells, results) if kinds else []
    keys = list(times[names[0]])
    lines += ["## Forward pass", "", f"Milliseconds an image at {cells[0].size} px, float32.", ""]
    rows = [[name, *(f"{times[name][key]:.1f}" for key in keys)] for name in names]
    lines += [markdown_table(["backbone", *keys], rows)]
    made = environment()
    versions = ", ".join(f"{name} {version}" for name, version in made["versions"].items())
    return "\n".join([*lines, f"Made with {versions}; {made['platform']}."]) + "\n"


def cells(given: argparse.Namespace) -> Iterator[Cell]:
    for dataset, folder, kind in sets(given.data, given.root):
        for backbone in given.backbones:
            for seed in range(given.seeds):
                yield Cell(backbone, dataset, str(folder), kind, given.size, given.patches, given.train_images, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data sets named above")
    parser.add_argument("--root", type=Path, nargs="+", action="extend", default=[], help="data sets, MVTec layout")
    parser.add_argument("--weights", help="local .safetensors file of the timm backbones")
    parser.add_argument("--backbones", nargs="+", default=["texnet_s", "mobilenetv2_100", "random", "pixels"])
    parser.add_argument("--seeds", type=int, default=3, help="how many (default 3)")
    parser.add_argument("--size", type=int, default=256, help="side of the input in pixels (default 256)")
    parser.add_argument("--patches", type=int, default=2000, help="patches kept of the good images (default 2000)")
    parser.add_argument("--train-images", type=int, default=160, help="good images used at most (default 160)")
    parser.add_argument("--out", type=Path, default=Path("runs/backbones"), help="folder for the cells")
    parser.add_argument("--kinds", action="store_true", help="show each kind of defect; measures older cells again")
    parser.add_argument("--page", type=Path, help="the page to write (default: print it)")
    given = parser.parse_args()
    if given.weights is None:  # without a file there is nothing to load: weights are not fetched here
        own = ("texnet_s", "random", "pixels")
        given.backbones = [name for name in given.backbones if name in own or is_file(name)]
    asked = list(cells(given))
    nets = {name: features(name, given.weights) for name in given.backbones}
    results: dict[Cell, dict[str, Any]] = {}
    for cell in asked:
        path = given.out / f"{cell.name}-{nets[cell.backbone].sha256[:8]}.json"
        if not path.exists() or (given.kinds and "kinds" not in read_json(path)):
            write_json(path, {"cell": asdict(cell), **measure(cell, nets[cell.backbone])})
        results[cell] = read_json(path)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in results[cell]["metrics"].items())
        print(f"{cell.name:60} {shown}", flush=True)
    page = table(asked, results, speed(nets, given.size), given.kinds)
    if given.page:
        write_text(given.page, page)
    else:
        print(page)


if __name__ == "__main__":
    main()
