"""Small changes of colour that leave a good part good."""

from __future__ import annotations

import torch
from torch import Tensor


def grey(image: Tensor) -> Tensor:
    """Return the luminance (ITU-R 601) of (B, 3, H, W) RGB, (B, 1, H, W)."""
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (image * weights).sum(1, keepdim=True)


def sometimes_grey(image: Tensor, share: float) -> Tensor:
    """Return the images with each made grey with probability `share`."""
    chosen = torch.rand(len(image)).to(image.device) < share
    return torch.where(chosen.view(-1, 1, 1, 1), grey(image).expand_as(image), image)


def jitter(image: Tensor, strength: float = 0.2) -> Tensor:
    """Return the images in [0, 1] with one of brightness, contrast and saturation of each changed.

    Its factor is drawn from [1 - strength, 1 + strength]: brightness fades to black, contrast to the image's mean
    luminance, saturation to grey.
    """
    kind = torch.randint(3, (len(image),)).to(image.device).view(-1, 1, 1, 1)
    factor = (1 + strength * (2 * torch.rand(len(image)) - 1)).to(image).view(-1, 1, 1, 1)
    light = grey(image)
    mean = light.mean((2, 3), keepdim=True).expand_as(light)
    toward = torch.where(kind == 0, torch.zeros_like(light), torch.where(kind == 1, mean, light))
    return (toward + factor * (image - toward)).clamp(0, 1)
