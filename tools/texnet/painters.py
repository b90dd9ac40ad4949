"""What materials are made of: each painter returns one (side, side) float32 field in [0, 1].

`fixed` decides what the material is, `rng` what differs from piece to piece. A painter's draws from `fixed` must not
depend on `rng`: then the same recipe shows the same material at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Random = np.random.Generator
Painter = Callable[[Random, Random, int], Field]
SHIFT = 3  # cv2 draws at eighths of a pixel


def power_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Clouds: noise whose power falls as frequency^-a, stretched along one direction."""
    slope, stretch, angle = fixed.uniform(0.4, 2.2), np.exp(fixed.uniform(0, 2.5)), fixed.uniform(0, np.pi)
    radius = _radius(side, stretch, angle)
    return _unit(_filtered(rng, side, radius**-slope))


def banded_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Grain of one size: noise of a narrow band of frequencies, made harder by a contrast curve."""
    centre, width = np.exp(fixed.uniform(np.log(0.03), np.log(0.3))), fixed.uniform(0.15, 0.6)
    stretch, angle, hard = np.exp(fixed.uniform(0, 1.5)), fixed.uniform(0, np.pi), fixed.uniform(0.8, 8)
    radius = _radius(side, stretch, angle)
    field = _filtered(rng, side, np.exp(-(np.log(radius / centre) ** 2) / (2 * width**2)))
    return _squash(field / (field.std() + 1e-6), hard, fixed.uniform(-0.8, 0.8))


def ridged_noise(fixed: Random, rng: Random, side: int) -> Field:
    """Veins, leather: the creases where smooth noise changes its sign, over several octaves."""
    slope, sharp = fixed.uniform(1.0, 2.2), fixed.uniform(1.5, 8)
    field = _filtered(rng, side, _radius(side, np.exp(fixed.uniform(0, 1)), fixed.uniform(0, np.pi)) ** -slope)
    return np.exp(-np.abs(field / (field.std() + 1e-6)) * np.float32(sharp))


def gratings(fixed: Random, rng: Random, side: int) -> Field:
    """Sums of one to four waves, from soft to square: fabric, mesh, corrugation, moire."""
    count = int(fixed.integers(1, 5))
    x, y = _grid(side)
    field = np.zeros((side, side), np.float32)
    for _ in range(count):
        period, angle = np.exp(fixed.uniform(np.log(3.5), np.log(40))), fixed.uniform(0, np.pi)
        phase = rng.uniform(0, 2 * np.pi)
        turn = 2 * np.pi / period
        field += np.float32(fixed.uniform(0.4, 1)) * np.sin(
            np.float32(turn * np.cos(angle)) * x + np.float32(turn * np.sin(angle)) * y + np.float32(phase)
        )
    return _squash(field, fixed.uniform(0.8, 8), fixed.uniform(-0.4, 0.4))


def voronoi(fixed: Random, rng: Random, side: int) -> Field:
    """Cells: cracked mud, grains of metal, pebbles, foam."""
    spacing, jitter, kind = np.exp(fixed.uniform(np.log(6), np.log(34))), fixed.uniform(0.2, 1), int(fixed.integers(4))
    width, hard = fixed.uniform(0.6, 2.5), fixed.uniform(0.1, 0.5)
    sites = _sites(rng, side, spacing, jitter)
    seeds = np.full((side, side), 255, np.uint8)
    columns, rows = (np.clip(v, 0, side - 1).astype(int) for v in sites.T)
    seeds[rows, columns] = 0
    distance, labels = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    tone = rng.random(int(labels.max()) + 1, dtype=np.float32)[labels]
    edge = (labels != np.roll(labels, 1, 0)) | (labels != np.roll(labels, 1, 1))
    edge[0], edge[:, 0] = False, False
    away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    if kind == 0:
        return np.clip(distance / np.float32(spacing * 0.8), 0, 1)
    if kind == 1:
        return np.clip(away / np.float32(width), 0, 1)
    if kind == 2:
        return np.clip(tone * np.clip(away / np.float32(width), 0, 1), 0, 1)
    return np.clip((1 - np.exp(-away / np.float32(spacing * hard))) * (0.8 + 0.2 * tone), 0, 1)


def dead_leaves(fixed: Random, rng: Random, side: int) -> Field:
    """Flat shapes dropped on one another, sizes by a power law: gravel, chips, litter, terrazzo."""
    kind, small, exponent = int(fixed.integers(5)), np.exp(fixed.uniform(np.log(1.5), np.log(9))), fixed.uniform(1.5, 4)
    angle, spread, slender = fixed.uniform(0, np.pi), fixed.choice([0.1, 3.2]), fixed.uniform(0.25, 1)
    count = int(min(500, 5 * (side / (small * 2.5)) ** 2))
    canvas = np.full((side, side), 128, np.uint8)
    sizes = np.minimum(small * rng.random(count) ** (-1 / exponent), side / 3)
    places, angles = rng.uniform(0, side, (count, 2)), angle + rng.normal(0, spread, count)
    tones = rng.integers(0, 256, count)
    for place, size, turn, tone in zip(places, sizes, angles, tones.tolist(), strict=True):
        _shape(canvas, kind, place, float(size), float(slender), float(turn), tone, rng)
    return canvas.astype(np.float32) / 255


def scattered(fixed: Random, rng: Random, side: int) -> Field:
    """One shape again and again, apart from one another: pills, rivets, grains, pores."""
    kind, size, slender = int(fixed.integers(5)), np.exp(fixed.uniform(np.log(1.5), np.log(13))), fixed.uniform(0.3, 1)
    spacing, jitter, keep = size * fixed.uniform(2.2, 5), fixed.choice([0.05, 0.9]), fixed.uniform(0.4, 1)
    angle, spread, varies = fixed.uniform(0, np.pi), fixed.choice([0.0, 0.2, 3.2]), fixed.choice([0.0, 0.3])
    canvas = np.zeros((side, side), np.uint8)
    for place in _sites(rng, side, spacing, jitter):
        if rng.random() < keep:
            radius, turn = size * np.exp(rng.normal(0, varies)), angle + rng.normal(0, spread)
            _shape(canvas, kind, place, float(radius), float(slender), float(turn), 255, rng)
    if fixed.random() < 0.5:  # rounded: as high as it is far from the border
        inside = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_5)
        return np.sqrt(np.clip(inside / np.float32(size), 0, 1))
    return canvas.astype(np.float32) / 255


def bricks(fixed: Random, rng: Random, side: int) -> Field:
    """Courses of tiles with joints; every tile has its own tone."""
    wide, high = np.exp(fixed.uniform(np.log(6), np.log(44), 2))
    offset, joint = fixed.choice([0.0, 0.5, 1 / 3]), fixed.uniform(0.5, 2.5)
    angle, tones = fixed.choice([0, np.pi / 4, np.pi / 2, fixed.uniform(0, np.pi)]), fixed.uniform(0, 0.6)
    x, y = _turned(side, angle, rng.uniform(0, wide * 6), rng.uniform(0, high * 6))
    row = np.floor(y / high)
    along = x / wide + offset * row
    column = np.floor(along)
    inside = np.minimum(
        np.minimum(along - column, 1 - along + column) * wide, np.minimum(y / high - row, 1 - y / high + row) * high
    )
    tone = rng.random((16, 16), dtype=np.float32)[row.astype(int) % 16, column.astype(int) % 16]
    body = np.clip(inside / joint, 0, 1) * (1 - tones * tone)
    return body.astype(np.float32)


def weave(fixed: Random, rng: Random, side: int) -> Field:
    """Threads over and under: plain, twill, basket, with a round profile."""
    warp, weft = np.exp(fixed.uniform(np.log(3), np.log(16), 2))
    step, float_, angle = int(fixed.integers(1, 4)), int(fixed.integers(2, 6)), fixed.uniform(0, np.pi)
    dark, profile = fixed.uniform(0.3, 1), fixed.uniform(0.3, 1.5)
    x, y = _turned(side, angle, rng.uniform(0, 60), rng.uniform(0, 60))
    u, v = x / warp, y / weft
    i, j = np.floor(u), np.floor(v)
    over = np.mod(i + step * j, float_) < float_ // 2
    across = np.sin(np.pi * (u - i)) ** profile
    down = np.sin(np.pi * (v - j)) ** profile
    irregular = 1 + 0.15 * rng.standard_normal(64)[i.astype(int) % 64]
    return np.clip(np.where(over, across, dark * down) * irregular, 0, 1).astype(np.float32)


def brushed(fixed: Random, rng: Random, side: int) -> Field:
    """Metal or plastic rubbed along lines, or turned around a centre that may lie outside."""
    length, thin, round_ = int(fixed.integers(9, 70)), fixed.uniform(0.3, 1.5), fixed.random() < 0.3
    noise = rng.standard_normal((side * 2, side * 2), dtype=np.float32)
    noise = cv2.GaussianBlur(cv2.blur(noise, (length, 1)), (0, 0), sigmaX=0.5, sigmaY=float(thin))
    far, angle = fixed.uniform(0, side), fixed.uniform(0, np.pi)
    x, y = _turned(side, angle, 0, 0)
    if round_:
        x, y = x - side / 2 - far, y - side / 2 + rng.normal(0, 4)
        x, y = np.arctan2(y, x) * side / 2 + side, np.hypot(x, y) + side / 4
    else:
        x, y = x + side, y + side
    return _unit(cv2.remap(noise, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, None, cv2.BORDER_WRAP))


def rings(fixed: Random, rng: Random, side: int) -> Field:
    """Wood, marble, machining marks: waves around a far centre, bent by noise."""
    far, angle = fixed.uniform(0, 3) * side, fixed.uniform(0, 2 * np.pi)
    period, bend, saw = np.exp(fixed.uniform(np.log(3.5), np.log(26))), fixed.uniform(0, 2.5), fixed.random() < 0.5
    stretch = fixed.uniform(1, 4)
    x, y = _grid(side)
    x, y = x - side / 2 - far * np.cos(angle), (y - side / 2 - far * np.sin(angle)) * np.float32(stretch)
    wander = smooth_noise(rng, side, max(4, side // 6)) - 0.5
    phase = np.hypot(x, y) / np.float32(period) + np.float32(bend * 2) * wander + np.float32(rng.random())
    if saw:
        return np.mod(phase, 1).astype(np.float32)
    return (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)


def fibres(fixed: Random, rng: Random, side: int) -> Field:
    """Bent strokes laid over one another: felt, paper, hair, chipboard, scratches."""
    length, width = np.exp(fixed.uniform(np.log(6), np.log(60))), int(fixed.integers(1, 4))
    angle, spread, curl = fixed.uniform(0, np.pi), fixed.choice([0.15, 0.6, 3.2]), fixed.uniform(0, 0.5)
    count, ground = int(min(350, fixed.uniform(0.15, 1.6) * side**2 / (length * width))), int(fixed.integers(0, 256))
    contrast = fixed.random() < 0.5
    canvas = np.full((side, side), ground, np.uint8)
    steps = np.linspace(-0.5, 0.5, 6)[None]
    turn = angle + rng.normal(0, spread, (count, 1)) + rng.normal(0, curl, (count, 1)) * steps * 4
    reach = length * np.exp(rng.normal(0, 0.3, (count, 1))) / 6
    places = rng.uniform(0, side, (count, 1, 2))
    lines = places + np.stack([np.cumsum(np.cos(turn) * reach, 1), np.cumsum(np.sin(turn) * reach, 1)], axis=2)
    tones = rng.integers(0, 256, count) if contrast else np.full(count, 255 - ground)
    points = np.round(lines * 2**SHIFT).astype(np.int32)
    for line, tone in zip(points, tones.tolist(), strict=True):
        cv2.polylines(canvas, [line], False, tone, width, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def lattice(fixed: Random, rng: Random, side: int) -> Field:
    """Holes or bumps on a square or hexagonal grid: perforated sheet, honeycomb, knurling, halftone."""
    pitch, fill, angle = np.exp(fixed.uniform(np.log(4), np.log(30))), fixed.uniform(0.2, 0.48), fixed.uniform(0, np.pi)
    hexagonal, corner, soft = fixed.random() < 0.5, fixed.choice([1.0, 2.0, 8.0]), fixed.uniform(0.04, 0.3)
    x, y = _turned(side, angle, rng.uniform(0, pitch * 4), rng.uniform(0, pitch * 4))
    v = y / (pitch * (np.sqrt(3) / 2 if hexagonal else 1))
    row = np.floor(v)
    u = x / pitch + (0.5 * row if hexagonal else 0)
    du, dv = np.abs(u - np.floor(u) - 0.5), np.abs(v - row - 0.5)
    distance = (du**corner + dv**corner) ** (1 / corner)
    return np.clip((fill - distance) / soft + 0.5, 0, 1).astype(np.float32)


def part(fixed: Random, rng: Random, side: int) -> Field:
    """A machined part: an outline with holes, slots and a bevel, on an empty ground."""
    corners, size = int(fixed.choice([3, 4, 5, 6, 8, 40])), side * fixed.uniform(0.2, 0.45)
    squeeze, turn = fixed.uniform(0.5, 1), fixed.uniform(0, 2 * np.pi) + rng.normal(0, 0.1)
    holes, orbit, bore = int(fixed.integers(0, 8)), fixed.uniform(0.4, 0.75), fixed.uniform(0.05, 0.25)
    hub, bevel, teeth = fixed.uniform(0.1, 0.45), fixed.uniform(1, 9), fixed.choice([0.0, 0.0, 0.12])
    centre = np.full(2, side / 2) + rng.normal(0, side * 0.05, 2)
    around = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    radius = size * (1 + teeth * np.sign(np.sin(around * 10)))
    outline = np.stack([np.cos(around) * radius, np.sin(around) * radius * squeeze], 1) @ _rotation(turn) + centre
    canvas = np.zeros((side, side), np.uint8)
    cv2.fillPoly(canvas, [_fine(outline)], 255, cv2.LINE_AA, SHIFT)
    at = np.linspace(0, 2 * np.pi, max(holes, 1), endpoint=False)
    for place in (np.stack([np.cos(at), np.sin(at) * squeeze], 1) * size * orbit @ _rotation(turn) + centre)[:holes]:
        _disc(canvas, place, size * bore, 0)
    if fixed.random() < 0.6:
        _disc(canvas, centre, size * hub, int(fixed.integers(0, 140)))
    else:
        fixed.integers(0, 140)
    inside = cv2.distanceTransform((canvas > 127).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return (0.35 * canvas.astype(np.float32) / 255 + 0.65 * np.clip(inside / np.float32(bevel), 0, 1)).astype(
        np.float32
    )


def circuit(fixed: Random, rng: Random, side: int) -> Field:
    """A printed circuit: tracks that bend by 45 degrees, pads, rows of pins, vias with holes."""
    pitch, width = fixed.uniform(5, 14), int(fixed.integers(1, 4))
    tracks, vias, chips = int(fixed.integers(4, 22)), int(fixed.integers(0, 14)), int(fixed.integers(0, 4))
    canvas = np.full((side, side), 40, np.uint8)
    ways = np.array([(1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1)])
    for _ in range(tracks):
        turns = np.cumsum(rng.integers(-1, 2, 6)) + rng.integers(0, 4) * 2
        steps = ways[turns % 8] * rng.integers(1, 5, (6, 1))
        line = (rng.integers(0, int(side / pitch) + 1, 2) + np.cumsum(steps, 0)) * pitch
        cv2.polylines(canvas, [_fine(line)], False, 150, width, cv2.LINE_AA, SHIFT)
    for place in rng.integers(0, int(side / pitch) + 1, (vias, 2)) * pitch:
        _disc(canvas, place, pitch * 0.4, 230)
        _disc(canvas, place, pitch * 0.18, 10)
    for left, top in rng.integers(0, side, (chips, 2)).tolist():
        wide, high = int(pitch * 3), int(pitch * 2)
        for pin in range(0, wide, max(3, int(pitch / 2))):
            cv2.rectangle(canvas, (left + pin, top - 3), (left + pin + 1, top + high + 3), 255, -1)
        cv2.rectangle(canvas, (left, top), (left + wide, top + high), 90, -1)
    return canvas.astype(np.float32) / 255


def glyphs(fixed: Random, rng: Random, side: int) -> Field:
    """Lines of print in an alphabet of its own."""
    letters, high = int(fixed.integers(2, 9)), np.exp(fixed.uniform(np.log(5), np.log(26)))
    width, gap, angle = (
        int(fixed.integers(1, max(2, int(high / 5)) + 1)),
        fixed.uniform(1.2, 2.2),
        fixed.choice([0.0, 0.8]),
    )
    closed, words = fixed.random() < 0.3, fixed.uniform(0.6, 1)
    alphabet = [fixed.random((int(fixed.integers(3, 7)), 2)) * (0.7 * high, high) for _ in range(letters)]
    canvas = np.zeros((side, side), np.uint8)
    turn, start = _rotation(float(angle)), rng.uniform(-high, 0, 2)
    for top in np.arange(start[1] - (side / 2 if angle else 0), side * 1.4, high * gap):
        for left in np.arange(start[0], side * 1.4, high):
            letter = alphabet[int(rng.integers(letters))]
            if rng.random() < words:
                line = (letter + np.array([left, top])) @ turn
                cv2.polylines(canvas, [_fine(line)], bool(closed), 255, width, cv2.LINE_AA, SHIFT)
    return canvas.astype(np.float32) / 255


def stripes(fixed: Random, rng: Random, side: int) -> Field:
    """Bands of unequal width and tone across the image: labels, layers, cables, rolled edges."""
    count, angle, soft = int(fixed.integers(3, 14)), fixed.uniform(0, np.pi), fixed.uniform(0.4, 3)
    at = np.sort(fixed.uniform(0, 1, count)) * side * 1.2
    tones = fixed.uniform(0, 1, count + 1)
    x, _ = _turned(side, angle, rng.normal(0, side * 0.06), 0)
    table = tones[np.searchsorted(at, np.mod(np.arange(256) / 256 * side * 1.2, side * 1.2))].astype(np.float32)
    field = table[(np.mod(x / (side * 1.2), 1) * 255.99).astype(int)]
    return cv2.GaussianBlur(field, (0, 0), float(soft))


PAINTERS: tuple[Painter, ...] = (
    power_noise, banded_noise, ridged_noise, gratings, voronoi, dead_leaves, scattered, bricks, weave, brushed, rings,
    fibres, lattice, part, circuit, glyphs, stripes,
)  # fmt: skip


def smooth_noise(rng: Random, side: int, grain: int) -> Field:
    """Noise without detail finer than about `grain` pixels, in [0, 1]."""
    coarse = rng.random((side // grain + 2, side // grain + 2), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


@lru_cache(8)
def _grid(side: int) -> tuple[Field, Field]:
    line = np.arange(side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


@lru_cache(8)
def _frequencies(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.fft.rfftfreq(side)[None], np.fft.fftfreq(side)[:, None]


def _turned(side: int, angle: float, dx: float, dy: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixel coordinates in a frame turned by `angle` (radians) and shifted."""
    x, y = _grid(side)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y + np.float32(dx), c * y - s * x + np.float32(dy)


