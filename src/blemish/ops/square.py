"""Networks that know one square size: bring any image to it, and count the halvings down to their coarsest grid."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from blemish.errors import InputError


def to_square(image: Tensor, side: int) -> Tensor:
    """Return (B, C, H, W) images in [0, 1] as (B, C, side, side) in [-1, 1]: bilinear, antialiased when shrinking."""
    if image.shape[2:] != (side, side):
        image = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return 2 * image - 1


def halvings(image_size: int, smallest: int = 4) -> int:
    """Return how often `image_size` must be halved to become `smallest`, at least once.

    Raises:
        InputError: `image_size` is not `smallest` times a power of two.
    """
    times, side = 0, smallest
    while side < image_size:
        times, side = times + 1, side * 2
    if side != image_size or times == 0:
        raise InputError(
            f"image_size is {image_size}; it must be a power of two, at least {2 * smallest}: 32, 64, 128, ... "
            "Images of any other size are resized to it."
        )
    return times
