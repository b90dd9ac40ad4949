"""Grown, cast and weathered surfaces: textures that no two pieces share."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import (
    Field,
    Random,
    between,
    cells,
    clipped,
    disc,
    filtered,
    grain,
    grid,
    radii,
    ramp,
    squash,
    streaks,
    swell,
)  # fmt: skip


def wood(fixed: Random, rng: Random, side: int) -> Field:
    """Planks: year rings cut lengthwise, bent around knots, crossed by fine pores."""
    period, slant, bend = between(fixed, 4, 30), fixed.uniform(0.02, 0.25), fixed.uniform(0.3, 1.6)
    sharp, pores, knots = fixed.uniform(0.7, 3), fixed.uniform(0, 0.22), int(fixed.integers(0, 3))
    length, upright, rings_ = int(fixed.integers(9, 40)), fixed.random() < 0.5, fixed.uniform(-0.25, 0.6)
    base, blotch = fixed.uniform(0.4, 0.85), fixed.uniform(0, 0.15)
    x, y = grid(side)
    wander = cv2.resize(rng.random((side // 12 + 2, 5), dtype=np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    cut = np.hypot((y - side * rng.uniform(-0.3, 1.3)), (x - side * rng.uniform(0, 1)) * slant)
    phase = cut / period + bend * wander
    core = np.zeros((side, side), np.float32)
    for cx, cy, size in zip(*rng.uniform(0, side, (2, 2)), rng.uniform(4, 9, 2), strict=True):
        if knots > 0:
            away = ((x - cx) / (size * 2)) ** 2 + ((y - cy) / size) ** 2
            near = np.exp(-away * 0.5)
            phase, core = phase + near * (1.5 + 6 / period * np.sqrt(away + 0.01)), np.maximum(core, np.exp(-away * 2))
        knots -= 1
    saw = np.mod(phase, 1)
    base = base + blotch * swell(rng, side, 45)
    tone = base - rings_ * np.minimum(saw**sharp, (1 - saw) * 6)
    fine = streaks(rng, side, length, 0.4)
    tone = tone - pores * np.maximum(fine - 0.8, 0) + 0.04 * streaks(rng, side, length * 2, 0.8) - 0.7 * core
    field = clipped(tone)
    return np.ascontiguousarray(field.T) if upright else field


def leather(fixed: Random, rng: Random, side: int) -> Field:
    """Skin: small cushions between creases, gathered into larger folds, with pores."""
    small, folds = between(fixed, 4, 11), fixed.uniform(2.2, 5)
    depth, crease, pore = fixed.uniform(0, 0.6), fixed.uniform(0.5, 1.6), fixed.uniform(0, 0.25)
    soft, stretch = fixed.uniform(0.5, 1.4), fixed.uniform(1, 2)
    _, dx, dy, away = cells(rng, side, small, 0.95)
    cushion = 1 - np.exp(-away / np.float32(crease)) - np.float32(0.15 / small**2) * (dx * dx + dy * dy)
    _, _, _, far = cells(rng, side, small * folds, 1.0)
    fold = np.exp(-far / np.float32(crease * 2))
    height = cv2.GaussianBlur(cushion - np.float32(depth) * fold, (0, 0), soft)
    wide = cv2.resize(height, (int(side * stretch), side))[:, :side]
    return clipped(0.15 + 0.85 * wide + pore * 0.25 * grain(rng, side, 0.6))


def casting(fixed: Random, rng: Random, side: int) -> Field:
    """Sand casting: coarse grain on a soft undulation, a few pits."""
    size, rough, wave = between(fixed, 0.6, 2.6), fixed.uniform(0.04, 0.2), fixed.uniform(0.01, 0.15)
    scale, pits, dark = between(fixed, 14, 60), int(fixed.integers(0, 30)), fixed.uniform(0.2, 0.7)
    hard, fold = fixed.uniform(0.6, 1.5), fixed.uniform(0, 0.6)
    sand = np.float32(1 - fold) * grain(rng, side, size) + np.float32(fold) * grain(rng, side, size * 2.2)
    canvas = np.zeros((side, side), np.uint8)
    for px, py, radius in zip(*rng.uniform(0, side, (2, 30)), rng.uniform(0.8, 2.2, 30), strict=True):
        if pits > 0:
            disc(canvas, np.array([px, py]), float(radius), 255)
        pits -= 1
    hole = cv2.GaussianBlur(canvas, (0, 0), 0.9).astype(np.float32) / 255
    tone = 0.5 + wave * swell(rng, side, int(scale)) + rough * sand * (1 + hard * 0.15 * swell(rng, side, 30))
    return clipped(tone - dark * hole)


def hammered(fixed: Random, rng: Random, side: int) -> Field:
    """Hammered sheet: round dents with sharp ridges between, each brighter on the side that faces the lamp."""
    spacing, jitter, angle = between(fixed, 8, 30), fixed.uniform(0.6, 1.1), fixed.uniform(0, 2 * np.pi)
    slope, ridge, mirror = fixed.uniform(0.3, 0.9), fixed.uniform(0, 0.5), fixed.uniform(0, 0.5)
    _, dx, dy, away = cells(rng, side, spacing, jitter)
    lit = (np.float32(np.cos(angle)) * dx + np.float32(np.sin(angle)) * dy) * np.float32(1 / spacing)
    tone = 0.45 + slope * lit + ridge * np.exp(-away * 0.8) * (lit + 0.3)
    tone += mirror * np.exp(-((lit - 0.25) ** 2) * 60 - (dx * dx + dy * dy) / np.float32(spacing**2 * 0.4))
    return clipped(cv2.GaussianBlur(tone + 0.03 * grain(rng, side, 0.5), (0, 0), 0.7))


def rust(fixed: Random, rng: Random, side: int) -> Field:
    """Corrosion: ragged patches with a halo and a rough inside, on a plate that is still sound."""
    slope, level, grainy = fixed.uniform(1.2, 2.2), fixed.uniform(0.1, 1.4), fixed.uniform(0.03, 0.13)
    plate, halo, size = fixed.uniform(0, 0.6), fixed.uniform(0, 0.25), fixed.uniform(0.5, 1.6)
    run = between(fixed, 1, 6) if fixed.random() < 0.5 else 1.0
    coarse, dull = between(fixed, 1.5, 9), fixed.uniform(0.35, 0.85)
    noise = filtered(rng, side, np.maximum(radii(side, run, np.pi / 2), coarse / side) ** -slope)
    noise = noise / np.float32(noise.std() + 1e-6) - np.float32(level)
    patch, wide = squash(noise, 5, 0), squash(noise, 1.4, 0.5)
    inside = dull + 0.15 * swell(rng, side, 14) + grainy * grain(rng, side, size) - 0.15 * np.exp(-np.abs(noise) * 4)
    return clipped(plate + halo * wide + 0.02 * grain(rng, side, 0.5) + patch * (inside - plate))


def marble(fixed: Random, rng: Random, side: int) -> Field:
    """Polished stone: veins of two sizes along one drift, carried away by slow eddies, over clouds."""
    angle, stretch, eddy = fixed.uniform(0, np.pi), between(fixed, 1, 8), fixed.uniform(2, 14)
    sharp, faint, cloud = fixed.uniform(3, 11), fixed.uniform(0.1, 0.4), fixed.uniform(0.04, 0.14)
    slope, light = fixed.uniform(1.7, 2.3), fixed.random() < 0.5
    noise = filtered(rng, side, np.maximum(radii(side, stretch, angle), 2.2 / side) ** -slope)
    noise /= np.float32(noise.std() + 1e-6)
    x, y = grid(side)
    moved = cv2.remap(
        noise, x + eddy * swell(rng, side, side // 5), y + eddy * swell(rng, side, side // 5),
        cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT_101,
    )  # fmt: skip
    strength = ramp(swell(rng, side, side // 3) + 0.2, 1.2)
    veins = np.exp(-np.abs(moved) * np.float32(sharp)) * strength + faint * np.exp(-np.abs(noise + 0.7) * sharp * 2)
    tone = 0.25 + cloud * moved - cloud * 0.5 * swell(rng, side, 24) + 0.7 * veins
    return clipped(1 - tone if light else tone)


def ceramic(fixed: Random, rng: Random, side: int) -> Field:
    """Speckled glaze or stoneware: dark and bright specks of many sizes in an even, slightly wavy ground."""
    count, exponent, ground = int(between(fixed, 30, 420)), fixed.uniform(1.6, 3.5), fixed.uniform(0.3, 0.7)
    bright, small, soft = fixed.choice([0.0, 0.2, 0.5]), fixed.uniform(0.5, 1.2), fixed.uniform(0.4, 1.2)
    wave, depth = fixed.uniform(0, 0.1), fixed.uniform(0.4, 1)
    canvas = np.full((2 * side, 2 * side), int(255 * ground), np.uint8)  # the smallest discs need a finer grid
    sizes = 2 * np.minimum(small * rng.random(count) ** (-1 / exponent), 7)
    light, tones = rng.random(count) < bright, rng.uniform(0.3, 1, count) * depth
    ends = np.where(light, ground + (1 - ground) * tones, ground - ground * tones) * 255
    places = rng.uniform(0, 2 * side, (count, 2))
    for place, size, tone in zip(places, sizes.tolist(), ends.astype(int).tolist(), strict=True):
        disc(canvas, place, size, tone)
    field = cv2.resize(cv2.GaussianBlur(canvas, (0, 0), soft), (side, side), interpolation=cv2.INTER_AREA)
    field = field.astype(np.float32) / 255
    return clipped(field + wave * swell(rng, side, 40) + 0.01 * grain(rng, side, 0.4))
