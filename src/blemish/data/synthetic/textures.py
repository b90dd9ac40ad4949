"""Materials that fill the image: denim, brushed steel, oak veneer."""

from __future__ import annotations

import cv2
import numpy as np

from blemish.data.synthetic import marks
from blemish.data.synthetic.surface import UNITS, Field, Surface, as_field, clouds, grid, placed

Rng = np.random.Generator

PITCH = 6.0
"""From one thread of the fabric to the next, in units."""


def fabric(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint denim: blue warp over two of three white wefts, a diagonal rib, every thread slightly different.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the material.
        kind: "good" or a kind of defect of the fabric.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    drift = rng.uniform(0, 3 * PITCH, 2)
    u, v = placed(x, y, drift, rng.normal(0, 0.02))
    u, v = u + 1.1 * clouds(rng, size, 70), v + 1.1 * clouds(rng, size, 70)
    tones = rng.standard_normal((2, 97), dtype=np.float32)
    wear, fuzz = clouds(rng, size, 45), clouds(rng, size, 1.3, 3.0)
    at = marks.somewhere(fault, 85)
    if kind != "pulled_thread":
        surface = _weave(u, v, tones, wear, fuzz)
    if kind == "pulled_thread":
        along = np.clip(1 - ((y - at[1]) / fault.uniform(24, 36)) ** 2, 0, 1) ** 2
        beside = np.clip(1 - ((x - at[0]) / 22) ** 2, 0, 1)
        surface = _weave(u + fault.choice([-1, 1]) * 5.0 * along * beside, v, tones, wear, fuzz)
        line = marks.path(fault, at, np.pi / 2, fault.uniform(60, 110), wander=0.015)
        slack = marks.stroke(size, line, 2.6)
        return surface.painted((0.62, 0.66, 0.74), slack * np.float32(0.75)).raised(0.8 * slack)
    if kind == "hole":
        torn = marks.blob(size, fault, at, fault.uniform(6, 14), rough=0.45, edge=2.5, stretch=1.4)
        surface = marks.hole(surface, as_field(np.clip(torn * (1 + 0.35 * fuzz), 0, 1)), (0.05, 0.05, 0.06), rim=2)
        loose = [
            marks.path(fault, at + fault.normal(0, 7, 2), fault.uniform(0, 6.3), fault.uniform(7, 14), wander=0.2)
            for _ in range(6)
        ]
        ends = np.maximum.reduce([marks.stroke(size, line, 0.8) for line in loose])
        return surface.painted((0.72, 0.73, 0.74), ends * np.float32(0.85))
    if kind == "oil_stain":
        return marks.stain(surface, fault, at, fault.uniform(14, 30), (0.6, 0.56, 0.48), edge=7)
    if kind == "foreign_yarn":
        colour = [(0.75, 0.2, 0.15), (0.85, 0.8, 0.45), (0.9, 0.9, 0.88)][fault.integers(3)]
        return marks.fibre(surface, fault, at, fault.uniform(35, 70), colour, width=2.6)
    return surface


def _weave(u: Field, v: Field, tones: Field, wear: Field, fuzz: Field) -> Surface:
    column, row = np.floor(u / PITCH), np.floor(v / PITCH)
    across, along = u / PITCH - column, v / PITCH - row
    step = np.mod(column + row, 3)
    warp_up = step < 2
    bow = np.where(warp_up, np.sin(np.pi * (step + along) / 2), np.sin(np.pi * across))
    profile = np.where(warp_up, 1 - (2 * across - 1) ** 2, 1 - (2 * along - 1) ** 2)
    height = np.sqrt(np.maximum(profile, 0)) * (0.55 + 0.45 * bow)
    warp_tone = tones[0, column.astype(int) % tones.shape[1]]
    weft_tone = tones[1, row.astype(int) % tones.shape[1]]
    tone = np.where(warp_up, 1 + 0.05 * warp_tone + 0.035 * wear, 1 + 0.04 * weft_tone) * (1 + 0.07 * fuzz)
    colour = np.where(warp_up[..., None], as_field((0.20, 0.29, 0.45)), as_field((0.58, 0.62, 0.66)))
    shade = (0.42 + 0.58 * height) * tone
    return Surface(as_field(colour * shade[..., None]), as_field(1.3 * height), np.full_like(u, 0.01, dtype=np.float32))


def brushed_metal(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint brushed stainless steel: fine streaks of every length in one direction, and a broad sheen across them.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the material.
        kind: "good" or a kind of defect of the metal.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    fine = rng.standard_normal((size, size), dtype=np.float32)
    streaks = sum(
        weight * cv2.blur(fine, (max(1, round(length * size / UNITS)), 1)) * np.sqrt(length * size / UNITS)
        for weight, length in ((0.5, 9), (0.6, 50), (0.3, 160))
    )
    lines = rng.standard_normal((size, 1), dtype=np.float32)
    grain = streaks + 0.25 * lines
    tilt = y + rng.normal(0, 0.08) * x
    sheen = 0.12 * np.exp(-(((tilt - rng.uniform(-70, 70)) / 60) ** 2)) + 0.012 * clouds(rng, size, 80)
    grey = 0.52 + sheen + 0.032 * grain
    surface = Surface(
        as_field(grey[..., None] * as_field((0.985, 1.0, 1.015))),
        as_field(0.03 * grain),
        np.full_like(x, 0.12, dtype=np.float32),
    )
    at = marks.somewhere(fault, 85)
    if kind == "scratch":
        angle = fault.uniform(0.3, np.pi - 0.3)
        for _ in range(int(fault.integers(1, 3))):
            surface = marks.scratch(surface, fault, at, fault.uniform(50, 110), angle=angle, shine=0.32)
            at, angle = (at[0] + fault.uniform(4, 12), at[1]), angle + fault.normal(0, 0.05)
    elif kind == "dent":
        surface = marks.dent(surface, fault, at, fault.uniform(13, 24), fault.uniform(2.5, 4.5))
    elif kind == "stain":
        surface = marks.stain(surface, fault, at, fault.uniform(14, 28), (0.8, 0.76, 0.66))
    elif kind == "rust":
        surface = marks.corrosion(surface, fault, at, fault.uniform(9, 20))
    return surface


def wood_veneer(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint oak veneer: growth rings cut lengthwise, dark pores along the grain, colour that varies slowly.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the material.
        kind: "good" or a kind of defect of the veneer.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    side, slope = rng.uniform(-90, 90), rng.normal(0, 0.06)
    u = x + slope * y + 5 * clouds(rng, size, 90, 220) + 0.8 * clouds(rng, size, 14, 90)
    deep = 35 + 0.16 * (y + rng.uniform(-160, 160))
    rings = np.sqrt((0.55 * (u - side)) ** 2 + deep**2) + 0.03 * y
    phase = np.mod(rings / rng.uniform(6.5, 8) + 0.12 * clouds(rng, size, 20, 120), 1)
    late = phase**3 * np.clip((1 - phase) * 9, 0, 1)  # summer wood darkens slowly and ends at once
    pores = np.clip(clouds(rng, size, 1.1, 15) - 1.35 + 0.6 * late, 0, 0.8)
    fibres = clouds(rng, size, 1.5, 60)
    tone = 1 - 0.30 * late - 0.30 * pores + 0.022 * fibres + 0.035 * clouds(rng, size, 60, 150)
    colour = as_field(np.array([0.66, 0.47, 0.29]) ** (1 + 1.0 * (1 - tone[..., None])) * tone[..., None])
    surface = Surface(colour, as_field(-0.3 * pores + 0.04 * fibres), np.full_like(x, 0.03, dtype=np.float32))
    at = marks.somewhere(fault, 85)
    if kind == "crack":
        surface = marks.crack(
            surface, fault, at, fault.uniform(45, 110), angle=np.pi / 2 + fault.normal(0, 0.06), wander=0.13
        )
    elif kind == "scratch":
        angle = fault.uniform(-0.9, 0.9)
        surface = marks.scratch(surface, fault, at, fault.uniform(40, 90), angle=angle, shine=0.32)
    elif kind == "glue":
        drop = marks.blob(size, fault, at, fault.uniform(10, 20), edge=2.5, stretch=1.6)
        surface = surface.raised(1.6 * cv2.GaussianBlur(drop, (0, 0), 2.5 * size / UNITS)).glossed(0.3, drop)
        surface = surface.painted((0.86, 0.8, 0.62), drop * np.float32(0.5))
    elif kind == "wormholes":
        for _ in range(int(fault.integers(2, 6))):
            place = np.asarray(at) + fault.normal(0, 9, 2)
            bore = marks.blob(size, fault, place, fault.uniform(2.2, 3.6), rough=0.15, edge=1.2)
            halo = marks.blob(size, fault, place, 6, edge=4)
            surface = marks.hole(surface.tinted((0.85, 0.8, 0.75), halo), bore, (0.07, 0.045, 0.03), rim=1.5)
    return surface
