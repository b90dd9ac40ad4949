"""Milled, welded and moulded parts, held in place under the camera."""

from __future__ import annotations

import numpy as np

from .fields import (
    Field,
    Random,
    aligned,
    between,
    box,
    clipped,
    grain,
    grid,
    polar,
    ramp,
    streaks,
    swell,
    turned,
)  # fmt: skip


def milled(fixed: Random, rng: Random, side: int) -> Field:
    """A milled block: pockets with chamfers, bores, slots and the arcs that the cutter left, each at its own depth."""
    wide, high = side * fixed.uniform(0.34, 0.62, 2)
    count, angle, chamfer = int(fixed.integers(1, 6)), fixed.uniform(0, 2 * np.pi), fixed.uniform(1.5, 5)
    places, sizes = fixed.uniform(-0.75, 0.75, (6, 2)), fixed.uniform(0.08, 0.42, (6, 2))
    tones, corners, kinds = fixed.uniform(0.1, 0.9, 7), fixed.uniform(0.1, 1, 7), fixed.integers(0, 3, 6)
    ground, tool, feed = fixed.uniform(0, 0.6), side * fixed.uniform(0.15, 0.8), fixed.uniform(2.5, 7)
    marks, tilt, edge_light = fixed.uniform(0, 0.12), fixed.normal(0, 0.08), fixed.uniform(0.15, 0.6)
    mirrored = fixed.random() < 0.4
    x0, y0 = aligned(rng, side)
    c, s = float(np.cos(tilt)), float(np.sin(tilt))
    x, y = turned(side, tilt + rng.normal(0, 0.008), -x0 * c - y0 * s, x0 * s - y0 * c)
    phase = np.float32(rng.uniform(0, 6))
    arcs = np.sqrt(np.float32(tool**2) + y * y) + x
    mark = np.float32(marks) * np.sin(arcs * np.float32(2 * np.pi / feed) + phase)
    lx, ly = float(np.cos(angle)), float(np.sin(angle))

    def lit(distance: Field) -> Field:
        """Brightness of a chamfer by the side it faces: from the differences of the distance."""
        gy, gx = np.gradient(distance)
        inside = ramp(distance) * ramp(np.float32(chamfer) - distance)
        return inside * (np.float32(lx) * gx + np.float32(ly) * gy) * np.float32(edge_light)

    block = box(x, y, wide, high, corners[6] * 0.3 * min(wide, high) + 0.1)
    tone = ground + ramp(block) * (tones[6] + mark - ground) + lit(block)
    for (px, py), (sx, sy), level, corner, kind in zip(places, sizes, tones, corners, kinds, strict=False):
        if count > 0:
            cx, cy = x - np.float32(px * wide), y - np.float32(py * high)
            if mirrored:
                cx = np.abs(x) - np.float32(abs(px) * wide)
            a, b = sx * min(wide, high), sy * min(wide, high)
            if kind == 0:
                a = b = 0.6 * a
            pocket = box(cx, cy, a, b, max(0.5, (1.0 if kind == 0 else corner) * min(a, b)))
            floor = level * 0.8 + (mark if kind == 2 else 0)
            if kind == 0:  # a bore: dark, with a thread's ring
                floor = level * 0.3 * (1 + np.cos(pocket * np.float32(1.3)))
            inside = ramp(pocket) * ramp(block)
            tone = tone + inside * (floor - tone) - ramp(block) * lit(pocket)
        count -= 1
    return clipped(tone + 0.02 * grain(rng, side, 0.5) + 0.04 * swell(rng, side, 60))


