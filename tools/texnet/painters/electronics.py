"""Electronics under a fixed camera: solar cells, populated boards, displays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .fields import (
    SHIFT,
    Field,
    Random,
    aligned,
    between,
    box,
    cells,
    clipped,
    disc,
    fine,
    grain,
    norm,
    ramp,
    rotation,
    swell,
    turned,
)  # fmt: skip


def solar(fixed: Random, rng: Random, side: int) -> Field:
    """Solar cells: grains of silicon, thin fingers, busbars across them, gaps between the cells with cut corners."""
    spacing, contrast, single = between(fixed, 4, 20), fixed.uniform(0.05, 0.4), fixed.random() < 0.25
    finger, thin, tone0 = between(fixed, 3, 9), fixed.uniform(0.15, 0.7), fixed.uniform(0.15, 0.45)
    bars, bar, cell = int(fixed.integers(1, 6)), fixed.uniform(1.2, 5), side * fixed.uniform(0.45, 1.6)
    gap, cut, upright = fixed.uniform(0.8, 4), fixed.uniform(0.01, 0.1), fixed.random() < 0.5
    seam, silver, edge = fixed.uniform(0, 0.15), fixed.uniform(0.65, 1), fixed.uniform(0, 0.4)
    shift, stretch = fixed.uniform(0, 1, 2) * cell, fixed.uniform(1, 2.5)
    x0, y0 = aligned(rng, side)
    x, y = turned(side, float(rng.normal(0, 0.006)), shift[0] + x0 - side / 2, shift[1] + y0 - side / 2)
    labels, _, _, away = cells(rng, side, spacing, 1.0)
    tones = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    crystal = tone0 + contrast * (tones - 0.5) - seam * np.exp(-away)
    crystal = cv2.resize(crystal, (int(side * stretch), side))[:, :side]
    if single:
        crystal = tone0 + 0.15 * contrast * swell(rng, side, 30)
    u, v = x - np.floor(x / np.float32(cell)) * np.float32(cell), y - np.floor(y / np.float32(cell)) * np.float32(cell)
    cu, cv = u - np.float32(cell / 2), v - np.float32(cell / 2)
    lines = np.abs(np.mod(v, np.float32(finger)) - np.float32(finger / 2))
    tone = crystal + np.float32(thin) * ramp(0.4 - lines, 1.2) * (silver - crystal)
    step = cell / bars
    distance = np.float32(bar / 2) - np.abs(
        u - np.floor(u / np.float32(step)) * np.float32(step) - np.float32(step / 2)
    )
    tone = tone + ramp(distance) * (silver - 0.1 + 0.1 * np.minimum(distance, 1.5) - tone)
    inside = np.minimum(
        box(cu, cv, cell / 2 - gap, cell / 2 - gap, 0.5), cell * (1 - cut) - gap - np.abs(cu) - np.abs(cv)
    )
    field = clipped(edge + ramp(inside) * (tone - edge) + 0.02 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field


def board(fixed: Random, rng: Random, side: int) -> Field:
    """A populated board, laid out once: chips with pins, resistors, cans, solder balls, tracks and printed marks."""
    mask, copper, silver = (int(v) for v in fixed.integers((30, 80, 170), (110, 130, 256)))
    pitch, turn = between(fixed, 5, 13), fixed.choice([0.0, 0.0, np.pi / 4]) + rng.normal(0, 0.008)
    parts, tracks, dense = int(fixed.integers(6, 32)), int(fixed.integers(3, 24)), fixed.uniform(0.3, 0.55)
    kinds, cells_ = (
        fixed.integers(0, 5, parts),
        np.round(fixed.uniform(-1, 1, (parts, 2)) * side * dense / pitch) * pitch,
    )
    sizes, upright, tones = (
        fixed.uniform(0.8, 2.6, (parts, 2)),
        fixed.random(parts) < 0.5,
        fixed.integers(10, 90, parts),
    )
    ways, lengths = fixed.integers(-1, 2, (tracks, 5)), fixed.integers(1, 5, (tracks, 5))
    starts, heads = fixed.integers(-8, 9, (tracks, 2)), fixed.integers(0, 4, (tracks, 1)) * 2
    middle, matrix = np.array(aligned(rng, side)), rotation(float(turn))
    canvas = np.full((side, side), mask, np.uint8)

    def put(points: Any) -> NDArray[np.int32]:
        return fine(np.asarray(points, float) @ matrix + middle)

    def block(at: NDArray[Any], wide: float, high: float, tone: int) -> None:
        corners = np.array([(-wide, -high), (wide, -high), (wide, high), (-wide, high)])
        cv2.fillConvexPoly(canvas, put(corners + at), tone, cv2.LINE_AA, SHIFT)

    eight = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])
    for start, head, way, length in zip(starts, heads, ways, lengths, strict=True):
        path = (start + np.cumsum(eight[(head + np.cumsum(way)) % 8] * length[:, None], 0)) * pitch
        cv2.polylines(canvas, [put(path)], False, copper, max(1, int(pitch / 5)), cv2.LINE_AA, SHIFT)
        disc(canvas, path[-1] @ matrix + middle, pitch * 0.28, silver - 30)
        disc(canvas, path[-1] @ matrix + middle, pitch * 0.12, 20)
    spots = cells_ + rng.normal(0, 0.35, (parts, 2))
    for kind, at, size, high, tone in zip(kinds, spots, sizes * pitch, upright, tones.tolist(), strict=True):
        a, b = (size[1], size[0]) if high else (size[0], size[1])
        if kind == 0:  # a chip: legs on two sides, a dot at its first leg
            for leg in np.arange(-a + pitch / 4, a, pitch / 2.2):
                block(at + np.array([leg, 0]), pitch * 0.1, b + pitch * 0.45, silver)
            block(at, a, b, tone)
            disc(canvas, (at + np.array([-a * 0.7, -b * 0.6])) @ matrix + middle, pitch * 0.15, tone + 50)
            block(at + np.array([a * 0.1, 0]), a * 0.5, 0.6, tone + 70)
        elif kind == 1:  # a resistor or capacitor: metal ends
            a, b = (pitch * 0.9, pitch * 0.42) if not high else (pitch * 0.42, pitch * 0.9)
            block(at, a, b, silver)
            block(at, a * (0.55 if not high else 1.05), b * (1.05 if not high else 0.55), tone + 40)
        elif kind == 2:  # a can with a bright top
            place = at @ matrix + middle
            disc(canvas, place, size[0] * 0.8, tone)
            disc(canvas, place, size[0] * 0.68, 190)
            disc(canvas, place + size[0] * 0.15, size[0] * 0.45, 225)
        elif kind == 3:  # a field of solder balls
            for i in range(int(size[0] / pitch * 2) + 1):
                for j in range(int(size[1] / pitch * 2) + 1):
                    place = (at + np.array([i, j]) * pitch * 0.8) @ matrix + middle + rng.normal(0, 0.15, 2)
                    disc(canvas, place, pitch * 0.3, silver - 70)
                    disc(canvas, place - pitch * 0.08, pitch * 0.12, 255)
        else:  # a printed frame
            frame = np.array([(-a, -b), (a, -b), (a, b), (-a, b)]) * 1.2 + at
            cv2.polylines(canvas, [put(frame)], True, 235, 1, cv2.LINE_AA, SHIFT)
    field = cv2.GaussianBlur(canvas, (0, 0), 0.5).astype(np.float32) / 255
    return clipped(field + 0.015 * grain(rng, side, 0.5) + 0.03 * swell(rng, side, 50))


def display(fixed: Random, rng: Random, side: int) -> Field:
    """Keys, display segments, connector pins: a few rows of one small device in a frame, one device a place."""
    columns, rows = int(fixed.integers(2, 9)), int(fixed.integers(1, 7))
    wide, high, corner = fixed.uniform(0.25, 0.46), fixed.uniform(0.25, 0.46), fixed.uniform(0.02, 0.5)
    span_x, span_y, kind = side * fixed.uniform(0.6, 1.2), side * fixed.uniform(0.6, 1.2), int(fixed.integers(0, 4))
    ground, body, mark = fixed.uniform(0.05, 0.9, 3)
    bevel, frame, hub = fixed.uniform(1, 4), fixed.random() < 0.5, fixed.uniform(0.15, 0.7)
    pattern, slant, lit = fixed.random((8, 16)), fixed.normal(0, 0.1), fixed.uniform(0.1, 0.4)
    x0, y0 = aligned(rng, side)
    x, y = turned(side, float(rng.normal(0, 0.006)), 0, 0)
    x, y = x - np.float32(x0) + np.float32(slant) * (y - np.float32(y0)), y - np.float32(y0)
    px, py = span_x / columns, span_y / rows
    u, v = (x + np.float32(span_x / 2)) * np.float32(1 / px), (y + np.float32(span_y / 2)) * np.float32(1 / py)
    i, j = np.floor(u), np.floor(v)
    cx, cy = (u - i - np.float32(0.5)) * np.float32(px), (v - j - np.float32(0.5)) * np.float32(py)
    a, b = wide * px, high * py
    cell = pattern[np.mod(j, 8).astype(int), np.mod(i, 16).astype(int)].astype(np.float32)
    edge = box(cx, cy, a, b, corner * min(a, b) + 0.3)
    tone = body * (0.85 + 0.15 * cell) + lit * ramp(bevel - edge, 1.5) * np.sign(-cx * b - cy * a)
    inner = box(cx, cy, a * hub, b * hub, corner * min(a, b) * hub + 0.3)
    if kind == 0:  # a mark on each
        tone = tone + ramp(inner) * (mark - tone)
    elif kind == 1:  # a ring or a sign that differs from place to place
        sign = np.sin(cx * (0.4 + cell) + 6 * cell) * np.sin(cy * (1.2 - cell * 0.8))
        tone = tone + ramp(inner, 1.5) * ramp(sign * 3) * (mark - tone)
    elif kind == 2:  # sunk contacts with a pin
        tone = tone + ramp(edge - bevel) * (0.08 - tone)
        tone = tone + ramp(np.float32(min(a, b) * hub * 0.6) - norm(cx, cy)) * (0.9 - tone)
    shown = ramp(edge) * (np.abs(u - columns / 2) < columns / 2) * (np.abs(v - rows / 2) < rows / 2)
    field = ground + shown * (tone - ground)
    if frame:
        rim = box(x, y, span_x / 2 + 3, span_y / 2 + 3, 4)
        field = field + (1 - ramp(np.abs(rim) - 1.5)) * (mark - field)
    return clipped(field + 0.015 * grain(rng, side, 0.5) + 0.03 * swell(rng, side, 60))
