"""Things made of yarn and wire: knits, carpet, braids, gauze, chains."""

from __future__ import annotations

import numpy as np

from .fields import Field, Random, aligned, between, box, cells, clipped, grain, ramp, swell, turned


def knit(fixed: Random, rng: Random, side: int) -> Field:
    """Knitted fabric: columns of V-shaped stitches of twisted yarn; in rib knits every other column lies deeper."""
    wide, high = between(fixed, 8, 22), between(fixed, 5, 14)
    slope, tight, twist = fixed.uniform(0.5, 1.3), fixed.uniform(0.6, 1.6), fixed.uniform(0, 0.3)
    rib, fuzz, wave = fixed.choice([0.0, 0.0, 0.5]), fixed.uniform(0, 0.08), fixed.uniform(0, 2.5)
    angle, every = fixed.choice([0, np.pi / 2]) + fixed.normal(0, 0.1), int(fixed.integers(2, 5))
    x, y = turned(side, float(angle), *rng.uniform(40, 90, 2).tolist())
    x, y = x + wave * swell(rng, side, 20), y + wave * swell(rng, side, 20)
    u = x * np.float32(1 / wide)
    column = np.floor(u)
    off = u - column - np.float32(0.5)
    v = y * np.float32(1 / high) + slope * np.abs(off) * 2
    v -= np.floor(v)
    leg = np.sin(np.float32(2 * np.pi) * np.abs(off))  # 0 at the middle and at the sides of a column
    loop = np.abs(np.sin(np.float32(np.pi) * v)) ** np.float32(tight)
    yarn = np.sin(np.float32(9) * (v + 2 * np.abs(off)) + np.float32(12) * np.abs(off))
    tone = np.sqrt(np.abs(leg)) * loop * (1 - twist + twist * yarn)
    tone *= 1 - np.float32(rib) * (np.mod(column, every) == 0)
    return clipped(0.05 + 0.9 * tone + fuzz * grain(rng, side, 0.5))


def carpet(fixed: Random, rng: Random, side: int) -> Field:
    """Carpet, brush, turf: tufts of twisted yarn side by side, lit from one side and of slightly different tone."""
    spacing, jitter, angle = between(fixed, 4, 14), fixed.choice([0.25, 0.8, 1.0]), fixed.uniform(0, 2 * np.pi)
    hairs, mottle, deep = fixed.uniform(0, 0.25), fixed.uniform(0, 0.4), fixed.uniform(0.5, 1.2)
    twist, turns = fixed.uniform(0, 0.35), fixed.uniform(0.5, 2)
    labels, dx, dy, away = cells(rng, side, spacing, float(jitter))
    own = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    c, s = np.float32(np.cos(angle) / spacing), np.float32(np.sin(angle) / spacing)
    lit = c * dx + s * dy
    dome = np.exp(-deep * (dx * dx + dy * dy) * np.float32(4 / spacing**2))
    curl = np.sin(np.float32(turns * 2 * np.pi) * (c * dy - s * dx + lit * 0.7) * 2 + 6.28 * own)
    tone = (0.55 + 0.5 * lit + twist * curl) * dome * (1 - mottle * own) * ramp(away, 2.5)
    return clipped(0.08 + 1.1 * tone + hairs * 0.5 * grain(rng, side, 0.5) * (0.3 + dome) + 0.06 * swell(rng, side, 40))


