"""Maps of features and maps of anomalies: patches of the first, distances between them, and the way to the image's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def enlarge(map: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize scores, bilinear, pixel centres aligned (align_corners=False).

    Args:
        map: (B, h, w).
        size: (height, width).

    Returns:
        (B, *size).
    """
    return F.interpolate(map[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def blur(map: Tensor, sigma: float = 4.0) -> Tensor:
    """Smooth scores by a Gaussian, in floats.

    Separable, cut at 4 sigma, mirrored at the borders with the edge repeated: what scipy.ndimage.gaussian_filter does
    by default, which the papers' code calls.

    Args:
        map: (B, H, W).
        sigma: In pixels; 0 changes nothing.

    Returns:
        (B, H, W).
    """
    if sigma <= 0:
        return map
    radius = int(4 * sigma + 0.5)
    at = torch.arange(-radius, radius + 1, dtype=map.dtype, device=map.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    columns = _mirror(map[:, None], 3, radius)
    rows = _mirror(F.conv2d(columns, kernel.view(1, 1, 1, -1)), 2, radius)
    return F.conv2d(rows, kernel.view(1, 1, -1, 1))[:, 0]


def smooth(grid: Tensor, size: tuple[int, int], sigma: float = 4.0) -> Tensor:
    """Return `blur(enlarge(grid, size), sigma)`, for a small part of its cost.

    Both steps are linear and treat rows and columns alike, so together they are one matrix an axis.

    Args:
        grid: (B, h, w) scores.
        size: (height, width).
        sigma: In pixels.

    Returns:
        (B, *size).
    """
    rows, columns = (
        _axis(int(n), int(length), sigma).to(grid.device, grid.dtype)  # plain numbers, also while a graph is exported
        for n, length in zip(grid.shape[1:], size, strict=True)
    )
    return rows @ grid @ columns.T


@lru_cache(maxsize=16)
def _axis(n: int, length: int, sigma: float) -> Tensor:
    """Return what enlarging and blurring do to one axis, (length, n)."""
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(n, dtype=torch.float64)[:, :, None]  # each cell alone, on an axis of one column
        return blur(enlarge(unit, (length, 1)), sigma)[:, :, 0].T.float()


def _mirror(map: Tensor, dim: int, radius: int) -> Tensor:
    """Pad `dim` by `radius` on both sides as ... c b a | a b c ... z | z y x ..., however short it is."""
    length = map.shape[dim]
    at = torch.arange(-radius, length + radius, device=map.device) % (2 * length)
    return map.index_select(dim, torch.where(at < length, at, 2 * length - 1 - at))


def peak(map: Tensor) -> Tensor:
    """Return the largest score of each map.

    Args:
        map: (B, H, W).

    Returns:
        (B,).
    """
    return map.flatten(1).amax(1)


def describe(maps: Sequence[Tensor], side: int = 3) -> Tensor:
    """Describe the neighbourhood of each position, on the grid of the first map.

    Every map is averaged over the neighbourhood of each cell and then enlarged, bilinear, to the first map's grid.

    Args:
        maps: (B, C_i, h_i, w_i) each.
        side: Side of the neighbourhood in cells, odd; cells beyond the border count as zeros.

    Returns:
        (B, h, w, C), C the sum of the maps' channels.
    """
    size = maps[0].shape[2:]
    averaged = [F.avg_pool2d(m, side, stride=1, padding=side // 2) for m in maps]
    aligned = [averaged[0], *(F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in averaged[1:])]
    return torch.cat(aligned, dim=1).permute(0, 2, 3, 1)


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """Return 1 - cos between the channels of two descriptions.

    Computed as half the squared distance of the unit vectors: the same number, but never negative, and exact where both
    are equal. A zero vector lies at distance 1/2 from every direction (and 0 from another zero vector).

    Args:
        one: (B, C, ...).
        other: As `one`.

    Returns:
        (B, ...), in [0, 2].
    """
    return (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(1) / 2
