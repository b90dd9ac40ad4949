"""The patch description network (PDN) of EfficientAD: four or six convolutions that see 33 x 33 pixels a place.

No convolution pads, so a place is described by its own pixels alone, wherever it lies: a defect cannot change what is said
about a place it does not touch. Two poolings make the cells lie 4 pixels apart; `BORDER` cells along each edge of the image
have no description because their patch would leave the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.errors import InputError

BORDER = 4
"""Cells of 4 pixels between the edge of the image and the first description."""
LEAST = 33
"""The shortest side of an image, in pixels, that gives a grid of at least one cell."""


def patch_descriptor(size: Literal["s", "m"], channels: int = 384, width: float = 1.0) -> nn.Sequential:
    """Return a PDN: normalised (B, 3, H, W) to (B, channels, about H / 4 - 8, about W / 4 - 8).

    256 x 256 pixels become 56 x 56 cells. With 384 channels "s" has 2.7 and "m" 8.0 million parameters. `width` multiplies
    the channels inside.
    """
    small, large = (max(1, round(count * width)) for count in ((128, 256) if size == "s" else (256, 512)))
    start = [nn.Conv2d(3, small, 4), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(small, large, 4), nn.ReLU(), nn.AvgPool2d(2)]
    if size == "s":
        return nn.Sequential(*start, nn.Conv2d(large, large, 3), nn.ReLU(), nn.Conv2d(large, channels, 4))
    middle = [nn.Conv2d(large, large, 1), nn.ReLU(), nn.Conv2d(large, large, 3), nn.ReLU()]
    end = [nn.Conv2d(large, channels, 4), nn.ReLU(), nn.Conv2d(channels, channels, 1)]
    return nn.Sequential(*start, *middle, *end)


def prepare(image: Tensor) -> Tensor:
    """Return RGB in [0, 1], (B, 3, H, W), by the mean and deviation of ImageNet, as published PDN weights want it.

    Raises:
        InputError: not even one patch fits into the image.
    """
    if min(image.shape[2:]) < LEAST:
        raise InputError(
            f"an image of {tuple(image.shape[2:])} pixels is too small for a PDN; each side needs {LEAST}."
        )
    mean, std = image.new_tensor([0.485, 0.456, 0.406]), image.new_tensor([0.229, 0.224, 0.225])
    return (image - mean.view(3, 1, 1)) / std.view(3, 1, 1)


def patch_targets(maps: Sequence[Tensor], channels: int, grid: tuple[int, int]) -> Tensor:
    """Return what a PDN shall say about an image, (B, channels, *grid), given a backbone's maps of it, (B, C, h, w) each.

    As PatchCore describes patches: the 3 x 3 neighbourhood is averaged, every level is brought to one grid and to its
    share of the channels (by averaging neighbouring channels, or repeating them). The grid is that of the whole image; the
    `BORDER` cells that a PDN has no description for are cut off.
    """
    whole = (grid[0] + 2 * BORDER, grid[1] + 2 * BORDER)
    parts = []
    for level, map in enumerate(maps):
        share = (level + 1) * channels // len(maps) - level * channels // len(maps)
        around = F.avg_pool2d(map, 3, stride=1, padding=1)
        grown = F.interpolate(around, whole, mode="bilinear", align_corners=False)
        inside = grown[:, :, BORDER:-BORDER, BORDER:-BORDER].permute(0, 2, 3, 1).flatten(1, 2)  # B, places, C
        parts.append(F.adaptive_avg_pool1d(inside, share))
    return torch.cat(parts, dim=2).transpose(1, 2).reshape(-1, channels, *grid)
