"""Many small things of chance: cells, chips, spots, strokes."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import SHIFT, Field, Random, shape, sites


def voronoi(fixed: Random, rng: Random, side: int) -> Field:
    """Cells: cracked mud, grains of metal, pebbles, foam."""
    spacing, jitter, kind = np.exp(fixed.uniform(np.log(6), np.log(34))), fixed.uniform(0.2, 1), int(fixed.integers(4))
    width, hard = fixed.uniform(0.6, 2.5), fixed.uniform(0.1, 0.5)
    points = sites(rng, side, spacing, jitter)
    seeds = np.full((side, side), 255, np.uint8)
    columns, rows = (np.clip(v, 0, side - 1).astype(int) for v in points.T)
    seeds[rows, columns] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    tone = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    edge = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
    edge[0], edge[:, 0] = False, False
    away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    if kind == 0:
        return np.clip(distance / np.float32(spacing * 0.8), 0, 1)
    if kind == 1:
        return np.clip(away / np.float32(width), 0, 1)
    if kind == 2:
        return np.clip(tone * np.clip(away / np.float32(width), 0, 1), 0, 1)
    return np.clip((1 - np.exp(-away / np.float32(spacing * hard))) * (0.8 + 0.2 * tone), 0, 1)


def dead_leaves(fixed: Random, rng: Random, side: int) -> Field:
    """Flat shapes dropped on one another, sizes by a power law: gravel, chips, litter, terrazzo."""
    kind, small, exponent = int(fixed.integers(5)), np.exp(fixed.uniform(np.log(1.5), np.log(9))), fixed.uniform(1.5, 4)
    angle, spread, slender = fixed.uniform(0, np.pi), fixed.choice([0.1, 3.2]), fixed.uniform(0.25, 1)
    count = int(min(500, 5 * (side / (small * 2.5)) ** 2))
    canvas = np.full((side, side), 128, np.uint8)
    sizes = np.minimum(small * rng.random(count) ** (-1 / exponent), side / 3)
    places, angles = rng.uniform(0, side, (count, 2)), angle + rng.normal(0, spread, count)
    tones = rng.integers(0, 256, count)
    for place, size, turn, tone in zip(places, sizes, angles, tones.tolist(), strict=True):
        shape(canvas, kind, place, float(size), float(slender), float(turn), tone, rng)
    return canvas.astype(np.float32) / 255


def scattered(fixed: Random, rng: Random, side: int) -> Field:
    """One shape again and again, apart from one another: pills, rivets, grains, pores."""
    kind, size, slender = int(fixed.integers(5)), np.exp(fixed.uniform(np.log(1.5), np.log(13))), fixed.uniform(0.3, 1)
    spacing, jitter, keep = size * fixed.uniform(2.2, 5), fixed.choice([0.05, 0.9]), fixed.uniform(0.4, 1)
    angle, spread, varies = fixed.uniform(0, np.pi), fixed.choice([0.0, 0.2, 3.2]), fixed.choice([0.0, 0.3])
    canvas = np.zeros((side, side), np.uint8)
    for place in sites(rng, side, spacing, jitter):
        if rng.random() < keep:
            radius, turn = size * np.exp(rng.normal(0, varies)), angle + rng.normal(0, spread)
            shape(canvas, kind, place, float(radius), float(slender), float(turn), 255, rng)
    if fixed.random() < 0.5:  # rounded: as high as it is far from the border
        inside = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_5)
        return np.sqrt(np.clip(inside / np.float32(size), 0, 1))
    return canvas.astype(np.float32) / 255


def fibres(fixed: Random, rng: Random, side: int) -> Field:
    """Bent strokes laid over one another: felt, paper, hair, chipboard, scratches."""
    length, width = np.exp(fixed.uniform(np.log(6), np.log(60))), int(fixed.integers(1, 4))
    angle, spread, curl = fixed.uniform(0, np.pi), fixed.choice([0.15, 0.6, 3.2]), fixed.uniform(0, 0.5)
    count, ground = int(min(350, fixed.uniform(0.15, 1.6) * side**2 / (length * width))), int(fixed.integers(0, 256))
    contrast = fixed.random() < 0.5
    canvas = np.full((side, side), ground, np.uint8)
    steps = np.linspace(-0.5, 0.5, 6)[None]
    turn = angle + rng.normal(0, spread, (count, 1)) + rng.normal(0, curl, (count, 1)) * steps * 4
    reach = length * np.exp(rng.normal(0, 0.3, (count, 1))) / 6
    places = rng.uniform(0, side, (count, 1, 2))
    lines = places + np.stack([np.cumsum(np.cos(turn) * reach, 1), np.cumsum(np.sin(turn) * reach, 1)], axis=2)
    tones = rng.integers(0, 256, count) if contrast else np.full(count, 255 - ground)
    points = np.round(lines * 2**SHIFT).astype(np.int32)
    for line, tone in zip(points, tones.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, tone, width, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255
