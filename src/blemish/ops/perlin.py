"""Perlin noise: smooth random hills with one size, the shape of stains and scratches."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def perlin(
    size: tuple[int, int], cells: tuple[int, int], *, angle: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """Return a field of gradient noise; float32, on the processor.

    At every corner of the grid stands a random unit gradient; a pixel blends the four ramps around it with Perlin's
    fade 6t⁵ - 15t⁴ + 10t³ (Perlin 2002), times sqrt(2) to fill the range. The grid goes on beyond the field, so no
    corner is left empty.

    Args:
        size: (height, width).
        cells: Grid cells along height and width: few make wide hills, unequal ones make streaks.
        angle: Rotates the grid about the field's centre, in radians.
        generator: Draws the gradients; None for torch's own.

    Returns:
        (H, W) in [-1, 1], mean about 0.
    """
    h, w = size
    y = (torch.arange(h) + 0.5)[:, None] - h / 2
    x = (torch.arange(w) + 0.5)[None, :] - w / 2
    rows = (math.cos(angle) * y + math.sin(angle) * x + h / 2) * (cells[0] / h)
    columns = (math.cos(angle) * x - math.sin(angle) * y + w / 2) * (cells[1] / w)
    top, left = rows.floor(), columns.floor()
    v, u = rows - top, columns - left  # place inside the cell, [0, 1)
    i, j = (top - top.min()).long(), (left - left.min()).long()
    theta = 2 * math.pi * torch.rand(int(i.max()) + 2, int(j.max()) + 2, generator=generator)
    down, right = theta.sin(), theta.cos()

    def ramp(di: int, dj: int) -> Tensor:
        return down[i + di, j + dj] * (v - di) + right[i + di, j + dj] * (u - dj)

    upper = torch.lerp(ramp(0, 0), ramp(0, 1), _fade(u))
    lower = torch.lerp(ramp(1, 0), ramp(1, 1), _fade(u))
    return math.sqrt(2) * torch.lerp(upper, lower, _fade(v))


def perlin_mask(size: tuple[int, int], generator: torch.Generator, *, threshold: float = 0.5) -> Tensor:
    """Return a random defect's shape: where noise exceeds a threshold.

    Each side has 2^0 to 2^5 cells, and the grid is rotated by up to 90 degrees either way. The shape can be empty.

    Args:
        size: (height, width).
        generator: Draws the noise.
        threshold: 0.5 in DRAEM and what followed it.

    Returns:
        (H, W) bool.
    """
    rows, columns = (2**power for power in torch.randint(6, (2,), generator=generator).tolist())
    angle = math.pi * float(torch.rand((), generator=generator)) - math.pi / 2
    return perlin(size, (rows, columns), angle=angle, generator=generator) > threshold


def _fade(t: Tensor) -> Tensor:
    return t**3 * (t * (6 * t - 15) + 10)
