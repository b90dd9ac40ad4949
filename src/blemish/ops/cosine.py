"""How far two descriptions point apart, whatever their lengths."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cosine_distance(one: Tensor, other: Tensor) -> Tensor:
    """Return 1 - cos between the channels of (B, C, ...) descriptions, (B, ...), in [0, 2].

    Computed as half the squared distance of the unit vectors: the same number, but never negative, and exact where both
    are equal. A zero vector lies at distance 1/2 from every direction (and 0 from another zero vector).
    """
    return (F.normalize(one, dim=1) - F.normalize(other, dim=1)).square().sum(1) / 2
