"""Methods near chance on Magnetic Tile: do they see defects at all, and what hides the defects in their scores?

    python benchmarks/at_chance.py --data FOLDER --page docs/methods-at-chance.md

FOLDER is Magnetic Tile. Each method is fitted as in `benchmarks/methods.py` (quick preset, the same good parts). Then:

- A defect nobody overlooks is planted in good parts. If a part's score rises, the method sees it; whether scores with and
  without it can be told apart among parts says how much good parts differ by themselves.
- Inside each defective part the map's pixels are compared with the mask. Nothing between parts matters there.
- The scores of good parts are compared with what has nothing to do with defects: area and aspect of the crop, brightness,
  contrast and grain of the network's input. What these foretell of a score, fitted on good TRAINING parts that were not
  learned from, is taken off.

That is diagnosis: nothing of it is a method. Variants test a cause: "ae-mse" compares squares and smooths the map,
"draem-coloured" learns on coloured textures alone, "simplenet-loud" with more noise. Rows are kept in --out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core import registry
from blemish.core.card import Preset
from blemish.core.environment import environment
from blemish.core.files import read_json, write_json, write_text
from blemish.core.tables import markdown_table
from blemish.data.record import Record
from blemish.evaluation.evaluate import truth_mask
from blemish.imaging.images import resize_mask
from blemish.inference.inspector import Inspector
from blemish.metrics import auroc
from blemish.metrics.comparison.paired import mid_ranks
from blemish.training.random_state import seeded

Row = NDArray[np.float64]
METHODS = ("ae", "vae", "anogan", "ganomaly", "anoddpm", "draem", "rd4ad", "simplenet", "padim")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "ae-mse": ("ae", {"loss": "mse", "sigma": 4.0}),
    "draem-coloured": ("draem", {"grey": 0.0}),
    "simplenet-loud": ("simplenet", {"noise": 0.3}),
}
TRAIN_IMAGES, FRESH_IMAGES = 160, 150  # good parts learned from, and others, on which the nuisances are fitted
EVERY = {"anoddpm": 3, "anogan": 3}  # slow scorers are asked about each third part only
NUISANCES = ("area", "aspect", "brightness", "contrast", "grain")
DEFECTS = ("dark", "grey", "colour")
PLAIN = Preset(128, 8)


def nuisances(original: tuple[int, int], seen: NDArray[np.float32]) -> dict[str, float]:
    """Return what may vary among good parts: of the (height, width) of the crop, and of (h, w, 3) as the network sees it.

    Pixels; width / height; mean and standard deviation of the grey values; mean square of what a 3 x 3 mean removes.
    """
    grey = seen.mean(axis=2, dtype=np.float64)
    rest = grey - cv2.blur(grey, (3, 3), borderType=cv2.BORDER_REFLECT)
    values = (original[0] * original[1], original[1] / original[0], grey.mean(), grey.std(), np.mean(rest**2))
    return dict(zip(NUISANCES, map(float, values), strict=True))


def planted(seen: NDArray[np.float32], defect: str) -> NDArray[np.float32]:
    """Return a prepared image (h, w, 3) with a square of 15 % of its side in the middle.

    "dark" halves the brightness there; "grey" and "colour" are a chequered board.
    """
    h, w = seen.shape[:2]
    side = max(4, round(0.15 * min(h, w)))
    top, left = (h - side) // 2, (w - side) // 2
    y, x = np.mgrid[:side, :side] // 4
    board = ((x + y) % 2)[..., None].astype(np.float32)
    out = seen.copy()
    place = out[top : top + side, left : left + side]
    if defect == "dark":
        place *= 0.5
    else:
        place[:] = board if defect == "grey" else board * (1, 0.2, 0.2) + (1 - board) * (0.2, 0.2, 1)
    return out


def measure(name: str, folder: Path, seed: int) -> dict[str, Any]:
    """Fit one method; return a row for each part that is scored, and the scores of parts with planted defects."""
    method, changes = VARIANTS.get(name, (name, {}))
    preset = registry.method_card(method).presets.get("quick", PLAIN)
    size, batch = preset.image_size, preset.batch_size
    data = registry.dataset("magnetic_tile")(folder, image_size=size, train_batch_size=batch, holdout=0.0, seed=seed)
    train, every = data.train(), EVERY.get(method, 1)
    order = np.random.default_rng(seed).permutation(len(train.records)).tolist()
    fresh = [train.records[i] for i in sorted(order[TRAIN_IMAGES : TRAIN_IMAGES + FRESH_IMAGES])]
    train.records = [train.records[i] for i in sorted(order[:TRAIN_IMAGES])]
    model = registry.method(method)(**{**preset.params, "seed": seed, **changes})
    with seeded(seed):
        model.fit(train)
    inspector, asked = Inspector(model, data.imaging), data.test_records[::every]
    good = [record for record in asked if not record.label][:: max(1, 4 // every)]
    return {
        "rows": scored(inspector, asked, "test") + scored(inspector, fresh[::every], "fresh"),
        "planted": [with_defects(inspector, record) for record in good],
    }


def scored(inspector: Inspector, records: Sequence[Record], part: str) -> list[dict[str, Any]]:
    """Return a row a part: score, nuisances, and of a defective one the AUROC of its pixels."""
    rows = []
    for record, raw in inspector.raw(records, batch_size=8):
        row = {"part": part, "kind": record.kind, "label": int(record.label or 0), "score": float(raw.score)}
        row |= nuisances(raw.original, inspector.imaging(record.image))
        truth = truth_mask(record, raw.original)
        if record.label and truth is not None and raw.map is not None:
            seen = resize_mask(truth, raw.map.shape)
            if seen.any() and not seen.all():
                row["inside"] = auroc(seen.ravel(), raw.map.ravel())
        rows.append(row)
    return rows


def with_defects(inspector: Inspector, record: Record) -> list[float]:
    """Return the scores of a good part as it is and with each planted defect."""
    seen = inspector.imaging(record.image)
    scores = inspector.score(np.stack([seen, *(planted(seen, defect) for defect in DEFECTS)]))[0]
    return [float(score) for score in scores]


def follows(scores: Row, nuisance: Row) -> float:
    """Return Spearman's rank correlation, 0 where one of them is constant."""
    one, other = mid_ranks(scores), mid_ranks(nuisance)
    return float(np.corrcoef(one, other)[0, 1]) if one.std() > 0 and other.std() > 0 else 0.0


