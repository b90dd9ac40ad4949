"""Turning a picture about its centre."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor


def turn(image: Tensor, angle: float) -> Tensor:
    """Rotate one image anticlockwise as it is seen, at the same size.

    Bilinear; beyond the borders is the image's mirror image, so no corner is left black.

    Args:
        image: (C, H, W).
        angle: In radians.

    Returns:
        (C, H, W).
    """
    h, w = image.shape[1:]
    c, s = math.cos(angle), math.sin(angle)
    # Places are in half widths and half heights, so an oblong picture needs its aspect in the matrix.
    matrix = image.new_tensor([[c, -s * h / w, 0], [s * w / h, c, 0]])
    grid = F.affine_grid(matrix[None], [1, 1, h, w], align_corners=False)
    turned: Tensor = F.grid_sample(image[None], grid, mode="bilinear", padding_mode="reflection", align_corners=False)[
        0
    ]
    return turned
