"""The U-Net of diffusion models: at every size, residual blocks that are told the time, and attention where maps are small.

The network of Ho, Jain and Abbeel (2020) as Dhariwal and Nichol (2021, "guided diffusion") changed it: maps are halved and
doubled inside residual blocks. On the way up each block also sees the map of its counterpart on the way down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.ops.networks.layers import double_convolve


class UNet(nn.Module):
    """A U-Net that is told the time; it begins as the function that is 0 everywhere.

    Level i has maps of 1 / 2^i of the input's size with `width` x `multipliers`[i] channels.

    Args:
        channels: Channels of input and output.
        width: Channels that `multipliers` multiply, a multiple of 4.
        multipliers: One a level.
        blocks: Residual blocks a level; there is one more on the way up.
        attention: Where 2^i is among these, each block is followed by self-attention; so is the first at the bottom
            always.
        heads: Heads of the self-attention.
        dropout: Dropout rate inside the blocks.
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 128,
        multipliers: Sequence[int] = (1, 1, 2, 2, 4, 4),
        *,
        blocks: int = 2,
        attention: Sequence[int] = (16, 32),
        heads: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width, widths, time = width, [width * m for m in multipliers], 4 * width
        self.time = nn.Sequential(nn.Linear(width, time), nn.SiLU(), nn.Linear(time, time))

        def stage(into: int, out: int, level: int) -> list[nn.Module]:
            attend = [Attention(out, heads)] if 2**level in attention else []
            return [Residual(into, out, time, dropout=dropout), *attend]

        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down, handed = nn.ModuleList(), [width]  # `handed`: channels of the maps that are handed across
        for level, (into, out) in enumerate(pairwise([width, *widths])):
            if level:
                self.down.append(Timed([Residual(into, into, time, resize=0.5, dropout=dropout)]))
                handed.append(into)
            for i in range(blocks):
                self.down.append(Timed(stage(out if i else into, out, level)))
                handed.append(out)
        bottom = widths[-1]
        ends = [Residual(bottom, bottom, time, dropout=dropout) for _ in range(2)]
        self.middle = Timed([ends[0], Attention(bottom, heads), ends[1]])
        self.up, into = nn.ModuleList(), bottom
        for level in reversed(range(len(widths))):
            for i in range(blocks + 1):
                modules = stage(into + handed.pop(), widths[level], level)
                into = widths[level]
                if level and i == blocks:
                    modules.append(Residual(into, into, time, resize=2.0, dropout=dropout))
                self.up.append(Timed(modules))
        self.last = nn.Sequential(norm(into), nn.SiLU(), silent(nn.Conv2d(into, channels, 3, padding=1)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the prediction at time t.

        Args:
            x: (B, channels, H, W); H and W are multiples of 2^(len(multipliers) - 1).
            t: Times, (B,).

        Returns:
            (B, channels, H, W).
        """
        time = self.time(time_embedding(t, self.width).to(x))
        x = self.first(x)
        handed = [x]
        for down in self.down:
            x = down(x, time)
            handed.append(x)
        x = self.middle(x, time)
        for up in self.up:
            x = up(torch.cat([x, handed.pop()], dim=1), time)
        found: Tensor = self.last(x)
        return found


class Timed(nn.ModuleList):
    """Modules in a row, each of which takes the time as well."""

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Apply the modules one after the other.

        Args:
            x: (B, C, H, W).
            time: The time's embedding, (B, time).

        Returns:
            The last module's map.
        """
        for module in self:
            x = module(x, time)
        return x


class Residual(nn.Module):
    """Two convolutions, the time added between them, and a shortcut around both.

    Args:
        into: Channels of the input.
        out: Channels of the output.
        time: Length of the time's embedding.
        resize: 0.5, 1 or 2, of the map.
        dropout: Dropout rate.
    """

    def __init__(self, into: int, out: int, time: int, *, resize: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.resize = resize
        self.norm_in, self.conv_in = norm(into), nn.Conv2d(into, out, 3, padding=1)
        self.told = nn.Linear(time, out)
        self.norm_out, self.conv_out = norm(out), silent(nn.Conv2d(out, out, 3, padding=1))
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Identity() if into == out else nn.Conv2d(into, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return the map (B, out, H, W), H and W times `resize`.

        Args:
            x: (B, into, H, W).
            time: (B, time).

        Returns:
            (B, out, H', W'), the sides multiplied by `resize`.
        """
        h = F.silu(self.norm_in(x))
        h = double_convolve(h, self.conv_in) if self.resize > 1 else self.conv_in(self._resized(h))
        h = h + self.told(F.silu(time))[:, :, None, None]
        h = self.conv_out(self.dropout(F.silu(self.norm_out(h))))
        found: Tensor = self.shortcut(self._resized(x)) + h
        return found

    def _resized(self, x: Tensor) -> Tensor:
        if self.resize < 1:
            return F.avg_pool2d(x, 2)
        return F.interpolate(x, scale_factor=2, mode="nearest") if self.resize > 1 else x


class Attention(nn.Module):
    """Self-attention: each position of the map attends to all others; the result is added.

    Args:
        channels: Channels of the map.
        heads: Divides `channels`.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.ask = norm(channels), nn.Conv2d(channels, 3 * channels, 1)
        self.tell = silent(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor, time: Tensor | None = None) -> Tensor:
        """Attend; the time does not matter.

        Args:
            x: (B, C, H, W).
            time: Ignored.

        Returns:
            (B, C, H, W).
        """
        b, c, h, w = x.shape
        asked = self.ask(self.norm(x)).view(b, self.heads, 3, c // self.heads, h * w)
        query, key, value = asked.transpose(3, 4).unbind(2)  # (B, heads, H W, C / heads)
        found = F.scaled_dot_product_attention(query, key, value)
        told: Tensor = x + self.tell(found.transpose(2, 3).reshape(b, c, h, w))
        return told


def time_embedding(t: Tensor, width: int) -> Tensor:
    """Return times as waves: sines, then cosines, of frequencies 1 down to (almost) 1 / 10000.

    Args:
        t: (B,).
        width: Even.

    Returns:
        (B, width).
    """
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / half))
    angle = t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=1)


def norm(channels: int) -> nn.GroupNorm:
    """Return group norm: 32 groups as published, fewer in narrow maps so that a group has at least 4 channels.

    Args:
        channels: Channels of the map.

    Returns:
        The layer.
    """
    return nn.GroupNorm(math.gcd(32, channels // 4), channels)


def silent(layer: nn.Conv2d) -> nn.Conv2d:
    """Set all weights of a layer to 0: the branch it ends then begins as if it was not there.

    Args:
        layer: Changed in place.

    Returns:
        The same layer.
    """
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
