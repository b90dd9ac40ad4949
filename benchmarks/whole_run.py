"""Fit, test and report on one real category, from image files to pictures, in a fresh process each.

    python benchmarks/whole_run.py --data FOLDER --weights mobilenetv2_100.safetensors --rival PYTHON

PatchCore on MobileNetV2, 256 px, batches of 8; the coreset keeps 0.5 % of the patches: the rival's engine keeps the graph
of every selection step and takes some 30 MB a centre, more would not fit. Ours also chooses a threshold and draws its page.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2

from side_by_side import Options, Row, alone, finish, options, rival

CATEGORY, RATIO, RUNS = "piped_pa_btn01_rl", 0.005, 3
OURS = """
import json, resource, sys, time
begun = time.perf_counter()
from pathlib import Path
from blemish.data import Folder
from blemish.engine import Engine
from blemish.core.memory import keep_freed_memory
from blemish.models import PatchCore
keep_freed_memory()  # as the command line does
root, category, weights, out, ratio = sys.argv[1:]
options = {"backbone": "mobilenetv2_100", "weights": weights} if weights else {}
data = Folder(Path(root) / category, image_size=(256, 256))
model = PatchCore(**options, layers=[8, 16], coreset_sampling_ratio=float(ratio), reweight="paper")
engine = Engine(out)
engine.fit(model=model, datamodule=data, verbose=False)
report = engine.report(model=model, datamodule=data)  # writes the page, too
spent = time.perf_counter() - begun
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
values = {name: round(value.value, 4) for name, value in report.metrics.items() if name.endswith("AUROC")}
print(json.dumps({"seconds": spent, "peak": peak, "values": values}))
"""

IMPORTS = """
import json, time
begun = time.perf_counter()
import torch
from blemish.features import extractor
extractor("mobilenetv2_100", [8, 16], pretrained=False)  # imports timm
print(json.dumps({"seconds": time.perf_counter() - begun}))
"""


def main() -> None:
    given = options(__doc__)
    if given.data is None:
        print("skipped: this one needs --data, a real category in MVTec's layout")
        return
    with tempfile.TemporaryDirectory() as made:
        compare(given, as_png(given.data / "piped_paper" / CATEGORY, Path(made)))


def as_png(source: Path, root: Path) -> Path:
    """Copy a category with its images as PNG, the only kind that the rival's data module of this layout reads."""
    for path in source.rglob("*.*"):
        place = (root / CATEGORY / path.relative_to(source)).with_suffix(".png")
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
    return root


def compare(given: Options, root: Path) -> None:
    weights = str(given.weights.resolve()) if given.weights else ""
    runs = []
    for _ in range(RUNS):  # by turns, so that what else the machine does meets both
        with tempfile.TemporaryDirectory() as folder:
            ours = alone(OURS, str(root), CATEGORY, weights, folder, str(RATIO))
        runs.append((ours, rival(given, "whole_run", {}, root=str(root), category=CATEGORY, ratio=RATIO)))
    ours = sorted((run[0] for run in runs), key=lambda run: run["seconds"])[RUNS // 2]
    known = [run[1] for run in runs if run[1] is not None]
    theirs = sorted(known, key=lambda run: run["seconds"])[len(known) // 2] if known else None
    imports = sorted(alone(IMPORTS)["seconds"] for _ in range(RUNS))[RUNS // 2]
    note = f"ours {ours['values']}, of its time {imports:.1f} s for importing torch and timm"
    if theirs is not None:
        note += f", peak {ours['peak']:,.0f} MB; rival {theirs['values']}, peak {theirs['peak']:,.0f} MB"
    row = Row(f"fit, test and report, {CATEGORY}", ours["seconds"], theirs and theirs["seconds"], "s", ">= 3x", note)
    finish([row], given)


if __name__ == "__main__":
    main()
