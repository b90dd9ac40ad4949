"""Quantiles of any number of values, and two of them as the marks of a scale."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def quantile(values: Tensor, share: float) -> Tensor:
    """Return the `share` quantile of all values, interpolated linearly between neighbours as numpy does by default.

    `torch.quantile` refuses more than 16 million values; this takes any number.
    """
    flat = values.flatten()
    at = share * (len(flat) - 1)
    below = math.floor(at)
    low, high = (flat.kthvalue(min(rank, len(flat) - 1) + 1).values for rank in (below, below + 1))
    return torch.lerp(low, high, at - below)


def between(map: Tensor, low: Tensor, high: Tensor, mark: float = 0.1) -> Tensor:
    """Return `map` on the linear scale where `low` is 0 and `high` is `mark`; equal marks leave a finite scale."""
    tiny = torch.finfo(map.dtype).tiny ** 0.5
    return mark * (map - low) / (high - low).clamp_min(tiny)
