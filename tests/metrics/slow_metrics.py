"""Slow, obvious versions of every metric: loops over pairs, over thresholds, over pixels."""

import itertools
import math
from collections import deque

import numpy as np


def auroc(labels, scores):
    good = [s for y, s in zip(labels, scores, strict=True) if not y]
    bad = [s for y, s in zip(labels, scores, strict=True) if y]
    return sum((b > g) + 0.5 * (b == g) for b in bad for g in good) / (len(good) * len(bad))


def counts(labels, scores, threshold):
    """TP, FN, FP, TN."""
    found = [0, 0, 0, 0]
    for y, s in zip(labels, scores, strict=True):
        found[(0 if s >= threshold else 1) if y else (2 if s >= threshold else 3)] += 1
    return tuple(found)


def falling(scores):
    return sorted({float(s) for s in scores}, reverse=True)


def average_precision(labels, scores):
    total, before = 0.0, 0.0
    for threshold in falling(scores):
        tp, fn, fp, _ = counts(labels, scores, threshold)
        total += (tp / (tp + fn) - before) * tp / (tp + fp)
        before = tp / (tp + fn)
    return total


def f1_max(labels, scores):
    best = (-1.0, 0.0)
    for threshold in falling(scores):
        tp, fn, fp, _ = counts(labels, scores, threshold)
        value = 2 * tp / (2 * tp + fp + fn)
        if value > best[0]:
            best = (value, threshold)
    return best


def regions(mask):
    """8-connected components as lists of (y, x), by breadth-first search."""
    left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
    found = []
    while left:
        queue = deque([left.pop()])
        region = []
        while queue:
            y, x = queue.popleft()
            region.append((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    queue.append(near)
        found.append(region)
    return found


def overlap_at(threshold, maps, parts):
    """Mean over parts (image, pixels, saturation) of the share marked, at most 1."""
    shares = []
    for image, pixels, full in parts:
        marked = sum(maps[image][y, x] >= threshold for y, x in pixels)
        shares.append(min(marked / full, 1.0))
    return sum(shares) / len(shares)


def parts_of(masks, valid=None):
    parts = []
    for i, mask in enumerate(masks):
        for region in regions(mask):
            pixels = [p for p in region if valid is None or valid[i][p]]
            if pixels:
                parts.append((i, pixels, len(pixels)))
    return parts


def pro_points(maps, masks, parts, valid=None):
    """(fpr, overlap, threshold) at every distinct score, after (0, 0, inf)."""
    keep = [np.ones(m.shape, bool) for m in maps] if valid is None else valid
    good = np.concatenate([m[~t & k] for m, t, k in zip(maps, masks, keep, strict=True)])
    everything = np.concatenate([m[k] for m, k in zip(maps, keep, strict=True)])
    return [(0.0, 0.0, math.inf)] + [
        (float((good >= t).mean()), overlap_at(t, maps, parts), t) for t in falling(everything)
    ]


def area(points, limit):
    """Walk along the curve and stop at the limit."""
    total = 0.0
    for (x0, y0, _), (x1, y1, _) in itertools.pairwise(points):
        if x1 <= limit:
            total += (x1 - x0) * (y0 + y1) / 2
        elif x0 < limit:
            end = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            total += (limit - x0) * (y0 + end) / 2
    return total / limit


def aupro(maps, masks, limit=0.3, valid=None):
    return area(pro_points(maps, masks, parts_of(masks, valid), valid), limit)


def aupro_by_sorting(maps, masks, limit=0.3):
    """The data set authors' algorithm: one sort of all pixels, cumulate, the last of each run of equal scores."""
    labelled = [regions(mask) for mask in masks]
    total = sum(len(found) for found in labelled)
    good = sum(int((~mask).sum()) for mask in masks)
    score, fp, pro = [], [], []
    for map, mask, found in zip(maps, masks, labelled, strict=True):
        for region in found:
            score += [map[p] for p in region]
            fp += [0.0] * len(region)
            pro += [1 / (total * len(region))] * len(region)
        score += list(map[~mask])
        fp += [1 / good] * int((~mask).sum())
        pro += [0.0] * int((~mask).sum())
    order = np.argsort(-np.array(score), kind="stable")
    ranked = np.array(score)[order]
    last = np.append(np.diff(ranked) != 0, True)
    x, y = (np.append(0, np.cumsum(np.array(v)[order])[last]) for v in (fp, pro))
    return area(list(zip(x, y, x, strict=True)), limit)


def aupimo(maps, masks, bounds):
    """One walk along the logarithmic axis for each defective image."""
    low, high = (math.log(b) for b in bounds)
    good = [map.ravel() for map, mask in zip(maps, masks, strict=True) if not mask.any()]
    thresholds = falling(np.concatenate([map.ravel() for map in maps]))
    found = []
    for map, mask in zip(maps, masks, strict=True):
        if not mask.any():
            continue
        points = []
        for t in thresholds:
            x = sum(float((g >= t).mean()) for g in good) / len(good)
            if x > 0:
                points.append((math.log(x), float((map[mask] >= t).mean())))
        total = 0.0
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            a, b = max(x0, low), min(x1, high)
            if x1 > x0 and b > a:
                ya, yb = (y0 + (y1 - y0) * (x - x0) / (x1 - x0) for x in (a, b))
                total += (b - a) * (ya + yb) / 2
        found.append(total / (high - low))
    return found
