"""Cables: cut across, and side by side."""

from __future__ import annotations

import cv2
import numpy as np

from .fields import Field, Random, aligned, between, clipped, disc, grain, grid, norm, polar, ramp, sites, swell, turned


def cable(fixed: Random, rng: Random, side: int) -> Field:
    """A cut cable: a jacket around insulated conductors, each a bundle of bright strands, in one arrangement."""
    cores, reach, jacket = (
        int(fixed.choice([1, 2, 3, 3, 4, 5, 7])),
        side * fixed.uniform(0.36, 0.6),
        fixed.uniform(0.06, 0.2),
    )
    ground, skin, fill = fixed.uniform(0, 0.9), fixed.uniform(0.1, 0.8), fixed.uniform(0, 0.5)
    tones, insulation, strand = fixed.uniform(0.15, 0.9, 7), fixed.uniform(0.15, 0.4), between(fixed, 2.2, 5.5)
    turn, copper, shine = fixed.uniform(0, 6) + rng.normal(0, 0.03), fixed.uniform(0.45, 0.9), fixed.uniform(0.1, 0.6)
    mesh, mesh_tone = fixed.random() < 0.4, fixed.uniform(0.5, 1)
    x0, y0 = aligned(rng, side)
    angle, distance = polar(side, x0, y0)
    inner = reach * (1 - jacket)
    tone = skin + (ramp(np.float32(inner) - distance) * np.float32(fill - skin))
    if mesh:
        band = ramp(np.float32(reach * 0.05) - np.abs(distance - np.float32(inner)))
        tone = tone + band * (mesh_tone * (0.6 + 0.4 * np.sin(angle * 50 + distance)) - tone)
    ring = cores - 1 if cores == 7 else cores
    size = inner * (1.0 if cores == 1 else np.sin(np.pi / ring) / (1 + np.sin(np.pi / ring))) * 0.94
    metal = np.zeros((side, side), np.uint8)
    for n in range(cores):
        orbit = 0 if cores == 1 or n == 6 else inner - size * 1.04
        at = np.array([x0, y0]) + orbit * np.array(
            [np.cos(turn + 2 * np.pi * n / ring), np.sin(turn + 2 * np.pi * n / ring)]
        )
        at = at + rng.normal(0, size * 0.02, 2)
        x, y = grid(side)
        away = np.float32(size) - norm(x - np.float32(at[0]), y - np.float32(at[1]))
        tone = tone + ramp(away) * (tones[n] * (0.75 + 0.25 * ramp(away - 2, 4)) - tone)
        tone = tone * (1 - 0.8 * ramp(away - np.float32(size * insulation), 1.5))
        room = size * (1 - insulation) - strand * 0.6
        for px, py in sites(rng, side, strand * 1.9, 0.35):
            if np.hypot(px - at[0], py - at[1]) < room:
                disc(metal, np.array([px, py]), strand, 140 + int(rng.integers(0, 60)))
                disc(metal, np.array([px - strand * 0.2, py - strand * 0.2]), strand * 0.45, 255)
    strands = cv2.GaussianBlur(metal, (0, 0), 0.5).astype(np.float32) * np.float32(1 / 255)
    cover = np.minimum(strands * 2.5, 1)
    tone = tone + cover * (copper * strands * (1 + shine * (strands - 0.5)) - tone)
    field = tone + ramp(distance - np.float32(reach)) * (np.float32(ground) - tone)
    return clipped(field + 0.015 * grain(rng, side, 0.5) + 0.03 * swell(rng, side, 50))


def bundle(fixed: Random, rng: Random, side: int) -> Field:
    """Cables, hoses or rods side by side in one order: each round and shiny, of its own width and tone, held by ties."""
    count, sag, upright = int(fixed.integers(3, 15)), fixed.uniform(0, 0.12), fixed.random() < 0.5
    widths, tones = fixed.uniform(0.4, 1, 15), fixed.uniform(0.08, 0.95, 15)
    gloss, lamp, alike = fixed.uniform(0.05, 0.6), fixed.uniform(-0.5, 0.5), fixed.random() < 0.4
    ties, tie, tie_tone = fixed.uniform(0.1, 0.9, 2), fixed.integers(0, 3), fixed.uniform(0, 1)
    lay, ribs, stripe = between(fixed, 4, 16), fixed.choice([0.0, 0.0, 0.25]), fixed.random(15) < 0.25
    span, ground, tilt = fixed.uniform(0.5, 1.3), fixed.uniform(0, 0.5), fixed.normal(0, 0.08)
    x0, y0 = aligned(rng, side)
    x, y = turned(side, tilt + float(rng.normal(0, 0.008)), side / 2 - x0, side / 2 - y0)
    y = y + np.float32(sag * side) * (swell(rng, side, side // 2) * 0.35 + np.cos(x * np.float32(2.5 / side)))
    size = np.full(count, 1.0) if alike else widths[:count]
    edges = np.concatenate([[0.0], np.cumsum(size)]) * side * span / size.sum() + side * (1 - span) / 2
    edges[1:-1] += rng.normal(0, 0.4, count - 1)
    table = np.searchsorted(edges, np.arange(-side, 2 * side, 0.25)) - 1
    index = table[((y + side) * 4).astype(np.int32).clip(0, len(table) - 1)]
    shown = (index >= 0) & (index < count)
    index = index.clip(0, count - 1)
    first, last = edges[:-1].astype(np.float32)[index], edges[1:].astype(np.float32)[index]
    height = np.clip((2 * y - first - last) / (last - first), -1, 1)
    round_ = np.sqrt(1 - height * height)
    tone = tones.astype(np.float32)[index] * (0.25 + 0.75 * round_)
    tone = tone * (1 - np.float32(ribs) * (1 + np.cos((x + 0.4 * y) * np.float32(2 * np.pi / lay))) * 0.5)
    mark = stripe[index] & (np.abs(np.mod((x + 2 * y) * np.float32(1 / (3 * lay)), 1) - 0.5) < 0.15)
    tone = np.where(mark, 0.9 * round_, tone) + gloss * np.exp(-((height - np.float32(lamp)) ** 2) * 30)
    field = np.where(shown, tone, np.float32(ground)).astype(np.float32)
    for at in ties[: int(tie)]:
        band = ramp(np.float32(side * 0.03) - np.abs(x - np.float32(at * side)), 1.5) * shown
        field = field + band * (tie_tone * (0.6 + 0.4 * round_) - field)
    field = clipped(field + 0.02 * grain(rng, side, 0.5))
    return np.ascontiguousarray(field.T) if upright else field
