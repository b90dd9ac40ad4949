"""Parts that were turned or have a centre: bores, collectors, threads."""

from __future__ import annotations

import numpy as np

from .fields import Field, Random, aligned, between, clipped, grain, polar, ramp, streaks, swell, turned


def bore(fixed: Random, rng: Random, side: int) -> Field:
    """Washer, bearing, mouth of a bottle: rings of different tone around a hole, with reflections that turn."""
    reach, hole = side * fixed.uniform(0.3, 0.65), fixed.uniform(0, 0.6)
    count, dark, ground = int(fixed.integers(2, 9)), fixed.uniform(0, 0.2), fixed.uniform(0, 0.5)
    edges, tones = np.sort(fixed.uniform(hole, 1, 9)), fixed.uniform(0.1, 0.95, 10)
    lobes, gloss, where = int(fixed.integers(1, 5)), fixed.uniform(0, 0.5), fixed.uniform(0, 2 * np.pi)
    marks, pitch, soft = fixed.uniform(0, 0.12), fixed.uniform(2.2, 6), fixed.uniform(0.006, 0.03)
    ball, balls, glare = fixed.random() < 0.3, int(fixed.integers(6, 16)), fixed.uniform(0.3, 0.9)
    angle, distance = polar(side, *aligned(rng, side))
    near = distance * np.float32(1 / reach)
    at = np.linspace(0, 1.2, 512)
    profile, last = np.full(512, tones[-1]), tones[-1]
    for edge, tone in zip(edges[:count], tones[:count], strict=True):
        profile += (tone - last) / (1 + np.exp((edge - at) / soft))
        last = tone
    table = np.clip(profile, 0, 1).astype(np.float32)
    index = np.minimum(near * np.float32(512 / 1.2), 511).astype(np.int32)
    tone_ = table[index]
    lamp = np.cos(np.float32(lobes) * (angle - np.float32(where + rng.normal(0, 0.06))))
    shine = rng.uniform(0.85, 1.15)
    tone_ = tone_ * (1 + np.float32(gloss * shine) * lamp * np.cos(near * np.float32(7)))
    tone_ += np.float32(marks) * np.sin(distance * np.float32(2 * np.pi / pitch) + np.float32(rng.uniform(0, 6)))
    arc = np.exp(-((near - np.float32(edges[count // 2])) ** 2) * 900) * np.clip(lamp - 0.3, 0, 1)
    tone_ += np.float32(glare) * arc
    if ball:  # rolling bodies on a circle between the rings
        middle, size = (hole + 1) / 2, np.pi * (hole + 1) / 2 / balls * 0.75
        turn = angle * np.float32(balls / (2 * np.pi)) + np.float32(rng.uniform(0, 1))
        side_ = (turn - np.floor(turn) - 0.5) * np.float32(2 * np.pi / balls) * near
        away = np.sqrt(side_ * side_ + (near - np.float32(middle)) ** 2) * np.float32(1 / size)
        body = 0.9 - 0.7 * away * away
        tone_ = tone_ + ramp((1 - away) * np.float32(size * reach)) * (body - tone_)
    inside = ramp(np.float32(hole * reach) - distance, 1.6)
    field = tone_ + inside * (np.float32(dark) - tone_)
    field = field + ramp(distance - np.float32(reach), 1.6) * (np.float32(ground) - field)
    return clipped(field + 0.015 * grain(rng, side, 0.5))


def commutator(fixed: Random, rng: Random, side: int) -> Field:
    """Collector, gear, fan: segments around a centre, straight or swept, between an inner and an outer ring."""
    count, reach, inner = int(fixed.integers(5, 33)), side * fixed.uniform(0.34, 0.6), fixed.uniform(0.2, 0.65)
    gap, sweep, tooth = (
        fixed.uniform(0.05, 0.5),
        fixed.choice([0.0, 0.0, 1.0]) * fixed.normal(0, 0.6),
        fixed.uniform(0, 0.2),
    )
    ground, body, slot, hub = (
        fixed.uniform(0, 0.9),
        fixed.uniform(0.35, 0.95),
        fixed.uniform(0, 0.3),
        fixed.uniform(0, 1),
    )
    own, shade, bore_ = fixed.uniform(0, 0.3), fixed.uniform(-0.4, 0.4), fixed.uniform(0.25, 0.85)
    turn, loose, rim = fixed.uniform(0, 6), fixed.random() < 0.3, fixed.uniform(0, 0.12)
    turn = turn + (rng.uniform(0, 6) if loose else rng.normal(0, 0.02))
    angle, distance = polar(side, *aligned(rng, side))
    near = distance * np.float32(1 / reach)
    place = (angle + np.float32(turn) + np.float32(sweep) * near) * np.float32(count / (2 * np.pi))
    number = np.floor(place)
    off = np.abs(place - number - 0.5)
    arc = (np.float32(0.5 - gap / 2) - off) * distance * np.float32(2 * np.pi / count)  # pixels to the slot
    outer = np.float32(reach) * (1 - np.float32(tooth) * (1 - ramp(arc, 3)))
    tones = rng.random(count, dtype=np.float32)[np.mod(number, count).astype(np.int32) % count]
    blade = body * (1 - own * tones) * (1 + np.float32(shade) * (near - 0.5)) * (0.75 + 0.25 * ramp(arc - 1, 3))
    slots = ramp(arc, 1.4) * ramp(np.float32(1 - rim) - near, 2 / reach)
    in_rim = ramp(near - np.float32(1 - rim), 2 / reach) if rim > 0.04 else np.float32(0)
    tone = slot + np.maximum(slots, in_rim) * (blade - slot)
    middle = hub * (0.8 + 0.2 * np.cos(near * np.float32(40)))
    tone = tone + ramp(np.float32(inner * reach) - distance, 1.4) * (middle - tone)
    tone = tone * ramp(distance - np.float32(inner * bore_ * reach), 1.6)
    field = tone + ramp(distance - outer, 1.4) * (np.float32(ground) - tone)
    return clipped(field + 0.015 * grain(rng, side, 0.5) + 0.03 * swell(rng, side, 50))


def thread(fixed: Random, rng: Random, side: int) -> Field:
    """A turned shaft seen from the side: lengths of thread, knurl, groove and smooth shank, of several diameters."""
    count, reach, ground = int(fixed.integers(1, 5)), side * fixed.uniform(0.15, 0.5), fixed.choice([0.05, 0.4, 0.95])
    kinds, widths = fixed.integers(0, 4, 5), fixed.uniform(0.55, 1, 5)
    cuts = np.sort(fixed.uniform(0.05, 0.95, 5))[:count]
    pitch, slope, deep = between(fixed, 3.5, 14), fixed.uniform(0, 0.25), fixed.uniform(0.25, 0.6)
    tilt, upright, shine = fixed.normal(0, 0.04), fixed.random() < 0.5, fixed.uniform(0.2, 0.7)
    lamp, open_ = fixed.uniform(-0.5, 0.5), fixed.random() < 0.3
    x0, y0 = aligned(rng, side)
    x, y = turned(side, tilt + rng.normal(0, 0.01), side / 2 - x0, -y0)
    section = np.searchsorted(cuts * side, np.arange(-side, 2 * side))
    section = section[(x + side).astype(np.int32).clip(0, 3 * side - 1)]
    kind, radius = kinds[section], (widths[section] * reach).astype(np.float32)
    phase = np.float32(rng.uniform(0, 2 * np.pi))
    wave = np.sin((x + np.float32(slope) * y) * np.float32(2 * np.pi / pitch) + phase)
    cross = np.sin((x - np.float32(slope + 0.9) * y) * np.float32(2 * np.pi / pitch) + phase)
    knurl = np.sin((x + np.float32(slope + 0.9) * y) * np.float32(2 * np.pi / pitch) + phase)
    deepness = np.float32(pitch * deep * 0.5)
    edge = radius - np.where(kind == 0, deepness * (0.5 - 0.5 * wave), np.float32(0))
    height = np.clip(y / radius, -1, 1)
    round_ = np.sqrt(1 - height * height)
    light = 0.15 + 0.55 * round_ + np.float32(shine) * np.exp(-((height - np.float32(lamp)) ** 2) * 25)
    detail = np.where(kind == 0, 0.55 + 0.45 * wave, np.where(kind == 1, 0.6 + 0.4 * np.minimum(cross, knurl), 0.95))
    detail = np.where(kind == 2, 0.85 + 0.1 * np.cos(x * np.float32(2.2)), detail).astype(np.float32)
    brushed = 0.04 * streaks(rng, side, 9, 0.3).T
    tone = light * detail + brushed
    shown = ramp(edge - np.abs(y), 1.3)
    if open_:  # the shaft ends inside the image
        shown = shown * ramp(np.float32(cuts[-1] * side + 0.05 * side) - x, 1.3)
    field = clipped(ground + shown * (tone - ground) + 0.012 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field


def concentric(fixed: Random, rng: Random, side: int) -> Field:
    """A faced surface: the spiral of the tool, chatter across it and the bow-tie of light that turned metal shows."""
    pitch, depth, chatter = between(fixed, 3, 11), fixed.uniform(0.03, 0.25), fixed.uniform(0, 0.1)
    far, way, lobes = fixed.uniform(0, 1.1) * side, fixed.uniform(0, 2 * np.pi), fixed.uniform(0.05, 0.4)
    waves, steps, saw = int(fixed.integers(6, 40)), fixed.uniform(0, 0.3), fixed.random() < 0.5
    bent, uneven = fixed.uniform(0, 0.6), fixed.uniform(0, 0.15)
    x0, y0 = aligned(rng, side, 0.02)
    angle, distance = polar(side, x0 + far * float(np.cos(way)), y0 + far * float(np.sin(way)))
    phase = (distance + np.float32(rng.uniform(0, 9)) + angle * np.float32(pitch / (2 * np.pi))) * np.float32(1 / pitch)
    phase = phase + np.float32(bent) * swell(rng, side, 40)
    cut = np.mod(phase, 1) if saw else 0.5 + 0.5 * np.sin(np.float32(2 * np.pi) * phase)
    rings = rng.standard_normal(1024).astype(np.float32)
    fine = np.interp(distance, np.arange(1024, dtype=np.float32), rings).astype(np.float32)
    bow = np.cos(np.float32(2) * (angle - np.float32(way + rng.normal(0, 0.15))))
    tone = 0.5 + lobes * bow + depth * 2 * (cut - 0.5) + uneven * 0.4 * fine
    tone += chatter * np.sin(angle * np.float32(waves) + distance * np.float32(0.2))
    band = np.floor(distance * np.float32(6 / side) + np.float32(way))
    return clipped(tone + steps * (np.mod(band, 3) * 0.5 - 0.5) + 0.015 * grain(rng, side, 0.5))
