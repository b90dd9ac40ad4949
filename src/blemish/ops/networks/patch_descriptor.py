"""The patch description network (PDN) of EfficientAD: four or six convolutions that see 33 x 33 pixels a place.

No convolution pads, so a place is described by its own pixels alone, wherever it lies: a defect cannot change what is said
about a place it does not touch. Two poolings make the cells lie 4 pixels apart; `BORDER` cells along each edge of the image
have no description because their patch would leave the image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.errors import InputError

BORDER = 4
"""Cells of 4 pixels between the edge of the image and the first description."""
LEAST = 33
"""The shortest side of an image, in pixels, that gives a grid of at least one cell."""


def patch_descriptor(size: Literal["s", "m"], channels: int = 384, width: float = 1.0) -> nn.Sequential:
    """Return a patch description network (PDN).

    256 x 256 pixels become 56 x 56 cells. With 384 channels "s" has 2.7 and "m" 8.0 million parameters.

    Args:
        size: "s" or "m".
        channels: Channels of the output.
        width: Multiplies the channels inside.

    Returns:
        Normalised (B, 3, H, W) to (B, channels, about H / 4 - 8, about W / 4 - 8).
    """
    small, large = (max(1, round(count * width)) for count in ((128, 256) if size == "s" else (256, 512)))
    start = [nn.Conv2d(3, small, 4), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(small, large, 4), nn.ReLU(), nn.AvgPool2d(2)]
    if size == "s":
        return nn.Sequential(*start, nn.Conv2d(large, large, 3), nn.ReLU(), nn.Conv2d(large, channels, 4))
    middle = [nn.Conv2d(large, large, 1), nn.ReLU(), nn.Conv2d(large, large, 3), nn.ReLU()]
    end = [nn.Conv2d(large, channels, 4), nn.ReLU(), nn.Conv2d(channels, channels, 1)]
    return nn.Sequential(*start, *middle, *end)


def prepare(image: Tensor) -> Tensor:
    """Normalise images by the mean and deviation of ImageNet, as published PDN weights expect.

    Args:
        image: (B, 3, H, W) RGB in [0, 1].

    Returns:
        (B, 3, H, W).

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
    """Return the target of a PDN for an image, given a backbone's maps of it.

    Patches are described as PatchCore does: the 3 x 3 neighbourhood is averaged, every level is brought to one grid and
    to its share of the channels (by averaging neighbouring channels, or repeating them). The grid is that of the whole
    image; the `BORDER` cells that a PDN has no description for are cut off.

    Args:
        maps: (B, C, h, w) each.
        channels: Channels of the target.
        grid: (height, width) of the target.

    Returns:
        (B, channels, *grid).
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


def channel_statistics(maps: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of every channel, over all images and positions.

    Sums are gathered in float64, so that they do not cancel. A channel that never changes has the deviation 1.

    Args:
        maps: (B, C, h, w) each.

    Returns:
        Mean and standard deviation, (C,) each.
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


class GlobalAutoencoder(nn.Module):
    """Images to features, through a code of 64 numbers.

    Five convolutions of stride 2 leave side / 32 cells a side, one more sees them all. On the way back six times:
    enlarge (to 3, 8, 15, 32, 63 and 127 cells for 256 pixels), convolve, ReLU, dropout; then to the wanted grid.

    Args:
        channels: Channels of the output.
        side: Side that images are resized to, in pixels, a multiple of 32; the paper's is 256.
        width: Multiplies the channels inside.
    """

    def __init__(self, channels: int = 384, side: int = 256, width: float = 1.0) -> None:
        super().__init__()
        self.side = side
        self.sides = [max(1, side // part - odd) for part, odd in ((64, 1), (32, 0), (16, 1), (8, 0), (4, 1), (2, 1))]
        few, many = max(1, round(32 * width)), max(1, round(64 * width))
        self.encoder = nn.Sequential(*_halving(3, few, few, many, many, many), nn.Conv2d(many, many, side // 32))
        self.decoder = nn.ModuleList(nn.Conv2d(many, many, 4, padding=2) for _ in self.sides)
        self.dropout = nn.Dropout(0.2)
        self.last = nn.Sequential(
            nn.Conv2d(many, many, 3, padding=1), nn.ReLU(), nn.Conv2d(many, channels, 3, padding=1)
        )

    def forward(self, image: Tensor, grid: tuple[int, int]) -> Tensor:
        """Return what the code restores.

        Args:
            image: (B, 3, H, W), normalised.
            grid: (height, width) of the output.

        Returns:
            (B, channels, *grid).
        """
        square = (self.side, self.side)
        if image.shape[2:] != square:
            image = F.interpolate(image, square, mode="bilinear", align_corners=False, antialias=True)
        x = self.encoder(image)
        for side, convolution in zip(self.sides, self.decoder, strict=True):
            x = F.interpolate(x, (side, side), mode="bilinear", align_corners=False)
            x = self.dropout(F.relu(convolution(x)))
        out: Tensor = self.last(F.interpolate(x, grid, mode="bilinear", align_corners=False))
        return out


def _halving(*channels: int) -> Iterator[nn.Module]:
    for inside, outside in pairwise(channels):
        yield from (nn.Conv2d(inside, outside, 4, stride=2, padding=1), nn.ReLU())
