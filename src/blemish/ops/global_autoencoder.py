"""EfficientAD's autoencoder: the whole image through one vector, and back to a grid of features.

What it restores depends on the image as a whole, so it notices what a patch cannot show: a part that is absent, or that
lies where it should not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class GlobalAutoencoder(nn.Module):
    """Images to (B, channels, *grid) features, through a code of 64 numbers.

    The image is resized to `side` x `side` pixels first, a multiple of 32; the paper's is 256. Five convolutions of
    stride 2 leave side / 32 cells a side, one more sees them all. On the way back six times: enlarge (to 3, 8, 15, 32, 63
    and 127 cells for 256 pixels), convolve, ReLU, dropout; then to the wanted grid. `width` multiplies the channels.
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
        """Return what the code restores of (B, 3, H, W), normalised."""
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
