"""From a frozen network's feature maps to one description of each patch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def describe(maps: Sequence[Tensor], side: int = 3) -> Tensor:
    """Return what surrounds each place, (B, h, w, C), C the sum of the maps' channels, on the grid of the first map.

    Every map, (B, C_i, h_i, w_i), is averaged over the `side` x `side` neighbourhood of each cell (`side` is odd, cells
    beyond the border count as zeros) and then enlarged, bilinear, to the first map's grid.
    """
    size = maps[0].shape[2:]
    averaged = [F.avg_pool2d(m, side, stride=1, padding=side // 2) for m in maps]
    aligned = [averaged[0], *(F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in averaged[1:])]
    return torch.cat(aligned, dim=1).permute(0, 2, 3, 1)