def _rotation(angle: float) -> NDArray[Any]:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _radius(side: int, stretch: float, angle: float) -> NDArray[Any]:
    """Distance from frequency zero in cycles per pixel; `stretch` > 1 makes detail longer along `angle`."""
    fx, fy = _frequencies(side)
    along = np.cos(angle) * fx + np.sin(angle) * fy
    across = np.cos(angle) * fy - np.sin(angle) * fx
    return np.maximum(np.hypot(along * np.sqrt(stretch), across / np.sqrt(stretch)), 0.5 / side)


def _filtered(rng: Random, side: int, gain: NDArray[Any]) -> Field:
    white = rng.standard_normal((side, side), dtype=np.float32)
    return np.fft.irfft2(np.fft.rfft2(white) * gain, s=(side, side)).astype(np.float32)


def _unit(field: NDArray[Any]) -> Field:
    """Bring a field to [0, 1] by its mean and spread: robust against single extremes."""
    return np.clip((field - field.mean()) / (5 * field.std() + 1e-6) + 0.5, 0, 1).astype(np.float32)


def _squash(field: NDArray[Any], hard: float, shift: float) -> Field:
    return (0.5 + 0.5 * np.tanh(np.float32(hard) * (field + np.float32(shift)))).astype(np.float32)


def _sites(rng: Random, side: int, spacing: float, jitter: float) -> NDArray[Any]:
    """Points about `spacing` apart, on a shifted grid disturbed by `jitter` (1: wholly random), as (x, y) rows."""
    line = np.arange(-spacing, side + spacing, spacing)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return grid + rng.uniform(0, spacing, 2) + rng.uniform(-0.5, 0.5, grid.shape) * spacing * jitter


