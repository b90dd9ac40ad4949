"""Regular patterns: waves, tiles, cloth, perforation, bands."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import Field, Random, grid, squash, turned


def gratings(fixed: Random, rng: Random, side: int) -> Field:
    """Sums of one to four waves, from soft to square: fabric, mesh, corrugation, moire."""
    count = int(fixed.integers(1, 5))
    x, y = grid(side)
    field = np.zeros((side, side), np.float32)
    for _ in range(count):
        period, angle = np.exp(fixed.uniform(np.log(3.5), np.log(40))), fixed.uniform(0, np.pi)
        phase = rng.uniform(0, 2 * np.pi)
        turn = 2 * np.pi / period
        field += np.float32(fixed.uniform(0.4, 1)) * np.sin(
            np.float32(turn * np.cos(angle)) * x + np.float32(turn * np.sin(angle)) * y + np.float32(phase)
        )
    return squash(field, fixed.uniform(0.8, 8), fixed.uniform(-0.4, 0.4))


def bricks(fixed: Random, rng: Random, side: int) -> Field:
    """Courses of tiles with joints; every tile has its own tone."""
    wide, high = np.exp(fixed.uniform(np.log(6), np.log(44), 2))
    offset, joint = fixed.choice([0.0, 0.5, 1 / 3]), fixed.uniform(0.5, 2.5)
    angle, tones = fixed.choice([0, np.pi / 4, np.pi / 2, fixed.uniform(0, np.pi)]), fixed.uniform(0, 0.6)
    x, y = turned(side, angle, rng.uniform(0, wide * 6), rng.uniform(0, high * 6))
    row = np.floor(y / high)
    along = x / wide + offset * row
    column = np.floor(along)
    inside = np.minimum(
        np.minimum(along - column, 1 - along + column) * wide, np.minimum(y / high - row, 1 - y / high + row) * high
    )
    tone = rng.random((16, 16), dtype=np.float32)[row.astype(int) % 16, column.astype(int) % 16]
    body = np.clip(inside / joint, 0, 1) * (1 - tones * tone)
    return body.astype(np.float32)


def weave(fixed: Random, rng: Random, side: int) -> Field:
    """Threads over and under: plain, twill, basket, with a round profile."""
    warp, weft = np.exp(fixed.uniform(np.log(3), np.log(16), 2))
    step, float_, angle = int(fixed.integers(1, 4)), int(fixed.integers(2, 6)), fixed.uniform(0, np.pi)
    dark, profile = fixed.uniform(0.3, 1), fixed.uniform(0.3, 1.5)
    x, y = turned(side, angle, rng.uniform(0, 60), rng.uniform(0, 60))
    u, v = x / warp, y / weft
    i, j = np.floor(u), np.floor(v)
    over = np.mod(i + step * j, float_) < float_ // 2
    across = np.sin(np.pi * (u - i)) ** profile
    down = np.sin(np.pi * (v - j)) ** profile
    irregular = 1 + 0.15 * rng.standard_normal(64)[i.astype(int) % 64]
    return np.clip(np.where(over, across, dark * down) * irregular, 0, 1).astype(np.float32)


def lattice(fixed: Random, rng: Random, side: int) -> Field:
    """Holes or bumps on a square or hexagonal grid: perforated sheet, honeycomb, knurling, halftone."""
    pitch, fill, angle = np.exp(fixed.uniform(np.log(4), np.log(30))), fixed.uniform(0.2, 0.48), fixed.uniform(0, np.pi)
    hexagonal, corner, soft = fixed.random() < 0.5, fixed.choice([1.0, 2.0, 8.0]), fixed.uniform(0.04, 0.3)
    x, y = turned(side, angle, rng.uniform(0, pitch * 4), rng.uniform(0, pitch * 4))
    v = y / (pitch * (np.sqrt(3) / 2 if hexagonal else 1))
    row = np.floor(v)
    u = x / pitch + (0.5 * row if hexagonal else 0)
    du, dv = np.abs(u - np.floor(u) - 0.5), np.abs(v - row - 0.5)
    distance = (du**corner + dv**corner) ** (1 / corner)
    return np.clip((fill - distance) / soft + 0.5, 0, 1).astype(np.float32)


def stripes(fixed: Random, rng: Random, side: int) -> Field:
    """Bands of unequal width and tone across the image: labels, layers, cables, rolled edges."""
    count, angle, soft = int(fixed.integers(3, 14)), fixed.uniform(0, np.pi), fixed.uniform(0.4, 3)
    at = np.sort(fixed.uniform(0, 1, count)) * side * 1.2
    tones = fixed.uniform(0, 1, count + 1)
    x, _ = turned(side, angle, rng.normal(0, side * 0.06), 0)
    table = tones[np.searchsorted(at, np.mod(np.arange(256) / 256 * side * 1.2, side * 1.2))].astype(np.float32)
    field = table[(np.mod(x / (side * 1.2), 1) * 255.99).astype(int)]
    return cv2.GaussianBlur(field, (0, 0), float(soft))
