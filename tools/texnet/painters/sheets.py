"""Thin and porous materials: paper, ground ferrite, foam."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import (
    SHIFT,
    Field,
    Random,
    between,
    clipped,
    disc,
    filtered,
    fine,
    grain,
    grid,
    radii,
    streaks,
    swell,
)  # fmt: skip


def paper(fixed: Random, rng: Random, side: int) -> Field:
    """Paper, fleece, filter: the clouds of its formation, translucent curled fibres in several layers, specks."""
    length, width, count = between(fixed, 10, 50), int(fixed.integers(1, 3)), int(fixed.integers(20, 140))
    angle, spread, curl = fixed.uniform(0, np.pi), fixed.choice([0.5, 3.2]), fixed.uniform(0.05, 0.5)
    cloud, weight, ground = fixed.uniform(0.03, 0.16), fixed.uniform(0.05, 0.3), fixed.uniform(0.35, 0.65)
    tooth, sign, specks = fixed.uniform(0.01, 0.06), fixed.choice([-1.0, 1.0]), int(fixed.integers(0, 12))
    flock = filtered(rng, side, radii(side, 1, 0) ** -1.2)
    weight *= min(1.0, 2500 / (count * length * width))
    tone = ground + cloud / np.float32(flock.std() + 1e-6) * flock + tooth * grain(rng, side, 0.5)
    steps = np.linspace(-0.5, 0.5, 8)[None]
    for _ in range(3):
        canvas = np.zeros((side, side), np.uint8)
        turn = angle + rng.normal(0, spread, (count, 1)) + rng.normal(0, curl, (count, 1)) * steps * 6
        reach = length * rng.uniform(0.5, 1.4, (count, 1)) / 8
        path = np.stack([np.cumsum(np.cos(turn) * reach, 1), np.cumsum(np.sin(turn) * reach, 1)], axis=2)
        lines = list(fine(rng.uniform(0, side, (count, 1, 2)) + path))
        cv2.polylines(canvas, lines, False, 255, width, cv2.LINE_AA, SHIFT)
        tone += np.float32(sign * weight / 255) * canvas
    spots = np.zeros((side, side), np.uint8)
    for px, py, size in zip(*rng.uniform(0, side, (2, 12)), rng.uniform(0.5, 1.3, 12), strict=True):
        if specks > 0:
            disc(spots, np.array([px, py]), float(size), 200)
        specks -= 1
    return clipped(tone - cv2.GaussianBlur(spots, (0, 0), 0.6) * np.float32(0.8 / 255))


def ferrite(fixed: Random, rng: Random, side: int) -> Field:
    """A ground face, nearly even: fine grinding marks whose density varies, under broad soft bands of brightness."""
    length, thin, depth = int(between(fixed, 20, 90)), fixed.uniform(0.2, 0.9), between(fixed, 0.02, 0.14)
    band, ground, patchy = between(fixed, 0.03, 0.25), fixed.uniform(0.3, 0.7), fixed.uniform(0, 1)
    pores, scores, fading = int(fixed.integers(0, 40)), int(fixed.integers(0, 5)), fixed.uniform(0, 0.12)
    wide = between(fixed, 12, 50)
    marks = streaks(rng, side, length, thin)
    rows = rng.random((int(side / wide) + 3, 3), dtype=np.float32)
    bands = 2 * cv2.resize(rows, (side, side), interpolation=cv2.INTER_CUBIC) - 1
    density = cv2.resize(rng.random((side // 7 + 2, 3), dtype=np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    tone = ground + band * bands + depth * marks * (1 - patchy * density) + fading * swell(rng, side, 50)
    tone += 0.012 * grain(rng, side, 0.4)
    extra = np.zeros((side, side), np.uint8)
    for px, py, size in zip(*rng.uniform(0, side, (2, 40)), rng.uniform(0.4, 1.2, 40), strict=True):
        if pores > 0:
            disc(extra, np.array([px, py]), float(size), 130)
        pores -= 1
    for px, py, reach in zip(*rng.uniform(0, side, (2, 5)), rng.uniform(10, side, 5), strict=True):
        if scores > 0:
            cv2.polylines(extra, [fine(np.array([(px, py), (px + reach, py)]))], False, 60, 1, cv2.LINE_AA, SHIFT)
        scores -= 1
    extra = cv2.GaussianBlur(extra, (0, 0), 0.55)
    return np.ascontiguousarray(clipped(tone - extra * np.float32(0.8 / 255)).T)


def foam(fixed: Random, rng: Random, side: int) -> Field:
    """Foam and sponge: bubbles of many sizes cut open, each with a bright rim and a dark, shaded inside."""
    small, exponent, rim = between(fixed, 2.6, 8), fixed.uniform(1.4, 3.5), fixed.uniform(0.4, 1.3)
    dark, ground, open_ = int(fixed.integers(0, 90)), int(fixed.integers(110, 200)), fixed.uniform(0.8, 2)
    angle, shade, shown = fixed.uniform(0, 2 * np.pi), int(fixed.integers(15, 60)), int(fixed.integers(0, 55))
    count = int(min(400, open_ * 2 * (side / (small * 2.6)) ** 2))
    sizes = np.sort(np.minimum(small * rng.random(count) ** (-1 / exponent), side / 7))
    places = rng.uniform(-4, side + 4, (count, 2))
    if fixed.random() < 0.5:  # large bubbles below, small ones on their walls
        sizes = sizes[::-1]
    canvas = np.full((side, side), ground, np.uint8)
    away = np.array([np.cos(angle), np.sin(angle)])
    for place, size in zip(places, sizes.tolist(), strict=True):
        disc(canvas, place, size + rim, min(255, ground + shown))
        disc(canvas, place, size, dark)
    hollow = cv2.distanceTransform((canvas <= dark).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    deep = cv2.GaussianBlur(np.minimum(hollow, np.float32(2.5 * small)), (0, 0), 0.25 * small)
    gy, gx = np.gradient(deep)
    lit = np.float32(away[0]) * gx + np.float32(away[1]) * gy
    field = cv2.GaussianBlur(canvas, (0, 0), 0.6).astype(np.float32) / 255
    inside = np.minimum(hollow * 0.5, 1) * np.float32(shade / 80)
    field = field + inside * (0.25 - lit * 0.6 - 0.04 * deep)
    return clipped(field + 0.04 * swell(rng, side, 30) + 0.02 * grain(rng, side, 0.5))


def gel(fixed: Random, rng: Random, side: int) -> Field:
    """Adhesive, orange peel, lacquer: shallow domes run together, seen by their soft highlights."""
    size, hard, angle = between(fixed, 1.5, 8), fixed.uniform(0.4, 1.3), fixed.uniform(0, 2 * np.pi)
    gloss, level, broad = fixed.uniform(0, 0.8), fixed.uniform(1.2, 2.2), fixed.uniform(0, 0.15)
    height = grain(rng, side, size)
    x, y = grid(side)
    slope = cv2.Sobel(height, cv2.CV_32F, 1, 0) * np.float32(np.cos(angle))
    slope += cv2.Sobel(height, cv2.CV_32F, 0, 1) * np.float32(np.sin(angle))
    slope /= np.float32(slope.std() + 1e-6)
    across = np.float32(1 / side) * (x * np.float32(np.sin(angle)) - y * np.float32(np.cos(angle)))
    tone = 0.42 + 0.22 * np.tanh(hard * slope) + gloss * np.clip(slope - level + 0.3 * height, 0, 0.6)
    return clipped(tone + broad * across + broad * swell(rng, side, 60))