def _fine(points: NDArray[Any]) -> NDArray[np.int32]:
    return np.round(points * 2**SHIFT).astype(np.int32)


def _disc(canvas: NDArray[np.uint8], place: NDArray[Any], radius: float, tone: int) -> None:
    x, y = _fine(np.asarray(place)).tolist()
    cv2.circle(canvas, (x, y), max(1, round(radius * 2**SHIFT)), tone, -1, cv2.LINE_AA, SHIFT)


def _shape(
    canvas: NDArray[np.uint8],
    kind: int,
    place: NDArray[Any],
    size: float,
    slender: float,
    turn: float,
    tone: int,
    rng: Random,
) -> None:
    """Draw one disc (0), box (1), polygon (2), stroke (3) or ellipse (4) of radius `size` pixels."""
    if kind == 0:
        _disc(canvas, place, size, tone)
        return
    if kind == 1:
        corners = np.array([(-1, -slender), (1, -slender), (1, slender), (-1, slender)]) * size
        cv2.fillConvexPoly(canvas, _fine(corners @ _rotation(turn) + place), tone, cv2.LINE_AA, SHIFT)
    elif kind == 2:
        around = np.sort(rng.uniform(0, 2 * np.pi, 6))
        corners = np.stack([np.cos(around), np.sin(around) * slender], 1) * size
        cv2.fillConvexPoly(canvas, _fine(corners @ _rotation(turn) + place), tone, cv2.LINE_AA, SHIFT)
    elif kind == 3:
        ends = np.array([(-1.5, 0), (1.5, 0)]) * size @ _rotation(turn) + place
        width = max(1, round(size * slender * 0.5))
        cv2.polylines(canvas, [_fine(ends)], False, tone, width, cv2.LINE_AA, SHIFT)
    else:
        axes = (max(1, round(size * 2**SHIFT)), max(1, round(size * slender * 2**SHIFT)))
        x, y = _fine(place).tolist()
        cv2.ellipse(canvas, (x, y), axes, float(np.degrees(turn)), 0, 360, tone, -1, cv2.LINE_AA, SHIFT)
