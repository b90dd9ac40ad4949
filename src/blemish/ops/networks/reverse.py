"""From a pyramid of features to one small code, and back: the trainable half of reverse distillation.

`Embedding` fuses the levels of a frozen encoder and compresses them to a code on half the deepest grid; `Decoder` restores
the pyramid from the code alone. Both are made of a WideResNet's bottleneck blocks: 1 x 1, 3 x 3, 1 x 1 convolutions beside
a shortcut, half as wide inside as outside. Where a block grows, its 3 x 3 convolution and its shortcut are transposed
2 x 2 convolutions of stride 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Bottleneck(nn.Module):
    """A residual block that halves, keeps or doubles the grid.

    Args:
        inside: Channels of the input.
        outside: Channels of the output.
        scale: 0.5, 1 or 2.
        rectified: False leaves out the last ReLU, so that the output can be negative.
    """

    def __init__(self, inside: int, outside: int, scale: float = 1, rectified: bool = True) -> None:
        super().__init__()
        width = outside // 2
        self.path = nn.Sequential(
            *_normed(nn.Conv2d(inside, width, 1, bias=False)),
            nn.ReLU(),
            *_normed(_scaling(width, width, 3, scale)),
            nn.ReLU(),
            *_normed(nn.Conv2d(width, outside, 1, bias=False)),
        )
        plain = scale == 1 and inside == outside
        self.shortcut = nn.Identity() if plain else nn.Sequential(*_normed(_scaling(inside, outside, 1, scale)))
        self.last = nn.ReLU() if rectified else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of the path and the shortcut.

        Args:
            x: (B, inside, H, W).

        Returns:
            (B, outside, H', W').
        """
        out: Tensor = self.last(self.path(x) + self.shortcut(x))
        return out


class Embedding(nn.Module):
    """Multi-scale feature fusion and one-class embedding: the bottleneck that anomalies cannot pass.

    Every level is brought to the deepest grid by 3 x 3 convolutions of stride 2, one a halving; all together are
    compressed to (B, 2 * channels[-1], h / 2, w / 2).

    Args:
        channels: Channels of the levels, shallow first, each on half the grid of the one before; odd sides are rounded
            up.
        blocks: Bottleneck blocks that compress, the first of stride 2.
    """

    def __init__(self, channels: Sequence[int], blocks: int = 3) -> None:
        super().__init__()
        fusion = []
        for level in range(len(channels)):
            steps = zip(channels[level:], channels[level + 1 :], strict=False)
            layers = [[*_normed(_scaling(inside, outside, 3, 0.5)), nn.ReLU()] for inside, outside in steps]
            fusion.append(nn.Sequential(*(layer for step in layers for layer in step)))
        self.fusion = nn.ModuleList(fusion)
        fused, code = len(channels) * channels[-1], 2 * channels[-1]
        self.embedding = nn.Sequential(
            Bottleneck(fused, code, 0.5), *(Bottleneck(code, code) for _ in range(blocks - 1))
        )
        start(self)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the code of a pyramid, shallow levels first.

        Args:
            levels: The pyramid, shallow first.

        Returns:
            The code.
        """
        fused = [fuse(level) for fuse, level in zip(self.fusion, levels, strict=True)]
        out: Tensor = self.embedding(torch.cat(fused, dim=1))
        return out


class Decoder(nn.Module):
    """The encoder mirrored: from the code of `Embedding` back to every level, the deepest first.

    Args:
        channels: Channels of the levels, shallow first.
        blocks: Bottleneck blocks that restore each level, deepest first; the first of them doubles the grid.
        rectified: Whether the levels are maps behind a ReLU; else the last block of each level ends without one.
    """

    def __init__(self, channels: Sequence[int], blocks: Sequence[int], rectified: bool = True) -> None:
        super().__init__()
        stages, inside = [], 2 * channels[-1]
        for outside, count in zip(reversed(channels), blocks, strict=True):
            ends = [True] * (count - 1) + [rectified]
            first = Bottleneck(inside, outside, 2, ends[0])
            stages.append(nn.Sequential(first, *(Bottleneck(outside, outside, 1, end) for end in ends[1:])))
            inside = outside
        self.stages = nn.ModuleList(stages)
        start(self)

    def forward(self, code: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
        """Return the levels.

        Where a side was rounded up on the way down, the doubled grid has a row or column too many; it is cut off.

        Args:
            code: The code of `Embedding`.
            sizes: (h, w) of the levels, shallow first.

        Returns:
            The levels, shallow first.
        """
        levels = []
        for stage, (h, w) in zip(self.stages, reversed(sizes), strict=True):
            code = stage(code)[:, :, :h, :w]
            levels.append(code)
        return levels[::-1]


def start(module: nn.Module) -> None:
    """Draw the weights of all plain convolutions as He et al. (2015) do, for ReLUs and by the outgoing channels.

    Args:
        module: Changed in place.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def _scaling(inside: int, outside: int, kernel: int, scale: float) -> nn.Module:
    if scale == 2:
        return nn.ConvTranspose2d(inside, outside, 2, 2, bias=False)
    return nn.Conv2d(inside, outside, kernel, 2 if scale == 0.5 else 1, kernel // 2, bias=False)


def _normed(convolution: nn.Module) -> tuple[nn.Module, nn.Module]:
    outside = convolution.out_channels
    assert isinstance(outside, int)  # noqa: S101 - for the type checker: every convolution has it
    return convolution, nn.BatchNorm2d(outside)
