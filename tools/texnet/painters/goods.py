"""Goods by the piece: printed labels, pills and nuts, screws."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import (
    SHIFT,
    Field,
    Random,
    aligned,
    between,
    clipped,
    disc,
    fine,
    grain,
    ramp,
    rotation,
    shape,
    sites,
    swell,
    turned,
)  # fmt: skip

LETTERS = np.array(list("ABCDEFGHKLMNPRSTUXZ0123456789-/."))


def label(fixed: Random, rng: Random, side: int) -> Field:
    """A printed label: lines of text in one layout, a barcode, a sign, a frame; only its number differs."""
    paper, ink = (230, 20) if fixed.random() < 0.7 else (25, 225)
    ground = int(fixed.integers(40, 200))
    wide, high, lines = *(side * fixed.uniform(0.5, 1.1, 2)).tolist(), int(fixed.integers(2, 7))
    size, code, sign = fixed.uniform(0.35, 0.8), fixed.random() < 0.6, int(fixed.integers(0, 5))
    texts = ["".join(LETTERS[fixed.integers(0, len(LETTERS), 14)]) for _ in range(6)]
    lengths, font = fixed.integers(3, 14, 6), int(fixed.integers(0, 4))
    bars, frame, bold = np.cumsum(fixed.integers(1, 4, 90)), fixed.random() < 0.5, int(fixed.integers(1, 3))
    turn, where = fixed.normal(0, 0.04), fixed.random() < 0.5
    number = "".join(rng.choice(LETTERS[-13:-3], 9))
    scale = 2  # drawn twice as large: thin strokes stay thin
    canvas = np.full((scale * side, scale * side), ground, np.uint8)
    left, top = (side - wide) / 2, (side - high) / 2
    cut = (np.array([(left, top), (left + wide, top + high)]) * scale).astype(int).tolist()
    cv2.rectangle(canvas, cut[0], cut[1], paper, -1)
    if frame:
        cv2.rectangle(canvas, [v + 5 for v in cut[0]], [v - 5 for v in cut[1]], ink, 2)
    row = top + 5 + size * 22
    foot = top + high - (16 + max(12, side * 0.16) if code else 4)
    for text, length in zip(texts[:lines], lengths.tolist(), strict=False):
        if row > foot:
            break
        at = (int((left + 5) * scale), int(row * scale))
        cv2.putText(canvas, text[:length], at, font, size * scale * 0.75, ink, bold, cv2.LINE_AA)
        row += size * 24 + 3
    if code:
        tall, start = int(max(12, side * 0.16) * scale), int((left + 8) * scale)
        base = int((top + high - 14) * scale)
        for first, last in zip(bars[::2].tolist(), bars[1::2].tolist(), strict=False):
            if start + 3 * last < cut[1][0] - 10:
                cv2.rectangle(canvas, (start + 3 * first, base - tall), (start + 3 * last - 1, base), ink, -1)
        cv2.putText(canvas, number, (start, base + 22), 0, 0.7, ink, 1, cv2.LINE_AA)
    if sign:
        place = np.array([left + wide * 0.82, top + high * (0.25 if where else 0.6)]) * scale
        shape(canvas, sign, place, wide * 0.12 * scale, 0.6, 0.3, (ink + paper) // 2, np.random.default_rng(sign))
    x0, y0 = aligned(rng, side)
    matrix = cv2.getRotationMatrix2D((side, side), float(np.degrees(turn + rng.normal(0, 0.008))), 1.0)
    matrix[:, 2] += np.array([x0 - side / 2, y0 - side / 2]) * scale
    canvas = cv2.warpAffine(canvas, matrix, (scale * side, scale * side), borderMode=cv2.BORDER_REPLICATE)
    field = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return clipped(0.03 + 0.94 * field + 0.015 * grain(rng, side, 0.5) + 0.04 * swell(rng, side, 60))


def packed(fixed: Random, rng: Random, side: int) -> Field:
    """Pills, capsules, nuts, beads or kernels poured on a ground: many of one kind, domed, with shadow and highlight."""
    kind, size, slender = int(fixed.integers(0, 5)), between(fixed, 6, 17), fixed.uniform(0.4, 0.8)
    tight, jitter, angle = fixed.uniform(1.5, 2.6), fixed.uniform(0.1, 0.8), fixed.uniform(0, 2 * np.pi)
    ground, body, second = (int(v) for v in fixed.integers((10, 110, 60), (90, 220, 250)))
    own, order, gloss = int(fixed.integers(0, 30)), fixed.choice([0.15, 3.2]), int(fixed.integers(20, 80))
    lamp = np.array([np.cos(angle), np.sin(angle)]) * size
    places = sites(rng, side, size * tight, jitter)
    rng.shuffle(places)
    canvas = np.full((side, side), ground, np.uint8)
    form = {0: 0, 1: 4, 2: 2, 3: 0, 4: 4}[kind]
    six = np.arange(6) * np.pi / 3
    hexagon = np.stack([np.cos(six), np.sin(six)], 1)
    for place, turn in zip(places, (angle + rng.normal(0, order, len(places))).tolist(), strict=True):
        tone = body + int(rng.integers(-own, own + 1))
        along = np.array([1.0, 0.0]) @ rotation(turn)
        slim = slender if form == 4 else 1.0
        shade = (
            (1.14, -0.12, ground // 3),
            (1.0, 0.0, tone * 3 // 5),
            (0.86, 0.08, tone),
            (0.6, 0.2, tone + gloss // 3),
        )
        for grow, move, value in shade:
            at, tint = place + lamp * move * 0.9, min(255, value)
            if kind == 1:  # a capsule: two halves of different tone
                ends = fine(np.array([at - along * size * 0.7, at, at + along * size * 0.7]))
                thick = max(1, round(size * slim * 1.7 * grow))
                cv2.polylines(canvas, [ends[:2]], False, tint, thick, cv2.LINE_AA, SHIFT)
                other = tint if move < 0 else min(255, tint * second // body)
                cv2.polylines(canvas, [ends[1:]], False, other, thick, cv2.LINE_AA, SHIFT)
            elif kind == 2:
                cv2.fillConvexPoly(canvas, fine(hexagon @ rotation(turn) * size * grow + at), tint, cv2.LINE_AA, SHIFT)
            else:
                shape(canvas, form, at, size * grow, slim, turn, tint, rng)
        if kind == 2:
            disc(canvas, place, size * 0.58, tone // 2)
            disc(canvas, place + lamp * 0.05, size * 0.5, ground // 2)
        elif kind in (0, 4):  # a score, a crease
            ends = np.array([place - along * size * 0.7, place + along * size * 0.7])
            cv2.polylines(canvas, [fine(ends)], False, tone // 2 + 20, 1, cv2.LINE_AA, SHIFT)
        disc(canvas, place + lamp * 0.4 * slim, size * 0.12, min(255, tone + gloss))
    field = cv2.GaussianBlur(canvas, (0, 0), 0.5 + 0.04 * size).astype(np.float32) / 255
    return clipped(field + 0.02 * grain(rng, side, 0.5))


def screws(fixed: Random, rng: Random, side: int) -> Field:
    """Screws, nails or pins lying on a plain ground, fixed in a row or thrown at random."""
    count, long, thick = int(fixed.integers(1, 8)), side * fixed.uniform(0.25, 0.8), between(fixed, 3, 11)
    head, cap, pitch = fixed.uniform(1.5, 2.8), fixed.uniform(0.5, 1.6), between(fixed, 2.5, 7)
    ground, body = fixed.choice([0.06, 0.3, 0.85, 0.95]), fixed.uniform(0.35, 0.8)
    threaded, point, slot = fixed.uniform(0, 1), fixed.uniform(0, 2), fixed.random() < 0.5
    row, turn, shadow = fixed.random() < 0.6, fixed.uniform(0, 2 * np.pi), fixed.uniform(0, 0.3)
    gloss, rolled = fixed.uniform(0.1, 0.5), fixed.uniform(0, 0.04)
    x0, y0 = aligned(rng, side)
    field = ground + rolled * swell(rng, side, 14) + 0.02 * grain(rng, side, 0.5)
    free = rng.uniform(0.1, 0.9, (8, 2)) * side
    turns = rng.uniform(0, 2 * np.pi, 8)
    gap = max(thick * head * 1.25, side / (count + 1))
    for n in range(count if row else min(count, 5)):
        if row:
            off = (n - (count - 1) / 2) * gap
            px, py, angle = x0 - np.sin(turn) * off, y0 + np.cos(turn) * off, turn + rng.normal(0, 0.02)
        else:
            (px, py), angle = free[n], turns[n]
        c, s = float(np.cos(angle)), float(np.sin(angle))
        x, y = turned(side, float(angle), -(c * px + s * py), s * px - c * py)
        away = np.abs(y)
        end = x + np.float32(long / 2)  # 0 at the top of the head, long at the tip
        wave = np.abs(np.mod((end + 0.25 * y) * np.float32(1 / pitch), 1) - np.float32(0.5)) * 2
        cut = end > np.float32(long * (1 - threaded * 0.8))
        radius = np.float32(thick / 2) - cut * wave * np.float32(pitch * 0.2)
        radius = np.minimum(radius, (np.float32(long) - end) * np.float32(1 / (0.4 + point)))
        radius = np.where(end < np.float32(thick * cap), np.float32(thick * head / 2), radius)
        inside = ramp(np.minimum(radius - away, end + 0.5), 1.2)
        round_ = np.sqrt(np.clip(1 - (y / np.maximum(radius, 0.5)) ** 2, 0, 1))
        tone = body * (0.3 + 0.6 * round_) * (1 - 0.5 * cut * wave) + gloss * round_**6
        if slot:
            tone = np.where((end < thick * cap * 0.6) & (away < thick * 0.2), np.float32(0.1), tone)
        cast = ramp(np.minimum(radius + 2 - np.abs(y - thick * 0.3), end + 2), 4)
        field = field * (1 - np.float32(shadow) * cast * (1 - inside))
        field = field + inside * (tone - field)
    return clipped(field)
