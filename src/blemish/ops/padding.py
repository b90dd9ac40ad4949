"""Growing an image by its own mirror image, to a size that a network can take."""

from __future__ import annotations

import torch
from torch import Tensor


def pad_to(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (..., H, W) mirrored at its lower and right border up to `size`; sides that are long enough stay.

    The edge is not repeated (a b c b a b c ...), and the image may be grown to any multiple of itself. Crop back with
    `[..., :H, :W]`.
    """
    for dim, wanted in ((-2, size[0]), (-1, size[1])):
        length = image.shape[dim]
        if length < wanted:
            period = max(1, 2 * (length - 1))
            at = torch.arange(wanted, device=image.device) % period
            image = image.index_select(dim, torch.where(at < length, at, period - at))
    return image


def pad_to_multiple(image: Tensor, step: int) -> Tensor:
    """Return (..., H, W) mirrored at its lower and right border up to the next multiples of `step`."""
    h, w = image.shape[-2:]
    return pad_to(image, (-(-h // step) * step, -(-w // step) * step))
