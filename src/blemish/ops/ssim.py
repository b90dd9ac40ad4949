"""Structural similarity: how alike two images are in brightness, contrast and structure around each pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from blemish.core.errors import InputError


def ssim(x: Tensor, y: Tensor, *, window: int = 11, sigma: float = 1.5, data_range: float = 1.0) -> Tensor:
    """Return the structural similarity map of two images; 1 where they agree.

    Wang, Bovik, Sheikh and Simoncelli (2004): local means, variances and covariance under a Gaussian; the constants are
    (.01 L)² and (.03 L)² for values that span L = `data_range`. The images are mirrored beyond their borders (edge not
    repeated), so the map has the images' size and no dark rim.

    Args:
        x: (B, C, H, W).
        y: As `x`.
        window: Side of the Gaussian's window in pixels, odd.
        sigma: Its standard deviation, in pixels.
        data_range: What the values span.

    Returns:
        (B, C, H, W), each value in [-1, 1].

    Raises:
        InputError: `window` is even, or too large for the images.
    """
    radius = window // 2
    if x.dtype != torch.float64:
        x, y = x.float(), y.float()
    if window < 1 or window % 2 == 0 or min(x.shape[2:]) <= radius:
        raise InputError(
            f"window is {window} for images of {x.shape[2]} x {x.shape[3]} pixels; it must be odd and at most twice the "
            "shorter side less 1. Take a smaller window."
        )
    at = torch.arange(window, dtype=x.dtype, device=x.device) - radius
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    with torch.autocast(x.device.type, enabled=False):  # in half precision nothing is left of a difference of squares
        mean_x, mean_y, xx, yy, xy = _local_means([x, y, x * x, y * y, x * y], kernel)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    variances = (xx - mean_x**2).clamp(min=0) + (yy - mean_y**2).clamp(min=0)  # rounding can push them below 0
    covariance = xy - mean_x * mean_y
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / ((mean_x**2 + mean_y**2 + c1) * (variances + c2))


def _local_means(images: list[Tensor], kernel: Tensor) -> tuple[Tensor, ...]:
    """Weighted means around every pixel, of all images at once.

    A product with one banded matrix an axis: several times faster, also backwards, than single-channel convolutions.
    """
    stacked = torch.stack(images)
    rows, columns = (_band(length, kernel) for length in stacked.shape[3:])
    return (rows @ stacked @ columns.T).unbind()


def _band(length: int, kernel: Tensor) -> Tensor:
    """Return the matrix (length, length) whose product with a vector smooths it by `kernel`, mirrored at the ends."""
    at = torch.arange(length, device=kernel.device)[:, None] + torch.arange(len(kernel), device=kernel.device)
    at = (at - len(kernel) // 2).abs()
    at = torch.where(at < length, at, 2 * (length - 1) - at)
    return kernel.new_zeros(length, length).scatter_add_(1, at, kernel.expand(length, -1))
