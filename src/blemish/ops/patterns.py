"""Pictures of nothing in particular, drawn from random numbers: clouds, waves, islands, and mixtures of them.

They stand in for the photographs that some methods want of "anything else". They have edges, textures, flat areas and
colours at all scales, but no objects.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Pictures = Callable[[int, tuple[int, int]], Tensor]
"""Draws so many pictures of a (height, width): (n, 3, height, width) in [0, 1], on the processor."""


def patterns(count: int, size: tuple[int, int]) -> Tensor:
    """Return (count, 3, *size) pictures in [0, 1], drawn with torch's global generator of the processor."""
    return torch.stack([_picture(size) for _ in range(count)]) if count else torch.empty(0, 3, *size)


def _picture(size: tuple[int, int]) -> Tensor:
    """One material on another: each a random field painted with two colours and a little noise of its own."""
    one, other, where = _painted(size), _painted(size), _islands(size)
    return torch.lerp(one, other, where).clamp(0, 1)


def _painted(size: tuple[int, int]) -> Tensor:
    field = (_clouds, _waves, _islands)[int(torch.randint(3, ()))](size)
    dark, bright = torch.rand(2, 3, 1, 1)
    grain = 0.15 * torch.rand(()) ** 2 * torch.randn(3, *size)
    return torch.lerp(dark, bright, field) + grain


def _clouds(size: tuple[int, int]) -> Tensor:
    """Noise of several octaves, (h, w) in [0, 1]; how fast they fade is drawn: from smooth to rough."""
    fade = 0.3 + 0.7 * torch.rand(())
    total = torch.zeros(size)
    for octave in range(1, 2 + int(math.log2(min(size)))):
        cells = [min(side, 2**octave) for side in size]
        grid = torch.rand(1, 1, *cells)
        total += fade**octave * F.interpolate(grid, size, mode="bicubic", align_corners=False)[0, 0]
    return _unit(total)


def _waves(size: tuple[int, int]) -> Tensor:
    """Stripes or a grid of a random period, angle and hardness, bent by clouds; (h, w) in [0, 1]."""
    y, x = torch.meshgrid(*(torch.arange(float(side)) for side in size), indexing="ij")
    period = 3 * (max(size) / 6) ** torch.rand(())
    turn, hard = torch.rand(()) * math.pi, 10 * torch.rand(()) ** 2 + 0.5
    bent = _clouds(size) * 2 * torch.rand(())
    across, along = x * turn.cos() + y * turn.sin(), y * turn.cos() - x * turn.sin()
    wave = torch.sin(2 * math.pi * (across / period + bent))
    if torch.rand(()) < 0.4:
        wave = wave * torch.sin(2 * math.pi * along / period)
    return torch.sigmoid(hard * wave)


def _islands(size: tuple[int, int]) -> Tensor:
    """Clouds cut at a random height, with an edge of random sharpness; (h, w) in [0, 1]."""
    return torch.sigmoid((_clouds(size) - 0.3 - 0.4 * torch.rand(())) * 10 ** (1 + 1.5 * torch.rand(())))


def _unit(field: Tensor) -> Tensor:
    return (field - field.min()) / (field.max() - field.min()).clamp_min(1e-9)
