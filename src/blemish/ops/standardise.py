"""Mean and deviation of each channel over many maps, in one pass."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def channel_statistics(maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (C,) of every channel of (B, C, h, w) maps, over all images and places.

    Sums are gathered in float64, so that they do not cancel. A channel that never changes has the deviation 1.
    """
    count, total, squares = 0, torch.zeros(()), torch.zeros(())
    for map in maps:
        each = map.double().transpose(0, 1).flatten(1)
        count += each.shape[1]
        total, squares = total.to(each) + each.sum(1), squares.to(each) + each.square().sum(1)
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt()
    still = std <= 1e-6 * mean.abs() + 1e-12
    return mean.float(), torch.where(still, torch.ones_like(std), std).float()
