"""Defects of any surface: scratches, stains, dents, holes, cracks, fibres, corrosion.

Shapes are covers (H, W) in [0, 1]: how much of each pixel they cover. Lengths are in units, as in `surface`; positions
are (x, y) from the centre of the image.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.data.synthetic.surface import UNITS, Field, Surface, as_field, clouds, grid, placed, smooth

Rng = np.random.Generator
FINER = 2
"""Lines are drawn this many times larger and averaged, so that thin ones have clean edges."""


def somewhere(rng: Rng, reach: float = 90) -> tuple[float, float]:
    """Draw a position near the centre.

    Args:
        rng: Random generator.
        reach: Largest distance from the centre in x and in y, in units.

    Returns:
        The position (x, y), in units.
    """
    x, y = rng.uniform(-reach, reach, 2)
    return float(x), float(y)


def around(rng: Rng, nearest: float, farthest: float) -> tuple[float, float]:
    """Draw a position in a ring around the centre.

    Args:
        rng: Random generator.
        nearest: Inner radius, in units.
        farthest: Outer radius, in units.

    Returns:
        The position (x, y), in units.
    """
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(nearest, farthest)
    return float(distance * np.cos(angle)), float(distance * np.sin(angle))


def blob(
    size: int, rng: Rng, at: ArrayLike, radius: float, *, rough: float = 0.25, edge: float = 1.5, stretch: float = 1.0
) -> Field:
    """Draw an irregular round shape.

    Args:
        size: Side of the image in pixels.
        rng: Random generator.
        at: Centre of the shape, in units.
        radius: Its mean radius, in units.
        rough: About how far the edge moves, as a share of the radius.
        edge: Width of the soft edge, in units.
        stretch: Length of the shape divided by its width.

    Returns:
        (size, size) cover of the shape.
    """
    x, y = grid(size)
    across, along = placed(x, y, at, rng.uniform(0, np.pi))
    along = along / np.float32(stretch)
    angle = np.linspace(0, 2 * np.pi, 257)
    reach = np.ones(257)
    for wave in range(2, 12):
        reach += rough * rng.normal(0, 1.2 / wave**1.5) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    outline = np.interp(np.mod(np.arctan2(along, across), 2 * np.pi), angle, radius * reach)
    return smooth(as_field((outline - np.hypot(across, along)) / edge + 0.5))


def path(rng: Rng, start: ArrayLike, angle: float, length: float, *, wander: float = 0.05) -> NDArray[np.float64]:
    """Draw a line whose direction drifts, in steps of about 2 units.

    Args:
        rng: Random generator.
        start: Position midway between the line's ends, in units.
        angle: Initial direction, in radians.
        length: Length of the line, in units.
        wander: Standard deviation of the change of direction per step, in radians.

    Returns:
        (n, 2) points of the line, in units.
    """
    steps = max(3, round(length / 2))
    turns = angle + np.cumsum(rng.normal(0, wander, steps))
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / steps)
    line: NDArray[np.float64] = np.asarray(start, dtype=np.float64) + np.cumsum(moves, axis=0) - moves.sum(0) / 2
    return line


def stroke(size: int, line: NDArray[np.float64], width: ArrayLike) -> Field:
    """Draw a line with a pen.

    Args:
        size: Side of the image in pixels.
        line: (n, 2) points, in units.
        width: Width of the pen, in units: one number, or one per point.

    Returns:
        (size, size) cover of the line.
    """
    canvas = np.zeros((size * FINER, size * FINER), np.uint8)
    pixels = (line / UNITS + 0.5) * size * FINER * 16
    widths = np.broadcast_to(np.asarray(width, dtype=np.float64), len(line)) * size * FINER / UNITS
    for begin, end, thick in zip(pixels[:-1], pixels[1:], widths, strict=False):
        a, b = (tuple(round(float(v)) for v in point) for point in (begin, end))
        cv2.line(canvas, a, b, 255, max(1, round(thick)), cv2.LINE_AA, shift=4)
    return as_field(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)) / np.float32(255)


def scratch(surface: Surface, rng: Rng, at: ArrayLike, length: float, *, angle: float, shine: float = 0.25) -> Surface:
    """Add a groove that is deepest in its middle.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Middle of the scratch, in units.
        length: Its length, in units.
        angle: Its direction, in radians.
        shine: How much brighter than the surface its bottom is, in [0, 1].

    Returns:
        The scratched surface.
    """
    size = len(surface.height)
    line = path(rng, at, angle, length, wander=0.02)
    pressure = np.sin(np.linspace(0.15, np.pi - 0.05, len(line))) ** 0.5
    groove = stroke(size, line, rng.uniform(1.0, 2.0) * pressure)
    groove = groove * smooth(as_field(clouds(rng, size, 12) * 0.3 + 0.9))
    return surface.raised(-1.4 * groove).painted(np.clip(surface.albedo + shine, 0, 1), groove * np.float32(0.8))


def stain(surface: Surface, rng: Rng, at: ArrayLike, radius: float, tint: ArrayLike, edge: float = 3.0) -> Surface:
    """Add a dried drop: uneven, darker towards its rim, with a few splashes.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Centre of the drop, in units.
        radius: Its mean radius, in units.
        tint: (3,) factor of the colour under it.
        edge: Width of its soft edge, in units.

    Returns:
        The stained surface.
    """
    size = len(surface.height)
    drop = blob(size, rng, at, radius, rough=0.3, edge=edge, stretch=rng.uniform(1, 1.5))
    inner = cv2.GaussianBlur(drop, (0, 0), radius * size / UNITS / 5)
    cover = drop * (0.85 + 0.9 * (drop - inner)) * (1 + 0.12 * clouds(rng, size, 9))
    for _ in range(int(rng.integers(1, 4))):
        splash = np.asarray(at) + around(rng, 1.2 * radius, 1.8 * radius)
        cover = np.maximum(cover, 0.8 * blob(size, rng, splash, radius * rng.uniform(0.06, 0.16), edge=1.2))
    return surface.tinted(tint, as_field(np.clip(cover, 0, 1.2)))


def dent(surface: Surface, rng: Rng, at: ArrayLike, radius: float, depth: float) -> Surface:
    """Add a smooth hollow.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Centre of the hollow, in units.
        radius: Its smaller radius, in units.
        depth: Its depth, in units.

    Returns:
        The dented surface.
    """
    x, y = grid(len(surface.height))
    across, along = placed(x, y, at, rng.uniform(0, np.pi))
    within = np.maximum(1 - (across**2 + (along / rng.uniform(1, 1.5)) ** 2) / radius**2, 0)
    return surface.raised(as_field(-depth * within**2))


def hole(surface: Surface, cover: Field, colour: ArrayLike, rim: float = 1.0) -> Surface:
    """Add an opening.

    Args:
        surface: The intact surface.
        cover: (H, W) cover of the opening.
        colour: (3,) RGB in [0, 1] that it shows.
        rim: How far its edge falls, in units.

    Returns:
        The surface with the hole.
    """
    return surface.raised(-rim * cover).painted(colour, cover).glossed(0, cover)


def crack(surface: Surface, rng: Rng, at: ArrayLike, length: float, *, angle: float, wander: float = 0.35) -> Surface:
    """Add a dark, jagged opening that thins out at both ends and may branch.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Middle of the crack, in units.
        length: Its length, in units.
        angle: Its initial direction, in radians.
        wander: Standard deviation of the change of direction per step, in radians.

    Returns:
        The cracked surface.
    """
    size = len(surface.height)
    line = path(rng, at, angle, length, wander=wander)
    width = 2.4 * np.sin(np.linspace(0.1, np.pi - 0.1, len(line))) * rng.uniform(0.6, 1.3, len(line))
    gap = stroke(size, line, width)
    if rng.random() < 0.6:
        branch = path(rng, line[len(line) // 2], angle + rng.choice([-0.6, 0.6]), length * 0.4, wander=wander)
        gap = np.maximum(gap, stroke(size, branch + line[len(line) // 2] - branch[0], 0.9))
    return surface.raised(-1.5 * gap).tinted((0.22, 0.2, 0.18), gap)


def fibre(surface: Surface, rng: Rng, at: ArrayLike, length: float, colour: ArrayLike, width: float = 1.2) -> Surface:
    """Add a curled fibre or hair on top of the surface, with its thin shadow.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Middle of the fibre, in units.
        length: Its length, in units.
        colour: (3,) RGB in [0, 1].
        width: Its width, in units.

    Returns:
        The surface with the fibre.
    """
    size = len(surface.height)
    line = path(rng, at, rng.uniform(0, 2 * np.pi), length, wander=0.16)
    thread = stroke(size, line, width)
    shadow = cv2.GaussianBlur(stroke(size, line + 1.6, width), (0, 0), 0.7 * size / UNITS)
    return surface.tinted((0.6, 0.6, 0.6), as_field(shadow)).painted(colour, thread).glossed(0.05, thread)


def corrosion(surface: Surface, rng: Rng, at: ArrayLike, radius: float) -> Surface:
    """Add rust: a rough, pitted, brown patch that crumbles into specks at its edge.

    Args:
        surface: The intact surface.
        rng: Random generator.
        at: Centre of the patch, in units.
        radius: Its mean radius, in units.

    Returns:
        The rusty surface.
    """
    size = len(surface.height)
    patch = blob(size, rng, at, radius, rough=0.4, edge=radius)
    grain = 0.5 * clouds(rng, size, 3) + 0.5 * clouds(rng, size, 8)
    cover = smooth(as_field((patch - 0.45 + 0.28 * grain) * 4)) * (patch > 0)
    brown = np.array([0.47, 0.26, 0.12]) * (1 + 0.3 * clouds(rng, size, 4)[..., None])
    return surface.painted(np.clip(brown, 0, 1), cover * np.float32(0.85)).raised(0.3 * cover * grain).glossed(0, cover)
