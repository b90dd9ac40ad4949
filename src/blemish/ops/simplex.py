"""Simplex noise: smooth random hills in three dimensions, and sums of ever finer ones, as AnoDDPM hides images under.

Perlin's successor to his own noise (2001): space is cut into tetrahedra instead of cubes, and a point adds up only four
short-ranged bumps, one for each corner of its tetrahedron.
"""

from __future__ import annotations

import torch
from torch import Tensor

TABLE = 256  # entries of the table of chance; the noise repeats itself after so many lattice cells
SCALE = 76.8  # the largest possible sum of four bumps is 1 / 76.88, found by search, so the noise fills [-1, 1]

GRADIENTS = torch.tensor([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]])
GRADIENTS = torch.cat(
    [GRADIENTS, GRADIENTS.roll(1, 1), GRADIENTS.roll(2, 1)]
)  # to the middles of a cube's twelve edges


def simplex(points: Tensor, table: Tensor) -> Tensor:
    """Return the noise of C fields each at P points.

    Mean 0, with continuous slopes. It is 0 at the lattice points, which lie sqrt(3)/2 apart and are (i, j, k) - (i + j
    + k)/6 for whole i, j, k. Each has a gradient, one of twelve, that the table picks; at distance d its bump is the
    ramp along the gradient times (1/2 - d²)⁴, and 0 beyond, which is before the tetrahedra around it end.

    Args:
        points: (N, P, 3).
        table: (N, C, 256), see `tables`; the fields differ by it.

    Returns:
        (N, C, P) in [-1, 1].
    """
    axes = points.unbind(2)  # each (N, P)
    skew = points.sum(2) / 3
    cell = [(x + skew).floor() for x in axes]  # the skewed cube around the point
    x, y, z = (
        x - c + torch.stack(cell).sum(0) / 6 for x, c in zip(axes, cell, strict=True)
    )  # the point, seen from the cube's origin
    # The tetrahedron's corners are met on a walk across the cube that takes the longest axis first; when each has its turn:
    turns = ((y > x).int() + (z > x), (x >= y).int() + (z > y), (x >= z).int() + (y >= z))
    nodes = [c.long() for c in cell]
    slopes = GRADIENTS.T.to(points)[:, table % len(GRADIENTS)]  # 3, N, C, 256
    total = points.new_zeros(*table.shape[:2], points.shape[1])
    for corner in range(4):
        steps = [turn < corner for turn in turns]
        away = [a - s.to(a) + corner / 6 for a, s in zip((x, y, z), steps, strict=True)]
        bump = (0.5 - torch.stack(away).square().sum(0)).clamp(min=0) ** 4
        entry = torch.zeros_like(total, dtype=torch.long)
        for axis, (node, step) in enumerate(zip(nodes, steps, strict=True)):
            entry = ((node + step)[:, None] + entry) & (TABLE - 1)
            entry = table.gather(2, entry) if axis < 2 else entry
        for slope, a in zip(slopes, away, strict=True):
            total += slope.gather(2, entry) * (a * bump)[:, None]
    return total * SCALE


def tables(*count: int, generator: torch.Generator | None = None) -> Tensor:
    """Return random orders of 0 ... 255, on the processor: all that is random in a field.

    Args:
        *count: Leading dimensions.
        generator: Draws them; None for torch's own.

    Returns:
        (*count, 256).
    """
    return torch.rand(*count, TABLE, generator=generator).argsort(-1)


def fractal(
    size: tuple[int, int],
    depth: Tensor,
    table: Tensor,
    *,
    octaves: int = 6,
    persistence: float = 0.8,
    frequency: float = 64.0,
) -> Tensor:
    """Return noise in several sizes: slices through 3-D fields, all lengths in pixels.

    Mean 0; the standard deviation is 0.31 for one octave, 0.5 for the defaults.

    AnoDDPM's code draws OpenSimplex noise. Its lattice is another, but its bumps have our shape, twice as wide; noise
    of random gradients on any lattice has the spectrum of its bump. So at half the coordinates, and 0.8 times as high,
    ours has the same spectrum and the same standard deviation.

    Args:
        size: (height, width).
        depth: (N,), where the slices lie.
        table: (N, C, 256), see `tables`.
        octaves: How many sizes of hills.
        persistence: How high those of each octave are, relative to the one before.
        frequency: Width of the first octave's hills; each further one has half of it. A larger number is a lower
            frequency: the official code's word, kept.

    Returns:
        (N, C, *size).
    """
    rows, columns = (torch.arange(side, dtype=torch.float32, device=table.device) for side in size)
    plane = torch.cartesian_prod(rows, columns).expand(len(table), -1, -1)  # N, P, 2
    points = torch.cat([plane, depth.to(plane)[:, None, None].expand(-1, plane.shape[1], 1)], dim=2)
    total = torch.zeros(*table.shape[:2], points.shape[1], device=points.device)
    for octave in range(octaves):
        total += persistence**octave * simplex(points * (2**octave / (2 * frequency)), table)
    return 0.8 * total.view(*table.shape[:2], *size)
