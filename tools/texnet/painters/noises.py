"""Random fields without parts: clouds, grain, creases, rubbed and turned surfaces."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import Field, Random, filtered, grid, radii, smooth_noise, squash, turned, unit


def power_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Clouds: noise whose power falls as frequency^-a, stretched along one direction."""
    slope, stretch, angle = fixed.uniform(0.4, 2.2), np.exp(fixed.uniform(0, 2.5)), fixed.uniform(0, np.pi)
    radius = radii(side, stretch, angle)
    return unit(filtered(rng, side, radius**-slope))


def banded_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Grain of one size: noise of a narrow band of frequencies, made harder by a contrast curve."""
    centre, width = np.exp(fixed.uniform(np.log(0.03), np.log(0.3))), fixed.uniform(0.15, 0.6)
    stretch, angle, hard = np.exp(fixed.uniform(0, 1.5)), fixed.uniform(0, np.pi), fixed.uniform(0.8, 8)
    radius = radii(side, stretch, angle)
    field = filtered(rng, side, np.exp(-(np.log(radius / centre) ** 2) / (2 * width**2)))
    return squash(field / (field.std() + 1e-6), hard, fixed.uniform(-0.8, 0.8))


def ridged_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Veins, leather: the creases where smooth noise changes its sign, over several octaves."""
    slope, sharp = fixed.uniform(1.0, 2.2), fixed.uniform(1.5, 8)
    field = filtered(rng, side, radii(side, np.exp(fixed.uniform(0, 1)), fixed.uniform(0, np.pi)) ** -slope)
    return np.exp(-np.abs(field / (field.std() + 1e-6)) * np.float32(sharp))


def brushed(fixed: Random, rng: Random, side: int) -> Field:
    """Metal or plastic rubbed along lines, or turned around a centre that may lie outside."""
    length, thin, round_ = int(fixed.integers(9, 70)), fixed.uniform(0.3, 1.5), fixed.random() < 0.3
    noise = rng.standard_normal((side * 2, side * 2), dtype=np.float32)
    noise = cv2.GaussianBlur(cv2.blur(noise, (length, 1)), (0, 0), sigmaX=0.5, sigmaY=float(thin))
    far, angle = fixed.uniform(0, side), fixed.uniform(0, np.pi)
    x, y = turned(side, angle, 0, 0)
    if round_:
        x, y = x - side / 2 - far, y - side / 2 + rng.normal(0, 4)
        x, y = np.arctan2(y, x) * side / 2 + side, np.hypot(x, y) + side / 4
    else:
        x, y = x + side, y + side
    return unit(cv2.remap(noise, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_WRAP))


def rings(fixed: Random, rng: Random, side: int) -> Field:
    """Wood, marble, machining marks: waves around a far centre, bent by noise."""
    far, angle = fixed.uniform(0, 3) * side, fixed.uniform(0, 2 * np.pi)
    period, bend, saw = np.exp(fixed.uniform(np.log(3.5), np.log(26))), fixed.uniform(0, 2.5), fixed.random() < 0.5
    stretch = fixed.uniform(1, 4)
    x, y = grid(side)
    x, y = x - side / 2 - far * np.cos(angle), (y - side / 2 - far * np.sin(angle)) * np.float32(stretch)
    wander = smooth_noise(rng, side, max(4, side // 6)) - 0.5
    phase = np.hypot(x, y) / np.float32(period) + np.float32(bend * 2) * wander + np.float32(rng.random())
    if saw:
        return np.mod(phase, 1).astype(np.float32)
    return (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)
