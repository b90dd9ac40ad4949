"""Small changes of colour that leave a good part good. Pictures are (..., 3, H, W) RGB and stay in [0, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def grey(image: Tensor) -> Tensor:
    """Return the luminance (ITU-R 601), (..., 1, H, W).

    Args:
        image: (..., 3, H, W) RGB.

    Returns:
        (..., 1, H, W).
    """
    weights = image.new_tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return (image * weights).sum(-3, keepdim=True)


def sometimes_grey(image: Tensor, share: float) -> Tensor:
    """Make some images grey.

    Args:
        image: (B, 3, H, W) RGB.
        share: Probability of each image.

    Returns:
        (B, 3, H, W).
    """
    chosen = torch.rand(len(image)).to(image.device) < share
    return torch.where(chosen.view(-1, 1, 1, 1), grey(image).expand_as(image), image)


def brightness(image: Tensor, factor: float) -> Tensor:
    """Return images `factor` times as bright.

    Args:
        image: (..., 3, H, W) in [0, 1].
        factor: At least 0; 1 changes nothing.

    Returns:
        As `image`, cut off at 0 and 1.
    """
    return (factor * image).clamp(0, 1)


def contrast(image: Tensor, factor: float) -> Tensor:
    """Return one image with everything `factor` times as far from its mean luminance.

    Args:
        image: (3, H, W) in [0, 1].
        factor: At least 0; 1 changes nothing.

    Returns:
        As `image`, cut off at 0 and 1.
    """
    mean = grey(image).mean()
    return (mean + factor * (image - mean)).clamp(0, 1)


def saturation(image: Tensor, factor: float) -> Tensor:
    """Return images with every colour `factor` times as far from the grey of its luminance.

    Args:
        image: (..., 3, H, W) in [0, 1].
        factor: At least 0; 1 changes nothing.

    Returns:
        As `image`, cut off at 0 and 1.
    """
    light = grey(image)
    return (light + factor * (image - light)).clamp(0, 1)


def tint(image: Tensor, angle: float, factor: float = 1.0) -> Tensor:
    """Return images with their hue rotated about the grey axis.

    Unlike the other changes it keeps each pixel's mean of the three colours, and cuts nothing off at 0 and 1.

    Args:
        image: (..., 3, H, W) RGB.
        angle: In radians.
        factor: How many times as far each colour is from that axis.

    Returns:
        As `image`.
    """
    middle = image.mean(-3, keepdim=True)
    away = image - middle
    across = (away.roll(1, -3) - away.roll(-1, -3)) / math.sqrt(3)  # a quarter turn about the grey axis
    return middle + factor * (math.cos(angle) * away + math.sin(angle) * across)


CHANGES = (brightness, contrast, saturation)


def jitter_one(images: Tensor, strength: float = 0.2) -> Tensor:
    """Apply one of CHANGES to each image.

    Args:
        images: (B, 3, H, W) in [0, 1].
        strength: Factors are drawn from [1 - strength, 1 + strength].

    Returns:
        As `images`.
    """
    kinds = torch.randint(len(CHANGES), (len(images),)).tolist()
    factors = (1 + strength * (2 * torch.rand(len(images)) - 1)).tolist()
    return torch.stack([CHANGES[k](image, f) for k, f, image in zip(kinds, factors, images, strict=True)])


def jitter_all(image: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Apply all of CHANGES in random order; before its saturation an image's hue is rotated, too.

    Args:
        image: (3, H, W) in [0, 1].
        strength: Factors are drawn from [1 - strength, 1 + strength], the hue's angle from up to `strength` full
            circles.
        generator: Draws order and factors.

    Returns:
        As `image`.
    """

    def between(low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=generator))

    for kind in torch.randperm(len(CHANGES), generator=generator).tolist():
        if CHANGES[kind] is saturation:
            image = tint(image, 2 * math.pi * between(-strength, strength)).clamp(0, 1)
        image = CHANGES[kind](image, between(1 - strength, 1 + strength))
    return image
