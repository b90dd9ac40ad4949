"""Parts: a turned steel flange on a conveyor belt, a blister of pills, a printed bottle cap."""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.data.synthetic import marks
from blemish.data.synthetic.surface import UNITS, Field, Surface, as_field, clouds, grid, inside, mix, placed, smooth

Rng = np.random.Generator


def flange(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint a turned steel flange with six bolt holes, slightly rotated on a rubber belt.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the part.
        kind: "good" or a kind of defect of the flange.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    u, v = placed(x, y, rng.normal(0, 1.0, 2), rng.normal(0, 0.03))
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    missing = int(fault.integers(6)) if kind == "missing_hole" else -1
    edge = np.minimum(104 - r, r - 44)
    for index in range(6):
        turn = index * np.pi / 3 + 0.3
        if index != missing:
            edge = np.minimum(edge, np.hypot(u - 75 * math.cos(turn), v - 75 * math.sin(turn)) - 11.5)
    if kind == "chipped_edge":
        edge = _bitten(as_field(edge), fault, _towards(fault) * fault.choice([41, 107]), fault.uniform(7, 13))
    metal = inside(as_field(edge))
    lathe = _turned(rng, as_field(r))
    glow = 0.10 * np.cos(2 * (angle - rng.uniform(0.7, 0.9))) + 0.05 * np.cos(4 * angle + rng.uniform(0, 0.6))
    grey = 0.56 + glow + 0.025 * lathe + 0.015 * clouds(rng, size, 40)
    step = 1.2 * smooth(as_field((r - 55) / 2)) - 1.2 * smooth(as_field((r - 94) / 2))
    bevel = 2.6 * smooth(as_field(edge / 4.5))
    belt = _belt(rng, x, y)
    shadow = cv2.GaussianBlur(_moved(metal, 4 * size / UNITS), (0, 0), 2.5 * size / UNITS)
    surface = Surface(
        albedo=mix(belt * (1 - 0.7 * shadow[..., None]), grey[..., None] * as_field((0.99, 1, 1.01)), metal),
        height=as_field((bevel + step + 0.05 * lathe) * metal + 0.2 * (1 - metal) * clouds(rng, size, 3)),
        gloss=as_field(0.16 * metal),
    )
    at = _on_metal(fault)
    if kind == "scratch":
        marked = marks.scratch(surface, fault, at, fault.uniform(35, 65), angle=fault.uniform(0, np.pi), shine=0.36)
        return _only_on(metal, marked, surface)
    if kind == "rust":
        return _only_on(metal, marks.corrosion(surface, fault, at, fault.uniform(9, 17)), surface)
    return surface


def blister(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint a pharmaceutical blister: nine pills under clear domes, sealed to embossed aluminium foil.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the part.
        kind: "good" or a kind of defect of the blister.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    u, v = placed(x, y, rng.normal(0, 1.5, 2), rng.normal(0, 0.01))
    emboss = np.cos((u + v) * np.pi / 3.2) * np.cos((u - v) * np.pi / 3.2)
    crumple = clouds(rng, size, 45)
    grey = 0.60 + 0.04 * crumple + 0.02 * clouds(rng, size, 2)
    surface = Surface(
        albedo=grey[..., None] * as_field((0.99, 1, 1.02)),
        height=as_field(0.32 * emboss + 0.8 * crumple),
        gloss=np.full_like(x, 0.16, dtype=np.float32),
    )
    spoiled = int(fault.integers(9))
    for index in range(9):
        left, top = 78 * (index % 3 - 1), 78 * (index // 3 - 1)
        row, column = (round((128 + middle - 39) * size / UNITS) for middle in (top, left))
        width = round(78 * size / UNITS)
        window = np.s_[row : row + width, column : column + width]
        here = kind if index == spoiled else "good"
        pocket = _pocket(surface.cut(window), u[window] - left, v[window] - top, size / UNITS, rng, here, fault)
        surface = surface.patched(window, pocket)
    if kind == "hair":
        return marks.fibre(surface, fault, marks.somewhere(fault, 80), fault.uniform(40, 75), (0.1, 0.07, 0.05), 1.4)
    return surface


def bottle_cap(size: int, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Paint a ribbed screw cap of blue plastic with a white print, on a light table.

    Args:
        size: Side of the image in pixels.
        rng: Random generator of the part.
        kind: "good" or a kind of defect of the cap.
        fault: Random generator of the defect.

    Returns:
        The surface, (size, size).
    """
    x, y = grid(size)
    u, v = placed(x, y, rng.normal(0, 0.8, 2), rng.normal(0, 0.015))
    r, angle = np.hypot(u, v), np.arctan2(v, u)
    ribs = np.cos(72 * angle)
    edge = 108 + 0.9 * ribs - r
    if kind == "broken_rim":
        edge = _bitten(as_field(edge), fault, _towards(fault) * 110, fault.uniform(11, 17))
    cap = inside(as_field(edge))
    skirt = smooth(as_field((r - 95) / 4))
    height = 5.0 * smooth(as_field((112 - r) / 20)) + 0.8 * skirt * ribs + 1.0 * smooth(as_field((91 - r) / 3))
    tone = 1 + 0.02 * clouds(rng, size, 60) + 0.01 * clouds(rng, size, 2) - 0.12 * skirt
    blue = as_field(np.array([0.07, 0.28, 0.60]) * rng.normal(1, 0.02, 3))
    table = as_field((0.70, 0.70, 0.68)) * (1 + 0.015 * clouds(rng, size, 3)[..., None])
    shadow = cv2.GaussianBlur(_moved(cap, 5 * size / UNITS), (0, 0), 4 * size / UNITS)[..., None]
    plastic = Surface(
        albedo=mix(as_field(table * (1 - 0.55 * shadow)), as_field(blue * tone[..., None]), cap),
        height=as_field((height + 0.02 * clouds(rng, size, 1.5)) * cap),
        gloss=as_field(0.01 + 0.22 * cap),
    )
    ink = _print(as_field(u), as_field(v))
    at = marks.around(fault, 10, 72)
    if kind == "misprint":
        ink = _spoil(ink, as_field(u), as_field(v), fault)
    surface = plastic.painted((0.93, 0.94, 0.95), ink * np.float32(0.96)).glossed(0.1, ink)
    if kind == "scratch":
        return marks.scratch(surface, fault, at, fault.uniform(45, 95), angle=fault.uniform(0, np.pi), shine=0.34)
    if kind == "dirt":
        for _ in range(int(fault.integers(2, 6))):
            place = np.asarray(at) + fault.normal(0, 9, 2)
            speck = marks.blob(size, fault, place, fault.uniform(2.5, 6), rough=0.5, edge=1.4)
            surface = (
                surface.painted((0.13, 0.11, 0.08), speck * np.float32(0.85)).raised(0.7 * speck).glossed(0, speck)
            )
    return surface


def _bitten(edge: Field, fault: Rng, at: NDArray[np.float64], radius: float) -> Field:
    """Return the distance to the edge of a part with a piece broken out at `at`, in the image's coordinates."""
    bite = marks.blob(len(edge), fault, at, radius, rough=0.45, edge=12)
    return np.where(bite > 0, np.minimum(edge, 6 - 12 * bite), edge)


def _towards(fault: Rng) -> NDArray[np.float64]:
    """Return a direction of length 1."""
    turn = fault.uniform(0, 2 * np.pi)
    return np.array([math.cos(turn), math.sin(turn)])


def _turned(rng: Rng, r: Field) -> Field:
    """Return the grooves of the lathe: noise that depends on the radius alone."""
    rough = cv2.GaussianBlur(rng.standard_normal((1, 512), dtype=np.float32), (0, 0), 1.2)[0]
    return as_field(np.interp(r * 2.2, np.arange(512), rough * 2))


def _belt(rng: Rng, x: Field, y: Field) -> Field:
    """Return dark green rubber with a pressed cloth pattern that moves with the belt."""
    shift = rng.uniform(0, 8)
    cloth = np.sin((x + shift) * np.pi / 2.4) * np.sin((y + 0.3 * shift) * np.pi / 2.4)
    tone = 1 + 0.16 * cloth + 0.10 * clouds(rng, len(x), 50) + 0.09 * clouds(rng, len(x), 2)
    return as_field(as_field((0.11, 0.17, 0.145)) * tone[..., None])


def _moved(cover: Field, pixels: float) -> Field:
    """Return a shape moved right and down: where its shadow falls."""
    return as_field(cv2.warpAffine(cover, np.array([[1, 0, pixels], [0, 1, pixels]]), cover.shape[::-1]))


def _on_metal(fault: Rng) -> tuple[float, float]:
    return marks.around(fault, 52, 96)


def _only_on(cover: Field, marked: Surface, surface: Surface) -> Surface:
    """Return the marked surface inside a shape and the untouched one outside."""
    keep = cover > 0.5
    return Surface(
        albedo=np.where(keep[..., None], marked.albedo, surface.albedo),
        height=np.where(keep, marked.height, surface.height),
        gloss=np.where(keep, marked.gloss, surface.gloss),
    )


def _pocket(surface: Surface, u: Field, v: Field, per_unit: float, rng: Rng, kind: str, fault: Rng) -> Surface:
    """Return the foil with one pocket: its seat, a pill (or what is left of it), and the clear dome above it."""
    r = np.hypot(u, v)
    lie, turn, tone = as_field(rng.normal(0, 1.6, 2)), rng.uniform(0, 2 * np.pi), rng.normal(1, 0.015)
    seat = inside(32 - r, per_unit)
    surface = surface.tinted((0.80, 0.81, 0.84), seat).raised(as_field(-1.5 * smooth(as_field((33 - r) / 3))))
    if kind != "missing_pill":
        surface = _pill(surface, u - lie[0], v - lie[1], per_unit, turn, tone, kind, fault)
    rim = np.exp(-(((r - 31) / 1.6) ** 2))
    arc = np.exp(-(((r - 26.5) / 1.5) ** 2)) * np.clip(np.cos(np.arctan2(v, u) + 2.2) * 2.2 - 1.2, 0, 1)
    return surface.painted((0.92, 0.94, 0.97), as_field(np.clip(0.22 * rim + 0.75 * arc, 0, 1)))


def _pill(
    surface: Surface, u: Field, v: Field, per_unit: float, turn: float, tone: float, kind: str, fault: Rng
) -> Surface:
    r = np.hypot(u, v)
    edge = as_field(23.5 - r)
    across, _ = placed(u, v, (0, 0), turn)
    if kind == "broken_pill":
        side, along = placed(u, v, (0, 0), fault.uniform(0, 2 * np.pi))
        jagged = np.interp(along, np.linspace(-40, 40, 33), np.cumsum(fault.normal(0, 0.9, 33)))
        jagged = jagged - jagged.mean()
        edge = as_field(np.minimum(edge, fault.uniform(2, 13) - side + jagged))
    body = inside(edge, per_unit)
    colour = np.array([0.88, 0.85, 0.78]) * tone
    if kind == "wrong_colour":
        colour = colour * np.array([(1.0, 0.86, 0.84), (0.88, 0.95, 1.04), (0.98, 0.95, 0.74)])[fault.integers(3)]
    score = np.exp(-((across / 1.1) ** 2)) * (r < 20)
    dome = 4.0 * np.sqrt(np.clip(edge / 23.5, 0, 1) * (2 - np.clip(edge / 23.5, 0, 1)))
    shadow = cv2.GaussianBlur(_moved(body, 3 * per_unit), (0, 0), 2 * per_unit)
    surface = surface.tinted((0.5, 0.5, 0.53), as_field(shadow * (1 - body)))
    lifted = Surface(surface.albedo, surface.height * (1 - body), surface.gloss)
    return lifted.painted(colour, body).raised(as_field((dome - 1.2 * score) * body)).glossed(0.04, body)


@lru_cache(maxsize=1)
def _artwork() -> NDArray[np.float32]:
    """Return the print around the rim as a strip: rows outwards from radius 60 to 84 units, columns once around."""
    strip = np.zeros((192, 4096), np.uint8)
    for index, word in enumerate(("ALPINE SPRING", "MINERAL WATER")):
        (width, _), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 3.6, 11)
        left = round((index + 0.5) * 2048 - width / 2)
        cv2.putText(strip, word, (left, 144), cv2.FONT_HERSHEY_DUPLEX, 3.6, 255, 11, cv2.LINE_AA)
    for column in (0, 2048, 4096):
        cv2.circle(strip, (column, 100), 30, 255, -1, cv2.LINE_AA)
    return as_field(cv2.GaussianBlur(strip[::-1], (0, 0), 4)) / np.float32(255)


def _print(u: Field, v: Field) -> Field:
    """Return where the white ink is: words around the rim, two rings, a mountain and waves in the middle."""
    r, angle = np.hypot(u, v), np.arctan2(u, -v)
    strip = _artwork()
    column = as_field(np.mod(angle / (2 * np.pi) + 0.75, 1) * (strip.shape[1] - 1))
    row = as_field((r - 60) / 24 * strip.shape[0])
    words = cv2.remap(strip, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    rings = inside(as_field(0.9 - np.abs(r - 87))) + inside(as_field(0.7 - np.abs(r - 57)))
    slopes = np.minimum(14 - v, np.minimum(v + 26 - 1.1 * np.abs(u + 8), 60))
    second = np.minimum(14 - v, v + 14 - 1.1 * np.abs(u - 17))
    mountain = inside(as_field(np.maximum(slopes, second))) * (1 - inside(as_field(1.2 - np.abs(second))) * (u > 0))
    wave = np.mod(v - 22 + 2.2 * np.sin(u / 5.5), 9.0) - 4.5
    waves = inside(as_field(1.5 - np.abs(wave))) * ((v > 17) & (v < 46) & (r < 50))
    return as_field(np.clip(words + rings + mountain + waves, 0, 1))


def _spoil(ink: Field, u: Field, v: Field, fault: Rng) -> Field:
    """Return the print with one area doubled by slipping, or with one area that did not take."""
    size = len(ink)
    turn, distance = fault.uniform(0, 2 * np.pi), fault.choice([20.0, 72.0])
    place = (distance * np.cos(turn), distance * np.sin(turn))
    where = marks.blob(size, fault, place, fault.uniform(16, 26), rough=0.35, edge=5)
    if fault.random() < 0.5:
        slipped = np.maximum(0.55 * ink, _print(as_field(u + fault.choice([-1, 1]) * 3.0), as_field(v + 2.4)))
        return as_field(ink + (slipped - ink) * where)
    speckle = np.clip(clouds(fault, size, 3) * 0.5 + 0.1, 0, 1)
    return as_field(ink * (1 - where * (1 - speckle)))
