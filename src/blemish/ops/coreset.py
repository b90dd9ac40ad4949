"""Greedy k-centre selection: the few points that leave no other point far from them."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.errors import InputError
from blemish.progress import progress


def greedy_coreset(
    points: Tensor, count: int, *, projection: int | None = 128, starts: int = 10, seed: int = 0
) -> Tensor:
    """Return the indices, (count,) int64 in the order they were picked, of a greedy k-centre subset of (N, D) points.

    Each pick is the point farthest from all picks so far. Distances are measured after a random Gaussian projection to
    `projection` dimensions (None, or D not larger: as they are). The first pick is the point with the largest mean
    distance to `starts` random points, which are not picked themselves, as in the official PatchCore code. With a given
    seed the result is deterministic. Memory beyond the projected points: a few vectors of N.

    A point whose nearest pick is at distance r cannot be nearer to a new pick that is 2 r or more away from that nearest
    pick (triangle inequality): such distances are not computed, and the picks are the same.

    Raises:
        InputError: `count` is not between 1 and N.
    """
    n, dims = points.shape
    if not 1 <= count <= n:
        raise InputError(f"a coreset of {count} of {n} points is impossible; ask for 1 to {n}")
    generator = torch.Generator().manual_seed(seed)
    points = points.float()
    if projection is not None and projection < dims:
        matrix = torch.randn(dims, projection, generator=generator) / projection**0.5
        points = points @ matrix.to(points.device)
    norms = points.square().sum(1)
    first = torch.randperm(n, generator=generator)[: min(starts, n)].to(points.device)
    nearest = torch.stack([_squared(points, norms, points[i], norms[i]).sqrt() for i in first]).mean(0).square()
    owner = torch.zeros(n, dtype=torch.int64, device=points.device)  # 0: no pick is known to be near, so never skipped
    centres = points.new_zeros(count, points.shape[1])
    to_centres = points.new_zeros(count + 1)
    picks = torch.empty(count, dtype=torch.int64, device=points.device)
    for step in progress(range(count), "coreset"):
        pick = nearest.argmax()
        picks[step], centres[step] = pick, points[pick]
        to_centres[1 : step + 1] = _squared(centres[:step], norms[picks[:step]], points[pick], norms[pick])
        # A little slack: rounding must not skip a point that would have moved.
        near = (to_centres[owner] < 4.001 * nearest).nonzero()[:, 0]
        if 4 * len(near) > n:  # gathering so many rows would cost more than looking at all of them
            squared = _squared(points, norms, points[pick], norms[pick])
            moved = (squared < nearest).nonzero()[:, 0]
            nearest[moved], owner[moved] = squared[moved], step + 1
        else:
            squared = _squared(points[near], norms[near], points[pick], norms[pick])
            closer = squared < nearest[near]
            moved = near[closer]
            nearest[moved], owner[moved] = squared[closer], step + 1
        nearest[pick] = -1.0  # rounding, or a twin, must not bring it back
    return picks


def _squared(points: Tensor, norms: Tensor, point: Tensor, norm: Tensor) -> Tensor:
    """Squared distances of all points to one: norms and one matrix-vector product, no temporary of (N, D)."""
    return torch.addmv(norms + norm, points, point, alpha=-2).clamp_(min=0)
