"""Methods near chance on Magnetic Tile: do their scores follow the defects, or how each photograph was cut and stretched?

    python benchmarks/nuisance.py --data FOLDER --page docs/methods-at-chance.md

FOLDER is Magnetic Tile. Every crop there has another size and shape, and all are stretched to one square, so the grain of a
large crop becomes finer and stronger than that of a small one. For each method (quick preset, as in benchmarks/methods.py)
this prints the rank correlation of the scores of GOOD test parts with what has nothing to do with defects: the crop's
size and shape, its brightness, contrast and fine detail after resizing; and the AUROC once the part of the score that they
explain on good TRAINING parts (a straight line in ranks) is taken off. That is a diagnosis, not a method. Cells are kept.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish import catalogue
from blemish.data.record import Record
from blemish.files import read_json, write_json, write_text
from blemish.imaging import Imaging
from blemish.inspector import Inspector
from blemish.metrics import auroc
from blemish.metrics.comparison.paired import mid_ranks
from blemish.training import seeded

METHODS = ["ae", "vae", "ganomaly", "rd4ad", "draem", "patchcore", "padim", "stpm"]
NUISANCES = ("area", "aspect", "brightness", "contrast", "detail")
TRAIN_IMAGES, OWN_TRAIN = 160, 100  # good parts learnt from, and others on which the nuisances are fitted

Row = NDArray[np.float64]


def nuisances(record: Record, imaging: Imaging) -> list[float]:
    """Return area and aspect of the crop, and mean, deviation and mean step between neighbours of the network's input."""
    image = imaging.read(record.image)
    grey = imaging.prepare(image).mean(2)
    step = (np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean()) / 2
    height, width = image.shape[:2]
    return [float(height * width), height / width, float(grey.mean()), float(grey.std()), float(step)]


def spearman(first: Row, second: Row) -> float:
    """Return the rank correlation of two rows."""
    a, b = mid_ranks(first), mid_ranks(second)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else 0.0


def placed(values: Row, among: Row) -> Row:
    """Return for each value the share of `among` below it: its rank, 0 to 1, in a fixed company."""
    return np.asarray(np.searchsorted(np.sort(among), values, side="right") / len(among), np.float64)


def explained(company: Row, company_scores: Row, these: Row) -> Row:
    """Return what the nuisances (n, k) of `these` parts say of their score, fitted in ranks on the company's."""
    design = np.column_stack([np.ones(len(company)), *(placed(c, c) for c in company.T)])
    weights, *_ = np.linalg.lstsq(design, placed(company_scores, company_scores), rcond=None)
    own = np.column_stack([np.ones(len(these)), *(placed(t, c) for t, c in zip(these.T, company.T, strict=True))])
    return np.asarray(own @ weights)


def measure(method: str, folder: Path, seed: int = 0) -> dict[str, Any]:
    """Fit one method; return correlations and AUROC with and without what the nuisances explain."""
    preset = catalogue.method_card(method).presets.get("quick")
    side, batch, params = (128, 8, {}) if preset is None else (preset.image_size, preset.batch_size, preset.params)
    data = catalogue.dataset("magnetic_tile")(folder, image_size=side, train_batch_size=batch, holdout=0.0, seed=seed)
    train = data.train()
    order = np.random.default_rng(seed).permutation(len(train.records))
    company = [train.records[i] for i in sorted(order[TRAIN_IMAGES : TRAIN_IMAGES + OWN_TRAIN].tolist())]
    train.records = [train.records[i] for i in sorted(order[:TRAIN_IMAGES].tolist())]
    with seeded(seed):
        model = catalogue.method(method)(**{**params, "seed": seed}).fit(train)
    inspector, test = Inspector(model, data.imaging), data.test_records

    def scores(records: list[Record]) -> Row:
        return np.array([raw.score for _, raw in inspector.raw(records)])  # type: ignore[union-attr]

    labels, found, own = np.array([r.label for r in test]), scores(test), scores(company)
    known, company_known = (np.array([nuisances(r, data.imaging) for r in records]) for records in (test, company))
    good = labels == 0
    left = placed(found, own) + 1e-9 * found - explained(company_known, own, known)
    return {
        "correlations": {name: spearman(found[good], known[good, i]) for i, name in enumerate(NUISANCES)},
        "explained": spearman(found[good], explained(company_known, own, known[good])),
        "auroc": auroc(labels, found),
        "auroc_left": auroc(labels, left),
        "kinds": {
            kind: auroc(np.r_[labels[good], np.ones(n.sum(), int)], np.r_[found[good], found[n]])
            for kind in sorted({r.kind for r in test if r.label})
            for n in [np.array([r.kind == kind for r in test])]
        },
    }


def page(cells: dict[str, dict[str, Any]]) -> str:
    kinds = sorted({kind for cell in cells.values() for kind in cell["kinds"]})
    lines = [
        "# Methods near chance on Magnetic Tile",
        "",
        "<!-- Written by `python benchmarks/nuisance.py`; not by hand. -->",
        "",
    ]
    lines += [
        "With quick presets some methods hardly rise above chance on Magnetic Tile ([all](methods-measured.md)), though",
        "the same code finds those of paper. Every crop of this set has another size and shape, and is stretched to one",
        "square. The table shows how far the scores of good test parts follow what has nothing to do with defects (rank",
        "correlations), and the image AUROC before and after taking off what these explain, fitted on good training parts",
        "that were not learnt from.",
        "",
        f"| method | {' | '.join(NUISANCES)} | all together | image AUROC | after |",
        "|---" * (len(NUISANCES) + 4) + "|",
    ]
    for method, cell in cells.items():
        values = " | ".join(f"{cell['correlations'][name]:+.2f}" for name in NUISANCES)
        lines.append(
            f"| {method} | {values} | {cell['explained']:+.2f} | {cell['auroc']:.3f} | {cell['auroc_left']:.3f} |"
        )
    lines += ["", "By kind of defect, image AUROC against all good parts:", "", f"| method | {' | '.join(kinds)} |"]
    lines.append("|---" * (len(kinds) + 1) + "|")
    lines += [
        f"| {method} | {' | '.join(format(cell['kinds'][kind], '.3f') for kind in kinds)} |"
        for method, cell in cells.items()
    ]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of Magnetic Tile")
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/nuisance"), help="folder of the finished cells")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        write_json(given.out / f"{given.cell}.json", measure(given.cell, given.data))
        return
    for method in given.methods:
        if not (given.out / f"{method}.json").exists():
            given.out.mkdir(parents=True, exist_ok=True)
            call = [sys.executable, __file__, "--data", str(given.data), "--out", str(given.out), "--cell", method]
            subprocess.run(call, check=True)
        cells = {m: read_json(given.out / f"{m}.json") for m in given.methods if (given.out / f"{m}.json").exists()}
        if given.page:
            write_text(given.page, page(cells))


if __name__ == "__main__":
    main()
