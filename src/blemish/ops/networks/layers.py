"""Small pieces that several networks are made of: padding, resampling, and the sides that an image must have."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blemish.core.errors import InputError


def pad_to(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (..., H, W) mirrored at its lower and right border up to `size`; sides that are long enough stay.

    The edge is not repeated (a b c b a b c ...), and the image may be grown to any multiple of itself. Crop back with
    `[..., :H, :W]`.

    Args:
        image: (..., H, W).
        size: (height, width) to reach.

    Returns:
        (..., H', W'), at least `size`.
    """
    for dim, wanted in ((-2, size[0]), (-1, size[1])):
        length = image.shape[dim]
        if length < wanted:
            period = max(1, 2 * (length - 1))
            at = torch.arange(wanted, device=image.device) % period
            image = image.index_select(dim, torch.where(at < length, at, period - at))
    return image


def pad_to_multiple(image: Tensor, step: int) -> Tensor:
    """Return (..., H, W) mirrored at its lower and right border up to the next multiples of `step`.

    Args:
        image: (..., H, W).
        step: What both sides shall be multiples of.

    Returns:
        The padded image.
    """
    h, w = image.shape[-2:]
    return pad_to(image, (-(-h // step) * step, -(-w // step) * step))


def convolve_halve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return `avg_pool2d(layer(x), 2)` for a 3 x 3 or 1 x 1 layer that keeps the grid; H and W of x are even.

    Args:
        x: (B, C, H, W).
        layer: The convolution; padding keeps the grid.

    Returns:
        (B, leaving, H / 2, W / 2).
    """
    return F.conv2d(x, _spread(layer.weight) / 4, layer.bias, stride=2, padding=layer.weight.shape[-1] // 2)


def double_convolve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return `layer` of x with every cell repeated 2 x 2, for a 3 x 3 layer that keeps the grid.

    Args:
        x: (B, C, H, W).
        layer: The convolution.

    Returns:
        (B, leaving, 2 H, 2 W).
    """
    turned = layer.weight.flip(2, 3).transpose(0, 1)  # a transposed convolution scatters what a convolution gathers
    return F.conv_transpose2d(x, _spread(turned), layer.bias, stride=2, padding=1)


def _spread(weight: Tensor) -> Tensor:
    """Return the sum of the weights at the four places of a 2 x 2 block: (O, I, k, k) to (O, I, k + 1, k + 1)."""
    rows = F.pad(weight, (0, 0, 1, 0)) + F.pad(weight, (0, 0, 0, 1))
    return F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))


def to_square(image: Tensor, side: int) -> Tensor:
    """Resize images to a square and scale them to [-1, 1]: bilinear, antialiased when shrinking.

    Args:
        image: (B, C, H, W) in [0, 1].
        side: In pixels.

    Returns:
        (B, C, side, side) in [-1, 1].
    """
    if image.shape[2:] != (side, side):
        image = F.interpolate(image, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return 2 * image - 1


def halvings(image_size: int, smallest: int = 4) -> int:
    """Return how often `image_size` must be halved to become `smallest`, at least once.

    Args:
        image_size: Side of the images, in pixels.
        smallest: Side of the coarsest grid.

    Returns:
        At least 1.

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
