"""What light makes of smooth things: caustics, highlights, crumpled film; and zips."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import (
    Field,
    Random,
    aligned,
    between,
    box,
    clipped,
    filtered,
    grain,
    grid,
    radii,
    ramp,
    swell,
    turned,
)  # fmt: skip


def caustics(fixed: Random, rng: Random, side: int) -> Field:
    """Light through glass or gel: bright where a wavy surface gathers the rays, after the curvature of the waves."""
    size, power, stretch = between(fixed, 0.02, 0.09), between(fixed, 0.3, 1.6), between(fixed, 1, 4)
    angle, ground, gain = fixed.uniform(0, np.pi), fixed.uniform(0.15, 0.5), fixed.uniform(0.12, 0.3)
    broad, blur, soft = fixed.uniform(0, 0.25), fixed.uniform(0.06, 0.3), fixed.uniform(0.5, 1.6)
    radius = radii(side, stretch, angle)
    height = filtered(rng, side, np.exp(-((radius / size) ** 2)))
    gy, gx = np.gradient(height)
    gxy, gxx = np.gradient(gx)
    gyy = np.gradient(gy, axis=0)
    spread = np.float32(power / (float((gxx + gyy).std()) + 1e-9))
    area = (1 - spread * gxx) * (1 - spread * gyy) - (spread * gxy) ** 2
    bright = cv2.GaussianBlur(1 / (np.abs(area) + np.float32(blur)), (0, 0), soft)
    bright = (bright - bright.mean()) * np.float32(1 / (bright.std() + 1e-6))
    return clipped(ground + gain * bright * (0.7 + 0.3 * swell(rng, side, 40)) + broad * swell(rng, side, 50))


def highlights(fixed: Random, rng: Random, side: int) -> Field:
    """A glossy body under lamps: windows and stripes of soft light in place, bent by its shape, on a smooth shade."""
    count, shade, way = int(fixed.integers(2, 6)), fixed.uniform(0.1, 0.6), fixed.uniform(0, 2 * np.pi)
    places, sizes = fixed.uniform(-0.4, 0.4, (5, 2)), np.exp(fixed.uniform(np.log(0.04), np.log(0.45), (5, 2)))
    softs, tones, turns = (
        fixed.uniform(1, 14, 5),
        fixed.choice([-0.25, 0.25, 0.45, 0.65], 5),
        fixed.uniform(0, np.pi, 5),
    )
    bend, bars, body = fixed.uniform(0, 0.5), fixed.integers(0, 3, 5), fixed.uniform(0.2, 0.6)
    round_, ripple, reach = fixed.random() < 0.5, fixed.uniform(0, 2), fixed.uniform(0.35, 0.7)
    fine_, scale, dark = between(fixed, 0.002, 0.03), fixed.uniform(0.4, 3), fixed.uniform(0, 0.3)
    x0, y0 = aligned(rng, side)
    x, y = grid(side)
    x, y = (x - np.float32(x0)) * np.float32(1 / side), (y - np.float32(y0)) * np.float32(1 / side)
    far = x * x + y * y
    tone = body + shade * (np.float32(np.cos(way)) * x + np.float32(np.sin(way)) * y) - np.float32(shade) * far
    wave = np.float32(ripple / side)
    u, v = x * (1 + bend * far) + wave * swell(rng, side, 25), y * (1 + bend * far) + wave * swell(rng, side, 25)
    for place, size, soft, light, turn, bar in zip(places, sizes, softs, tones, turns, bars, strict=True):
        if count > 0:
            c, s = np.float32(np.cos(turn)), np.float32(np.sin(turn))
            p, q = u - np.float32(place[0]), v - np.float32(place[1])
            p, q = c * p + s * q + np.float32(bend) * (c * q - s * p) ** 2, c * q - s * p
            inside = box(p, q, float(size[0]), float(size[1]), float(min(size)) * 0.5)
            glow = ramp(inside * np.float32(side), float(soft))
            if bar > 0:  # a window with bars
                glow = glow * ramp(np.abs(np.mod(p * np.float32(4 * bar), 1) - 0.5) * side * 0.3 - 2, float(soft) / 2)
            tone = tone + np.float32(light * rng.uniform(0.9, 1.1)) * glow
        count -= 1
    tone += fine_ * grain(rng, side, scale)
    if round_:
        edge = (np.float32(reach) - np.sqrt(far)) * np.float32(side)
        tone = dark + ramp(edge, 1.5) * (tone * (0.55 + 0.45 * ramp(edge - 7, 14)) - dark)
    return clipped(tone + 0.008 * grain(rng, side, 0.4))


def crumple(fixed: Random, rng: Random, side: int) -> Field:
    """Foil, film, paper bags: flat facets between sharp folds, each as bright as it is turned to the lamp."""
    folds, way, hard = int(fixed.integers(10, 38)), fixed.uniform(0, np.pi), fixed.uniform(0.15, 0.5)
    order, gloss, body = fixed.choice([0.25, 3.2]), fixed.uniform(0, 0.9), fixed.uniform(0.3, 0.6)
    lamp, crease, bent = fixed.uniform(0, 2 * np.pi), fixed.uniform(0, 0.15), between(fixed, 0.5, 6)
    x, y = grid(side)
    x, y = x + bent * swell(rng, side, 30), y + bent * swell(rng, side, 30)
    slope, lines = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    turns = way + rng.normal(0, order, folds)
    reaches = side * rng.uniform(0.15, 0.6, folds)
    for (px, py), turn, reach in zip(rng.uniform(0, side, (folds, 2)), turns.tolist(), reaches.tolist(), strict=True):
        c, s = float(np.cos(turn)), float(np.sin(turn))
        across = np.float32(c) * (x - np.float32(px)) + np.float32(s) * (y - np.float32(py))
        along = np.float32(c) * (y - np.float32(py)) - np.float32(s) * (x - np.float32(px))
        local = np.clip(1 - np.abs(along) * np.float32(1 / reach), 0, 1) / (1 + np.abs(across) * np.float32(3 / reach))
        facing = np.float32(np.cos(turn - lamp))
        slope += facing * local * np.clip(across * np.float32(0.7), -1, 1)
        lines = np.maximum(lines, local * np.clip(1.2 - np.abs(across), 0, 1))
    slope = slope * np.float32(1 / (slope.std() + 1e-6))
    tone = (
        body + np.float32(hard) * np.tanh(slope * 0.9) * 0.8 + gloss * 0.4 * np.maximum(slope - 1.1, 0) + crease * lines
    )
    return clipped(tone + 0.05 * swell(rng, side, 40) + 0.015 * grain(rng, side, 0.5))


def zipper(fixed: Random, rng: Random, side: int) -> Field:
    """A zip, comb or connector: two rows of teeth that interlock along a line, between woven or plain tapes."""
    pitch, long, fill = between(fixed, 5, 18), side * fixed.uniform(0.06, 0.2), fixed.uniform(0.5, 0.95)
    overlap, corner, tape = fixed.uniform(0.1, 0.7), fixed.uniform(0.1, 1), fixed.uniform(0.1, 0.8)
    tooth, thread, period = fixed.uniform(0.3, 0.95), fixed.uniform(0.05, 0.3), fixed.uniform(2.4, 5)
    cord, dark, upright = fixed.uniform(0, 0.25), fixed.uniform(0, 0.25), fixed.random() < 0.6
    seam, tilt, lean = fixed.uniform(0.16, 0.42), fixed.normal(0, 0.05), fixed.normal(0, 0.3)
    _, y0 = aligned(rng, side)
    x, y = turned(side, tilt + float(rng.normal(0, 0.008)), 99 + float(rng.uniform(0, 99)), -y0)
    y = y + 1.2 * swell(rng, side, side // 3)
    field = np.float32(tape) * (1 - thread + thread * np.sin(x * np.float32(2 * np.pi / period)) * np.cos(y * 1.3 + x))
    field = field * (1 - np.float32(cord) * np.sin(np.abs(y) * np.float32(6.28 * 2 / side * 8)))
    field = field * ramp(np.abs(y) - np.float32(long * (1 - overlap / 2)), 3) * (1 - dark) + np.float32(dark * 0.5)
    stitch = ramp(0.8 - np.abs(np.abs(y) - np.float32(seam * side)), 1.2) * (np.mod(x, 7) < 4.5)
    field = field + stitch * (0.9 - tape) * 0.8
    for half, phase in ((1, 0.0), (-1, 0.5)):
        u = (x + np.float32(lean) * np.abs(y)) * np.float32(1 / pitch) + np.float32(phase)
        cx = (u - np.floor(u) - np.float32(0.5)) * np.float32(pitch)
        cy = half * y - np.float32(long * (0.5 - overlap * 0.5))
        thick = pitch * 0.5 * (fill * 0.5 + 0.25)
        edge = box(cx, cy, thick, long / 2 + 1, corner * thick * 0.9 + 0.2)
        top = ramp(edge - 1, min(4.0, thick))
        tone = tooth * (0.45 + 0.55 * top) + 0.25 * (cx < 0) * (1 - top)
        field = field * (1 - 0.4 * ramp(edge + 1.5, 3))
        field = field + ramp(edge) * (tone - field)
    field = clipped(field + 0.025 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field