def braid(fixed: Random, rng: Random, side: int) -> Field:
    """A braided hose or rope: bundles of wires crossing over and under on a cylinder in front of a ground."""
    reach, pitch, lead = side * fixed.uniform(0.2, 0.8), between(fixed, 7, 22), fixed.uniform(0.5, 1.8)
    wires, fine_, over = int(fixed.integers(2, 7)), fixed.uniform(0.1, 0.5), int(fixed.integers(1, 3))
    tilt, ground, rope = fixed.normal(0, 0.06), fixed.uniform(0, 0.4), fixed.random() < 0.35
    upright = fixed.random() < 0.5
    _, y0 = aligned(rng, side)
    x, y = turned(side, tilt + rng.normal(0, 0.01), 0, 0)
    x, y = x + np.float32(rng.uniform(0, 99)), y - np.float32(y0)
    height = np.clip(y * np.float32(1 / reach), -1, 1)
    round_ = np.sqrt(1 - height * height)
    around = np.arcsin(height) * np.float32(reach)
    u, v = (x + lead * around) * np.float32(1 / pitch), (x - lead * around) * np.float32(1 / pitch)
    i, j = np.floor(u), np.floor(v)
    bulge, other = np.sin(np.pi * (u - i)), np.sin(np.pi * (v - j))
    if rope:  # strands twisted one way only
        tone = bulge * (1 - fine_ + fine_ * np.cos(np.float32(2 * np.pi * wires) * (u + 0.35 * v)))
    else:
        upper = np.mod(np.floor((i + j) / over), 2) < 1
        first = np.abs(other) * (1 - fine_ + fine_ * np.cos(np.float32(2 * np.pi * wires) * u))
        second = np.abs(bulge) * (1 - fine_ + fine_ * np.cos(np.float32(2 * np.pi * wires) * v))
        tone = np.where(upper, first, second * np.float32(0.85))
    shown = ramp(np.float32(reach) - np.abs(y))
    field = clipped(ground + shown * ((0.15 + 0.85 * tone) * (0.25 + 0.75 * round_) - ground))
    field = clipped(field + 0.02 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field


def gauze(fixed: Random, rng: Random, side: int) -> Field:
    """Gauze, net, open cloth: thin uneven threads far apart, over a ground seen through the holes."""
    pitch, slack, wave = between(fixed, 4, 17), fixed.uniform(0, 0.35), fixed.uniform(0.5, 3)
    thick, hairs, ground = fixed.uniform(0.12, 0.34), fixed.uniform(0, 0.15), fixed.uniform(0, 0.35)
    skew, angle, ratio = fixed.normal(0, 0.15), fixed.uniform(0, np.pi), between(fixed, 0.6, 1.7)
    x, y = turned(side, angle, *rng.uniform(0, 90, 2).tolist())
    across = []
    for along, own in ((x + np.float32(skew) * y, pitch), (y, pitch * ratio)):
        place = along * np.float32(1 / own) + np.float32(wave / own) * swell(rng, side, 16)
        line = np.floor(place)
        table = rng.random((64, 2), dtype=np.float32)[line.astype(np.int32) % 64]
        off = np.abs(place - line - 0.5 - np.float32(slack) * (table[..., 0] - 0.5))
        width = np.float32(thick) * (0.6 + 0.8 * table[..., 1])
        across.append((np.sqrt(np.clip(1 - (off / width) ** 2, 0, 1)), line))
    (one, i), (two, j) = across
    upper = np.mod(i + j, 2) < 1
    tone = np.where(upper, np.maximum(one, two * 0.75 * (one < 0.2)), np.maximum(two, one * 0.75 * (two < 0.2)))
    fuzz = np.maximum(grain(rng, side, 0.6) - 1, 0)
    return clipped(ground + (0.95 - ground) * np.maximum(tone, hairs * fuzz * 2))


def chain(fixed: Random, rng: Random, side: int) -> Field:
    """Link chains side by side: links seen from the front and from the edge in turn, rounded by their shade."""
    long, ratio, bar = between(fixed, 22, 60), fixed.uniform(0.45, 0.8), fixed.uniform(0.11, 0.2)
    apart, ground, turn = fixed.uniform(1.05, 2.6), fixed.uniform(0, 0.45), fixed.choice([0, np.pi / 2, 0.8])
    gloss, shift = fixed.uniform(0.2, 1), fixed.uniform(0, 0.5)
    x0, y0 = aligned(rng, side)
    x, y = turned(side, float(turn) + rng.normal(0, 0.015), -x0, -y0)
    row = np.floor(y * np.float32(1 / (long * ratio * apart)) + 0.5)
    y = y - row * np.float32(long * ratio * apart)
    pitch = long * (1 - bar) * 1.25
    x = x + row * np.float32(shift * pitch) + np.float32(pitch / 2)
    front = x - np.float32(pitch) * np.floor(x * np.float32(1 / pitch)) - np.float32(pitch / 2)
    edge = x + np.float32(pitch / 2)
    edge = edge - np.float32(pitch) * np.floor(edge * np.float32(1 / pitch)) - np.float32(pitch / 2)
    half, wide, thick = long / 2, long * ratio / 2, long * bar
    ring = np.float32(thick / 2) - np.abs(box(front, y, half, wide, wide) - np.float32(thick / 2))
    stave = box(edge, y, half * 0.72, thick / 2, thick / 2)
    top = np.maximum(ring, stave) * np.float32(2 / thick)
    dome = np.sqrt(np.clip(top, 0, 1) * (2 - np.clip(top, 0, 1)))
    lit = 0.35 + 0.45 * dome + 0.35 * gloss * np.clip(dome - 0.85, 0, 1) * 6 - 0.15 * np.sign(y) * (1 - dome)
    field = ground + ramp(np.maximum(ring, stave)) * (lit - ground) + 0.015 * grain(rng, side, 0.5)
    return clipped(field + 0.03 * swell(rng, side, 40))
