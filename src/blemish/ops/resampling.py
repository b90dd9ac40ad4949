"""A 3 x 3 convolution before halving a map, or after doubling it, as one convolution of stride 2 with the same result.

Averaging four neighbouring results of a 3 x 3 convolution is one 4 x 4 convolution, every second place, whose weights are
the average of the four shifted ones: 4 products a place instead of 9, and the large map in between is never made. Doubling
by repeating cells and then convolving is its transpose. Results differ by rounding alone.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def convolve_halve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return `avg_pool2d(layer(x), 2)` for a 3 x 3 or 1 x 1 layer that keeps the grid; H and W of x are even."""
    return F.conv2d(x, _spread(layer.weight) / 4, layer.bias, stride=2, padding=layer.weight.shape[-1] // 2)


def double_convolve(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return `layer` of x with every cell repeated 2 x 2, (B, leaving, 2H, 2W), for a 3 x 3 layer that keeps the grid."""
    turned = layer.weight.flip(2, 3).transpose(0, 1)  # a transposed convolution scatters what a convolution gathers
    return F.conv_transpose2d(x, _spread(turned), layer.bias, stride=2, padding=1)


def _spread(weight: Tensor) -> Tensor:
    """Return the sum of the weights at the four places of a 2 x 2 block: (O, I, k, k) to (O, I, k + 1, k + 1)."""
    rows = F.pad(weight, (0, 0, 1, 0)) + F.pad(weight, (0, 0, 0, 1))
    return F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))
