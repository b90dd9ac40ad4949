"""Where a place lies in an image, as numbers a network can use."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blemish.errors import InputError


def positions_2d(channels: int, h: int, w: int) -> Tensor:
    """Return the sinusoidal encoding of a grid's places, (channels, h, w).

    The first half of the channels encodes the column x, the second the row y, each as sin(f x), cos(f x) in turn at
    channels / 4 frequencies f that fall geometrically from 1 to about 1 / 10 000 (Vaswani et al., "Attention is all you
    need", NeurIPS 2017, in two dimensions). Numbers lie in [-1, 1].

    Raises:
        InputError: `channels` is not a positive multiple of 4.
    """
    if channels < 4 or channels % 4:
        raise InputError(f"a position encoding of {channels} channels: it must be a multiple of 4, for example 128")
    half = channels // 2
    frequencies = torch.exp(torch.arange(0, half, 2) * (-math.log(10_000) / half))  # (half / 2,)
    code = torch.empty(channels, h, w)
    for first, angles in (
        (0, (frequencies[:, None] * torch.arange(w))[:, None].expand(-1, h, -1)),
        (half, (frequencies[:, None] * torch.arange(h))[:, :, None].expand(-1, -1, w)),
    ):
        code[first : first + half : 2] = angles.sin()
        code[first + 1 : first + half : 2] = angles.cos()
    return code