def placed(values: Row, among: Row) -> Row:
    """Return which share of `among` lies below each value, ties counted half: 0 to 1."""
    ordered = np.sort(among)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))


def residuals(scores: Row, held: Row, fit: NDArray[np.bool_]) -> Row:
    """Return scores less what the columns of `held` (n, k) foretell: least squares over the rows in `fit`.

    Columns are replaced by their place among those of `fit`, so nothing is extrapolated; scores by their logarithm if they
    are all positive.
    """
    terms = np.stack([np.ones(len(held)), *(placed(column, column[fit]) for column in held.T)], axis=1)
    target = np.log(scores) if scores.min() > 0 else scores
    found, *_ = np.linalg.lstsq(terms[fit], target[fit], rcond=None)
    return np.asarray(target - terms @ found, np.float64)


def analysed(cell: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of the page from a method's rows."""
    rows = cell["rows"]
    column = {name: np.array([row[name] for row in rows]) for name in (*NUISANCES, "score", "label", "kind", "part")}
    score, label, test = column["score"], column["label"], column["part"] == "test"
    good, held = test & (label == 0), np.stack([column[name] for name in NUISANCES], axis=1)
    left = residuals(score, held, ~test)
    kinds = sorted(set(column["kind"][test & (label == 1)]))
    scores = np.array(cell["planted"]).T
    by_kind = {}
    for kind in kinds:
        among = good | (test & (column["kind"] == kind))
        inside = [row["inside"] for row in rows if row["kind"] == kind and "inside" in row]
        by_kind[kind] = (auroc(label[among], score[among]), float(np.mean(inside)) if inside else float("nan"))
    return {
        "auroc": auroc(label[test], score[test]),
        "left": auroc(label[test], left[test]),
        "follows": {name: follows(score[good], column[name][good]) for name in NUISANCES},
        "kinds": by_kind,
        "planted": {
            defect: (
                float(np.mean(spoilt > scores[0])),
                auroc(np.repeat([0, 1], len(spoilt)), np.concatenate([scores[0], spoilt])),
            )
            for defect, spoilt in zip(DEFECTS, scores[1:], strict=True)
        },
        "counts": (int(good.sum()), int((test & (label == 1)).sum()), scores.shape[1]),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    def shown(value: object) -> str:
        if isinstance(value, tuple):
            return " / ".join(map(shown, value))
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    return ["", *markdown_table(head, (map(shown, row) for row in rows)).splitlines()]


def page(found: dict[str, dict[str, Any]], seed: int, by_hand: str) -> str:
    """Return the page: tables from the numbers, then what was written by hand and is kept."""
    kinds = list(next(iter(found.values()))["kinds"])
    lines = ["# Methods near chance on Magnetic Tile", "", WRITTEN, "", INTRODUCTION]
    lines += ["", "## Does it see a defect?", "", PLANTED]
    lines += table(
        ["method", *DEFECTS, "parts"], [[n, *f["planted"].values(), f["counts"][2]] for n, f in found.items()]
    )
    lines += ["", "## By kind of defect", "", KINDS]
    lines += table(["method", *kinds], [[n, *(f["kinds"][kind] for kind in kinds)] for n, f in found.items()])
    lines += ["", "## What do the scores of good parts follow?", "", FOLLOWS]
    lines += table(
        ["method", *NUISANCES, "image AUROC", "less all five", "good / defective"],
        [[n, *f["follows"].values(), f["auroc"], f["left"], f["counts"][:2]] for n, f in found.items()],
    )
    versions = ", ".join(f"{package} {version}" for package, version in environment()["versions"].items())
    return "\n".join([*lines, "", f"Seed {seed}. Made with {versions}.", "", BY_HAND, "", by_hand.strip(), ""])


WRITTEN = "<!-- Written by `python benchmarks/at_chance.py` down to the next such line; not by hand. -->"
BY_HAND = "<!-- From here on written by hand, and kept. -->"
INTRODUCTION = """With quick presets some methods rank Magnetic Tile's parts hardly better than a coin
([all of them](methods-measured.md)), though the same code finds the defects of paper. A method at chance is a bug until
shown otherwise, so this page asks what each sees, and what is in its scores instead."""
PLANTED = """A square of 15 % of the side is planted in the middle of good test parts: half as bright, a grey chequered
board, a coloured one. First the share of parts whose score rises; then the AUROC of all scores with it against all without.
The first near 1 and the second near 0.5 means: it is seen, and good parts differ by more than it adds."""
KINDS = """First the image AUROC against all good test parts; then the mean, over the defective parts, of the AUROC of the
map's pixels inside one part, where no difference between parts matters."""
FOLLOWS = """Rank correlation of the scores of good test parts with five nuisances, the image AUROC, and the image AUROC
less what the five foretell of a score (fitted on good training parts that were not learned from). Area and aspect (width /
height) are the crop's; brightness, contrast and grain (what a 3 x 3 mean removes) are the network's input's."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Magnetic Tile's folder")
    parser.add_argument("--methods", nargs="+", default=sorted((*METHODS, *VARIANTS)), help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("runs/at_chance"), help="folder of the rows")
    parser.add_argument("--page", type=Path, help="Markdown page to write")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in given.methods:
        path = given.out / f"{name}-seed{given.seed}.json"
        if not path.exists():
            write_json(path, measure(name, given.data, given.seed))
        found[name] = analysed(read_json(path))
        print(f"{name:<12} {found[name]['auroc']:.3f}  less all {found[name]['left']:.3f}", flush=True)
    if given.page:
        old = given.page.read_text(encoding="utf-8") if given.page.exists() else ""
        write_text(given.page, page(found, given.seed, old.partition(BY_HAND)[2]))


if __name__ == "__main__":
    main()
