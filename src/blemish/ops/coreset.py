"""Greedy k-centre selection: the few points that leave no other point far from them."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.errors import InputError


def greedy_coreset(
    points: Tensor, count: int, *, projection: int | None = 128, starts: int = 10, seed: int = 0
) -> Tensor:
    """Return the indices, (count,) int64 in the order they were picked, of a greedy k-centre subset of (N, D) points.

    Each pick is the point farthest from all picks so far. Distances are measured after a random Gaussian projection to
    `projection` dimensions (None, or D not larger: as they are). The first pick is the point with the largest mean
    distance to `starts` random points, which are not picked themselves, as in the official PatchCore code. With a given
    seed the result is deterministic. Memory beyond the projected points: two vectors of N.

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
    nearest = torch.stack([_squared(points, norms, i).sqrt() for i in first]).mean(0).square()
    picks = torch.empty(count, dtype=torch.int64, device=points.device)
    for step in range(count):
        pick = nearest.argmax()
        picks[step] = pick
        torch.minimum(nearest, _squared(points, norms, pick), out=nearest)
        nearest[pick] = -1.0  # rounding, or a twin, must not bring it back
    return picks


def _squared(points: Tensor, norms: Tensor, index: Tensor) -> Tensor:
    """Squared distances of all points to one of them: norms and one matrix-vector product, no (N, D) temporary."""
    return torch.addmv(norms + norms[index], points, points[index], alpha=-2).clamp_(min=0)
