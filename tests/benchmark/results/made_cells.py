"""Results as the benchmark's runner writes them, with made numbers."""

import json
from pathlib import Path

import numpy as np

from blemish.metrics import auroc

STAMPS = {
    "versions": {"blemish": "0.1.0", "torch": "2.6.0"},
    "platform": "Linux-6.1-x86_64",
    "weights": {"texnet_s": "abc123"},
    "started": "2026-11-25T10:00:00+00:00",
}


def cell(method, dataset="synthetic", category="", seed=0, protocol="one-class", preset="quick", **other) -> dict:
    what = {"method": method, "dataset": dataset, "category": category, "seed": seed}
    made = {
        "cell": {**what, "protocol": protocol, "preset": preset},
        "metrics": {},
        "by_category": {},
        "costs": {},
        "scores": {"labels": [], "scores": []},
        "stamps": {**STAMPS, "split": f"split-{dataset}-{category}"},
        "failed": None,
        "a key of the future": [1, 2],
    }
    return {**made, **other}


def around(value: float, half: float = 0.01) -> dict:
    return {"value": value, "low": max(value - half, 0.0), "high": min(value + half, 1.0)}


def scored(method, level, rng, good=24, bad=16, **where) -> dict:
    """A cell whose image AUROC is that of its scores; `level` is how far defects stand out."""
    labels = np.repeat([0, 1], [good, bad])
    scores = rng.normal(labels * level, 1.0)
    pixel = float(np.clip(0.9 + level / 50 + rng.normal(0, 0.004), 0, 1))
    metrics = {
        "image_AUROC": around(auroc(labels, scores), 0.05),
        "pixel_AUROC": around(pixel),
        "pixel_AUPRO": around(pixel - 0.08, 0.02),
    }
    costs = {
        "fit_seconds": 2.0 * level,
        "score_ms": 8.0 + 3 * level + len(method),
        "peak_mb": 300 + 40 * len(method),
        "parameters": 1_250_000,
    }
    return cell(
        method, metrics=metrics, costs=costs, scores={"labels": labels.tolist(), "scores": scores.tolist()}, **where
    )


def write(folder: Path, *cells: dict) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i, one in enumerate(cells):
        (folder / f"{i:04d}.json").write_text(json.dumps(one))
    return folder


METHODS = {
    "patchcore": 3.2,
    "padim": 2.4,
    "efficientad": 3.0,
    "rd4ad": 2.8,
    "stpm": 2.2,
    "fastflow": 2.5,
    "draem": 1.6,
    "ae": 0.9,
    "anogan": 0.3,
}
CATEGORIES = ("weave", "grain", "tiles", "brushed", "print", "knit", "cast")


def grid(folder: Path, methods=METHODS, categories=CATEGORIES, seeds=(0, 1, 2)) -> Path:
    """A whole benchmark: one-class on three data sets, multi-class, robustness, few-shot, and two failures."""
    rng = np.random.default_rng(0)
    cells = []
    for method, level in methods.items():
        for seed in seeds:
            made = [scored(method, level, rng, category=c, seed=seed) for c in categories]
            cells += made
            cells.append(scored(method, level * 0.8, rng, dataset="magnetic_tile", seed=seed))
            cells.append(scored(method, level * 0.9, rng, dataset="mvtec_ad", category="bottle", seed=seed))
            by_category = {c: scored(method, level * 0.8, rng)["metrics"] for c in categories}
            cells.append(cell(method, seed=seed, protocol="multi-class", by_category=by_category))
            for kind, strengths in {"blur": (1, 2, 4), "noise": (0.05, 0.1)}.items():
                cells += [
                    scored(method, level / (1 + s), rng, category=c, seed=seed, protocol=f"robustness-{kind}-{s}")
                    for s in strengths
                    for c in categories[:2]
                ]
            cells += [
                scored(method, level * k / 9, rng, category="weave", seed=seed, protocol=f"few-shot-{k}")
                for k in (1, 2, 8)
            ]
    error = {"error": "OutOfMemory: <8 GiB> wanted", "traceback": "Traceback (most recent call last):\n  <b>here</b>"}
    cells.append(cell("csflow", category="weave", failed=error))
    cells.append(cell("anogan", category="mirror", seed=9, failed=error))
    return write(folder, *cells)
