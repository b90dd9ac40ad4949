"""What the painters share: types, noise, coordinates and small shapes drawn with antialiased borders."""

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


def smooth_noise(rng: Random, side: int, grain: int) -> Field:
    """Noise without detail finer than about `grain` pixels, in [0, 1]."""
    coarse = rng.random((side // grain + 2, side // grain + 2), dtype=np.float32)
    return np.clip(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


@lru_cache(8)
def grid(side: int) -> tuple[Field, Field]:
    """Return x and y of every pixel; shared, so never write into them."""
    line = np.arange(side, dtype=np.float32)
    x, y = np.meshgrid(line, line)
    return x, y


@lru_cache(8)
def frequencies(side: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Horizontal and vertical frequencies of `np.fft.rfft2`, in cycles per pixel."""
    return np.fft.rfftfreq(side)[None], np.fft.fftfreq(side)[:, None]


def turned(side: int, angle: float, dx: float, dy: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixel coordinates in a frame turned by `angle` (radians) and shifted."""
    x, y = grid(side)
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * x + s * y + np.float32(dx), c * y - s * x + np.float32(dy)


def rotation(angle: float) -> NDArray[Any]:
    """Matrix to turn points given as rows, from the right."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def radii(side: int, stretch: float, angle: float) -> NDArray[Any]:
    """Distance from frequency zero in cycles per pixel; `stretch` > 1 makes detail longer along `angle`."""
    fx, fy = frequencies(side)
    along = np.cos(angle) * fx + np.sin(angle) * fy
    across = np.cos(angle) * fy - np.sin(angle) * fx
    return np.maximum(np.hypot(along * np.sqrt(stretch), across / np.sqrt(stretch)), 0.5 / side)


def filtered(rng: Random, side: int, gain: NDArray[Any]) -> Field:
    """White noise whose spectrum is multiplied by `gain`."""
    white = rng.standard_normal((side, side), dtype=np.float32)
    return np.fft.irfft2(np.fft.rfft2(white) * gain, s=(side, side)).astype(np.float32)


def unit(field: NDArray[Any]) -> Field:
    """Bring a field to [0, 1] by its mean and spread: robust against single extremes."""
    return np.clip((field - field.mean()) / (5 * field.std() + 1e-6) + 0.5, 0, 1).astype(np.float32)


def squash(field: NDArray[Any], hard: float, shift: float) -> Field:
    """Bring a field to [0, 1] by a soft step; `hard` is its steepness."""
    return (0.5 + 0.5 * np.tanh(np.float32(hard) * (field + np.float32(shift)))).astype(np.float32)


def sites(rng: Random, side: int, spacing: float, jitter: float) -> NDArray[Any]:
    """Points about `spacing` apart, on a shifted nodes disturbed by `jitter` (1: wholly random), as (x, y) rows."""
    line = np.arange(-spacing, side + spacing, spacing)
    nodes = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    return nodes + rng.uniform(0, spacing, 2) + rng.uniform(-0.5, 0.5, nodes.shape) * spacing * jitter


def fine(points: NDArray[Any]) -> NDArray[np.int32]:
    """Points in the fixed-point form that cv2 draws with `SHIFT`."""
    return np.round(points * 2**SHIFT).astype(np.int32)


def disc(canvas: NDArray[np.uint8], place: NDArray[Any], radius: float, tone: int) -> None:
    """Fill one disc in place."""
    x, y = fine(np.asarray(place)).tolist()
    cv2.circle(canvas, (x, y), max(1, round(radius * 2**SHIFT)), tone, -1, cv2.LINE_AA, SHIFT)


def shape(
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
        disc(canvas, place, size, tone)
        return
    if kind == 1:
        corners = np.array([(-1, -slender), (1, -slender), (1, slender), (-1, slender)]) * size
        cv2.fillConvexPoly(canvas, fine(corners @ rotation(turn) + place), tone, cv2.LINE_AA, SHIFT)
    elif kind == 2:
        around = np.sort(rng.uniform(0, 2 * np.pi, 6))
        corners = np.stack([np.cos(around), np.sin(around) * slender], 1) * size
        cv2.fillConvexPoly(canvas, fine(corners @ rotation(turn) + place), tone, cv2.LINE_AA, SHIFT)
    elif kind == 3:
        ends = np.array([(-1.5, 0), (1.5, 0)]) * size @ rotation(turn) + place
        width = max(1, round(size * slender * 0.5))
        cv2.polylines(canvas, [fine(ends)], False, tone, width, cv2.LINE_AA, SHIFT)
    else:
        axes = (max(1, round(size * 2**SHIFT)), max(1, round(size * slender * 2**SHIFT)))
        x, y = fine(place).tolist()
        cv2.ellipse(canvas, (x, y), axes, float(np.degrees(turn)), 0, 360, tone, -1, cv2.LINE_AA, SHIFT)


# --- for objects and for fields that are put together from distances


def between(fixed: Random, low: float, high: float) -> float:
    """One value, uniform in its logarithm: sizes and periods."""
    return float(np.exp(fixed.uniform(np.log(low), np.log(high))))


def aligned(rng: Random, side: int, spread: float = 0.012) -> tuple[float, float]:
    """Middle of the image, off by little: where a fixture holds an object under a fixed camera."""
    dx, dy = (rng.normal(0, side * spread, 2)).tolist()
    return side / 2 + dx, side / 2 + dy


def norm(x: Field, y: Field) -> Field:
    """Length of (x, y); cv2.magnitude and cv2.cartToPolar round by where their arrays lie in memory."""
    return np.sqrt(x * x + y * y)


def polar(side: int, x0: float, y0: float) -> tuple[Field, Field]:
    """Angle (-pi to pi) and distance in pixels around a point."""
    x, y = grid(side)
    x, y = x - np.float32(x0), y - np.float32(y0)
    return np.arctan2(y, x), norm(x, y)


def ramp(distance: NDArray[Any], width: float = 1.0) -> Field:
    """From 0 to 1 across `width` pixels around distance 0: the soft border of what lies at positive distance."""
    return np.clip(distance * np.float32(1 / width) + np.float32(0.5), 0, 1).astype(np.float32, copy=False)


def box(x: Field, y: Field, wide: float, high: float, corner: float) -> Field:
    """Distance to the border of a box around 0, positive inside; half sides `wide`, `high`, rounded corners."""
    dx, dy = np.abs(x) - np.float32(wide - corner), np.abs(y) - np.float32(high - corner)
    outside = norm(np.maximum(dx, 0), np.maximum(dy, 0))
    return np.float32(corner) - outside - np.minimum(np.maximum(dx, dy), 0)


def cells(rng: Random, side: int, spacing: float, jitter: float) -> tuple[NDArray[np.int32], Field, Field, Field]:
    """Cells around points: number of each pixel's cell, offset (x, y) from its point, distance to the cell's border."""
    points = sites(rng, side, spacing, jitter)
    points = points[((points > -0.5) & (points < side - 0.5)).all(1)]
    seeds = np.full((side, side), 255, np.uint8)
    columns, rows = np.round(points).clip(0, side - 1).astype(int).T
    seeds[rows, columns] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    at = np.zeros((int(labels.max()) + 1, 2), np.float32)
    at[labels[rows, columns], 0], at[labels[rows, columns], 1] = columns, rows
    x, y = grid(side)
    inner = np.ones((side, side), np.uint8)
    inner[1:][labels[1:] != labels[:-1]] = 0
    inner[:, 1:][labels[:, 1:] != labels[:, :-1]] = 0
    away = cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_5)
    return labels, x - at[labels, 0], y - at[labels, 1], away


def streaks(rng: Random, side: int, length: int, thin: float) -> Field:
    """Noise drawn out along x, mean 0 and spread 1."""
    noise = rng.standard_normal((side, side + 2 * length), dtype=np.float32)
    noise = cv2.blur(noise, (length, 1))[:, length : length + side]
    if thin > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), sigmaX=0.5, sigmaY=thin)
    return noise / np.float32(noise.std() + 1e-6)


def grain(rng: Random, side: int, size: float) -> Field:
    """Noise without direction, of one size in pixels, mean 0 and spread 1."""
    noise = rng.standard_normal((side, side), dtype=np.float32)
    if size > 0.3:
        noise = cv2.GaussianBlur(noise, (0, 0), size)
    return (noise - noise.mean()) / np.float32(noise.std() + 1e-6)


def swell(rng: Random, side: int, size: int) -> Field:
    """Broad soft hills about `size` pixels apart, in about [-1, 1]."""
    return 2 * smooth_noise(rng, side, max(4, size)) - 1


def clipped(field: NDArray[Any]) -> Field:
    """Cut to [0, 1] as float32."""
    return np.clip(field, 0, 1).astype(np.float32, copy=False)
