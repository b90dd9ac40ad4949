"""Time the pixel metrics of 83 images of 256 x 256: ours, the rival's, and other ways; print ratios.

AUROC, AP, F1-max and AUPRO together come from one pass of `metrics.PixelHistogram`, and are compared with the rival's four.
Below that, AUROC and AUPRO alone, four ways.

Exact: `metrics.auroc` and `metrics.aupro`. Streaming: one pass of `metrics.PixelHistogram`, then both metrics. Plain
sort: all pixels ordered by score, then cumulated, twice, as the data set authors define it. Naive:
200 equally spaced thresholds, overlaps of every region counted at each, as many repositories do; its values differ, for
such a grid is too coarse.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from blemish import metrics
from side_by_side import Options, Row, finish, options, rival, seconds

IMAGES, SIDE, THRESHOLDS = 83, 256, 200


def scene(seed: int = 0) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    maps, masks = [], []
    for i in range(IMAGES):
        mask = np.zeros((SIDE, SIDE), bool)
        map = rng.gamma(2.0, 0.5, (SIDE, SIDE)).astype(np.float32)
        for _ in range(0 if i < 20 else 1 + i % 3):
            cy, cx, radius = (*rng.integers(20, SIDE - 20, 2).tolist(), int(rng.integers(3, 16)))
            spot = (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
            mask |= spot
            map[spot] += np.float32(rng.uniform(0.5, 3))
        maps.append(map)
        masks.append(mask)
    return maps, masks


def exact(maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[float, float]:
    return metrics.auroc(np.stack(masks), np.stack(maps)), metrics.aupro(maps, masks)


def streaming(maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[float, float]:
    histogram = metrics.PixelHistogram()
    for map, mask in zip(maps, masks, strict=True):
        histogram.update(map, mask)
    return histogram.auroc(), histogram.aupro()


def plain_sort(maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[float, float]:
    scores, truth = np.concatenate([m.ravel() for m in maps]), np.concatenate([m.ravel() for m in masks])
    weights = []
    for mask in masks:
        labels, _ = metrics.regions(mask)
        weights.append((mask / np.maximum(np.bincount(labels.ravel())[labels], 1)).ravel())
    found = []
    for amounts, limit in ((truth.astype(float), 1.0), (np.concatenate(weights), 0.3)):
        order = np.argsort(-scores, kind="stable")
        last = np.append(np.diff(scores[order]) != 0, True)
        x, y = (np.append(0, np.cumsum(a[order])[last]) for a in (~truth, amounts))
        x, y = x / x[-1], y / y[-1]
        end = int(np.searchsorted(x, limit))
        x, y = np.append(x[:end], limit), np.append(y[:end], np.interp(limit, x, y))
        found.append(float(np.trapezoid(y, x) / limit))
    return found[0], found[1]


def naive(maps: list[np.ndarray], masks: list[np.ndarray]) -> tuple[float, float]:
    scores, truth = np.stack(maps), np.stack(masks)
    regions = []
    for i, mask in enumerate(masks):
        labels, count = metrics.regions(mask)
        regions += [(i, np.nonzero(labels == k)) for k in range(1, count + 1)]
    fpr, tpr, pro = [], [], []
    for threshold in np.linspace(scores.max(), scores.min(), THRESHOLDS):
        marked = scores >= threshold
        fpr.append((marked & ~truth).sum() / (~truth).sum())
        tpr.append((marked & truth).sum() / truth.sum())
        pro.append(np.mean([marked[i][where].mean() for i, where in regions]))
    grid = np.linspace(0, 0.3, 1000)
    return float(np.trapezoid(tpr, fpr)), float(np.trapezoid(np.interp(grid, fpr, pro), grid) / 0.3)


def timed(measure: Callable[..., tuple[float, float]], *arguments: list[np.ndarray], repeats: int) -> tuple[float, ...]:
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        values = measure(*arguments)
        best = min(best, time.perf_counter() - start)
    return best, *values


def all_four(maps: list[np.ndarray], masks: list[np.ndarray]) -> dict[str, float]:
    histogram = metrics.PixelHistogram()
    for map, mask in zip(maps, masks, strict=True):
        histogram.update(map, mask)
    return {
        "AUROC": histogram.auroc(),
        "AP": histogram.average_precision(),
        "F1Max": histogram.f1_max()[0],
        "AUPRO": histogram.aupro(),
    }


def side_by_side(maps: list[np.ndarray], masks: list[np.ndarray], given: Options) -> Row:
    ours = seconds(lambda: all_four(maps, masks), given.repeats)
    found, truth, scores = all_four(maps, masks), np.stack(masks), np.stack(maps)
    exact = {
        "AUROC": metrics.auroc(truth, scores),
        "AP": metrics.average_precision(truth.ravel(), scores.ravel()),
        "F1Max": metrics.f1_max(truth.ravel(), scores.ravel())[0],
        "AUPRO": metrics.aupro(maps, masks),
    }
    error = max(abs(found[name] - exact[name]) for name in exact)
    arrays = {"maps": scores, "masks": truth}
    theirs = rival(given, "metrics", arrays, repeats=2)
    note = f"largest error {error:.1e}"
    if theirs is not None:
        note += f"; rival { ({name: round(value, 5) for name, value in theirs['values'].items()}) }"
        note += f", exact { ({name: round(float(value), 5) for name, value in exact.items()}) }"
    return Row("pixel AUROC, AP, F1-max and AUPRO", ours, theirs and theirs["seconds"], "s", ">= 20x", note)


def main() -> None:
    given = options(__doc__)
    maps, masks = scene()
    finish([side_by_side(maps, masks, given)], given)
    print(
        f"{IMAGES} images of {SIDE} x {SIDE}, {sum(mask.any() for mask in masks)} defective; best of 3 (the last two: 1)"
    )
    print(f"{'':<10} {'seconds':>8} {'ratio':>7} {'AUROC':>10} {'AUPRO':>10}")
    rows = [
        (f.__name__, timed(f, maps, masks, repeats=n))
        for f, n in ((exact, 3), (streaming, 3), (plain_sort, 1), (naive, 1))
    ]
    for name, (spent, auroc, aupro) in rows:
        print(f"{name:<10} {spent:8.3f} {spent / rows[0][1][0]:7.2f} {auroc:10.7f} {aupro:10.7f}")
    for row in rows[1:3]:
        np.testing.assert_allclose(row[1][1:], rows[0][1][1:], atol=1e-6)

    big, mask = np.tile(maps[-1], (4, 4)), np.tile(masks[-1], (4, 4))
    for kind in (metrics.PixelHistogram, metrics.PixelMetrics):
        accumulator = kind()
        spent = min(timed(lambda a, b, to=accumulator: to.update(a, b) or (0, 0), big, mask, repeats=10)[:1])
        print(f"{kind.__name__}.update of one 1024 x 1024 map: {1000 * spent:.1f} ms")


if __name__ == "__main__":
    main()