def weld(fixed: Random, rng: Random, side: int) -> Field:
    """A weld: overlapping ripples along a bead of uneven width, tinted zones beside it, spatter on a rolled plate."""
    wide, pitch, bow = side * fixed.uniform(0.07, 0.26), between(fixed, 3, 12), fixed.uniform(0.4, 1.8)
    uneven, ripple, crown = fixed.uniform(0.02, 0.12), fixed.uniform(0.15, 0.5), fixed.uniform(0.2, 0.7)
    zone, zones, plate = fixed.uniform(0.5, 2), fixed.uniform(-0.3, 0.3, 3), fixed.uniform(0.25, 0.75)
    step, upright, spatter = fixed.normal(0, 0.12), fixed.random() < 0.5, int(fixed.integers(0, 25))
    tilt, rolled, shift = fixed.normal(0, 0.08), fixed.uniform(0.01, 0.06), fixed.normal(0, 0.12)
    _, y0 = aligned(rng, side)
    x, y = turned(side, tilt + rng.normal(0, 0.01), float(rng.uniform(0, 99)), -y0 - shift * side)
    wobble = swell(rng, side, 18)
    v = y / (np.float32(wide) * (1 + np.float32(uneven) * wobble)) + np.float32(uneven) * swell(rng, side, 26)
    inside = ramp((1 - np.abs(v)) * np.float32(wide), 2)
    phase = x * np.float32(1 / pitch) + np.float32(bow * wide / pitch) * v * v + 0.5 * swell(rng, side, 12)
    saw = phase - np.floor(phase)
    dome = np.sqrt(np.clip(1 - v * v, 0, 1))
    bead = (
        0.2
        + crown * dome
        - 0.18 * v
        + np.float32(ripple) * (np.minimum(saw * 1.25, 5 - 5 * saw) - 0.5) * (0.3 + 0.7 * dome)
    )
    away = np.clip(np.abs(v) - 1, 0, 9) * np.float32(1 / zone)
    tint = zones[0] * np.exp(-away * 6) + zones[1] * np.exp(-((away - 0.5) ** 2) * 30)
    ground = np.clip(plate + tint + step * np.sign(y), 0.15, 0.85) + rolled * streaks(rng, side, 25, 0.4)
    drops = np.zeros((side, side), np.float32)
    gx, gy = grid(side)
    for px, py, size in zip(*rng.uniform(0, side, (2, 25)), rng.uniform(0.8, 2.8, 25), strict=True):
        if spatter > 0:
            left, top = max(0, int(px) - 6), max(0, int(py) - 6)
            part = np.s_[top : top + 13, left : left + 13]
            bump = np.exp(-((gx[part] - px) ** 2 + (gy[part] - py) ** 2) / (size * size))
            drops[part] += bump * (0.5 + 0.25 * np.sign(py - gy[part])) - 0.3 * bump**0.4 * (bump > 0.03)
        spatter -= 1
    field = clipped(ground + inside * (bead - ground) + 0.5 * drops + 0.02 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field


def ribbed(fixed: Random, rng: Random, side: int) -> Field:
    """Moulded plastic: ribs of one thickness across an eroded face, screw bosses, sink marks, soft light."""
    ribs, thick, soft = fixed.integers(0, 6, 2), between(fixed, 2.5, 9), fixed.uniform(1, 3.5)
    apart, at = fixed.uniform(0.12, 0.45, 2), fixed.uniform(-0.4, 0.1, 2)
    bosses, size, hole = int(fixed.integers(0, 5)), between(fixed, 5, 16), fixed.uniform(0.3, 0.7)
    spots, angle, slant = fixed.uniform(-0.42, 0.42, (4, 2)), fixed.uniform(0, 2 * np.pi), fixed.normal(0, 0.25)
    face, coarse, rough = fixed.uniform(0.3, 0.7), between(fixed, 0.5, 2), fixed.uniform(0.01, 0.07)
    strength, top, broad = fixed.uniform(0.4, 1.3), fixed.uniform(-0.15, 0.2), fixed.uniform(0.05, 0.2)
    dense = fixed.random() < 0.3
    x0, y0 = aligned(rng, side)
    x, y = turned(side, slant * (rng.normal(0, 0.01) + 1), 0, 0)
    x, y = x - np.float32(x0), y - np.float32(y0)
    raised = np.full((side, side), -99, np.float32)
    gaps, counts = apart * side * (0.35 if dense else 1), (ribs * (3 if dense else 1)).tolist()
    for along, count, gap, start in zip((x, y), counts, gaps, at, strict=True):
        if count > 0:
            n = np.clip(np.floor((along - start * side) * np.float32(1 / gap) + 0.5), 0, count - 1)
            raised = np.maximum(raised, thick / 2 - np.abs(along - start * side - n * gap))
    hollow = np.full((side, side), -99, np.float32)
    for px, py in spots[:bosses] * side:
        _, distance = polar(side, side / 2 + px + (x0 - side / 2), side / 2 + py + (y0 - side / 2))
        raised = np.maximum(raised, np.float32(size) - distance)
        hollow = np.maximum(hollow, np.float32(size * hole) - distance)
    height = ramp(raised, 2 * soft) * (1 - ramp(hollow, 1.5))
    height = height * height * (3 - 2 * height)
    gy, gx = np.gradient(height)
    slope = np.float32(np.cos(angle)) * gx + np.float32(np.sin(angle)) * gy
    tone = face + top * height + np.float32(strength) * np.tanh(slope * 1.5) * 0.5
    tone = tone * (1 - 0.75 * ramp(hollow, 1.5)) + rough * grain(rng, side, coarse) * (1 - 0.6 * height)
    return clipped(tone + broad * (x * np.float32(0.7 / side) + 0.3 * swell(rng, side, 60)))


def tread(fixed: Random, rng: Random, side: int) -> Field:
    """Rubber treads, belts, soles: raised blocks between V-shaped and lengthwise grooves, with fine slits in them."""
    pitch, slope, groove = side * fixed.uniform(0.09, 0.3), fixed.normal(0, 0.8), fixed.uniform(0.14, 0.4)
    lanes, widths, zigzag = int(fixed.integers(1, 6)), fixed.uniform(0.02, 0.12), fixed.uniform(0, 0.1)
    offset, slits, slit = fixed.choice([0.0, 0.5, 0.3]), int(fixed.integers(0, 5)), fixed.uniform(0.05, 0.2)
    body, dark, soft = fixed.uniform(0.35, 0.8), fixed.uniform(0.02, 0.25), fixed.uniform(1, 4)
    upright, mirrored, rough = fixed.random() < 0.5, fixed.random() < 0.7, between(fixed, 0.006, 0.05)
    angle = fixed.uniform(0, 2 * np.pi)
    x0, _ = aligned(rng, side)
    x, y = grid(side)
    x, y = x - np.float32(x0), y + np.float32(rng.uniform(0, 99))
    x = x + np.float32(zigzag * pitch) * (4 * np.abs(np.mod(y * np.float32(1 / pitch), 1) - 0.5) - 1)
    lane = x * np.float32(lanes / side) + np.float32(0.5 if lanes % 2 else 0)
    number = np.floor(lane)
    across = (np.float32(0.5) - np.abs(lane - number - np.float32(0.5))) * np.float32(side / lanes)
    lean = np.abs(x) if mirrored else x
    v = (y + np.float32(slope) * lean) * np.float32(1 / pitch) + np.float32(offset) * number
    block = v - np.floor(v)
    along = (np.float32(0.5 - groove / 2) - np.abs(block - np.float32(0.5))) * np.float32(pitch / np.hypot(1, slope))
    raised = np.minimum(across - np.float32(widths * side / 2), along)
    height = ramp(raised - np.float32(soft / 2), soft)
    if slits > 0:
        cut = np.abs(np.mod(block * slits, 1) - np.float32(0.5)) * np.float32(pitch / slits)
        height = height * (1 - np.float32(0.7) * ramp(np.float32(slit * 4) - cut, 1) * ramp(raised - 4, 2))
    gy, gx = np.gradient(height)
    slope_ = np.float32(np.cos(angle)) * gx + np.float32(np.sin(angle)) * gy
    tone = dark + (body - dark) * height + 0.3 * slope_ + rough * grain(rng, side, 0.7) * (0.5 + height)
    field = clipped(tone + 0.04 * swell(rng, side, 40))
    return np.ascontiguousarray(field.T) if upright else field
