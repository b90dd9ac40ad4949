"""Cutting a piece out of a picture and pasting it elsewhere in the same picture: defects made of nothing foreign.

Li, Sohn, Yoon and Pfister, "CutPaste", CVPR 2021. A picture is (3, H, W) in [0, 1]; what is random is drawn from the
generator, on the processor. The picture that was given is left as it is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from blemish.ops.colour import jitter_all
from blemish.ops.turn import turn


def paste_patch(
    image: Tensor,
    generator: torch.Generator,
    *,
    area: tuple[float, float] = (0.02, 0.15),
    aspect: float = 0.3,
    jitter: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Return the picture with a rectangle of it pasted elsewhere, and the mask (H, W) bool of where.

    The rectangle covers a share of the picture that is uniform in `area`; its width over its height lies between `aspect`
    and 1 / `aspect`, uniform in the logarithm, so that lying and standing ones are as many. Its colours are jittered.
    """
    h, w = image.shape[1:]
    pixels = _between(*area, generator) * h * w
    ratio = math.exp(_between(math.log(aspect), -math.log(aspect), generator))
    rows, columns = _side(math.sqrt(pixels / ratio), h), _side(math.sqrt(pixels * ratio), w)
    patch = jitter_all(image[:, *_place(image, rows, columns, generator)], jitter, generator)
    inside = torch.ones(rows, columns, dtype=torch.bool, device=image.device)
    return _pasted(image, patch, inside, generator)


def paste_scar(
    image: Tensor,
    generator: torch.Generator,
    *,
    width: tuple[float, float] = (2, 16),
    length: tuple[float, float] = (10, 25),
    angle: float = 45,
    jitter: float = 0.1,
) -> tuple[Tensor, Tensor]:
    """Return the picture with a thin, turned strip of it pasted elsewhere, and the mask (H, W) bool of where.

    `width` and `length` are ranges in pixels, whatever the size of the picture. The strip stands upright where it is cut
    and is turned by up to `angle` degrees either way. Its colours are jittered.
    """
    across, along = _between(*width, generator), _between(*length, generator)
    turned = math.radians(_between(-angle, angle, generator))
    side = min(
        math.ceil(math.hypot(across, along)), *image.shape[1:]
    )  # of the square that holds it however it is turned
    square = jitter_all(image[:, *_place(image, side, side, generator)], jitter, generator)
    return _pasted(image, turn(square, turned), strip(side, across, along, turned).to(image.device), generator)


def strip(side: int, across: float, along: float, angle: float) -> Tensor:
    """Return the mask (side, side) bool of an upright rectangle turned by `angle` radians, anticlockwise as it is seen."""
    at = torch.arange(side) - (side - 1) / 2
    y, x = at[:, None], at[None]
    c, s = math.cos(angle), math.sin(angle)
    return ((c * x - s * y).abs() <= across / 2) & ((s * x + c * y).abs() <= along / 2)


def _pasted(image: Tensor, piece: Tensor, inside: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Paste what is `inside` of a piece (3, h, w) at a random place; return the picture and the mask."""
    place = _place(image, piece.shape[1], piece.shape[2], generator)
    pasted, mask = image.clone(), torch.zeros(image.shape[1:], dtype=torch.bool, device=image.device)
    pasted[:, *place] = torch.where(inside, piece, pasted[:, *place])
    mask[place] = inside
    return pasted, mask


def _place(image: Tensor, rows: int, columns: int, generator: torch.Generator) -> tuple[slice, slice]:
    top, left = (
        int(torch.randint(whole - side + 1, (), generator=generator))
        for whole, side in zip(image.shape[1:], (rows, columns), strict=True)
    )
    return slice(top, top + rows), slice(left, left + columns)


def _side(wanted: float, most: int) -> int:
    return min(max(round(wanted), 1), most)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
