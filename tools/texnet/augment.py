"""From cached pieces to training batches: crop, flip, recolour, and deface a part of each second image.

Everything random comes from one numpy generator, seeded by (seed, step): a batch depends on nothing that came before it,
so a run that was killed continues exactly where it stopped.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def crops(images: NDArray[np.uint8], rng: np.random.Generator, batch: int, crop: int) -> tuple[Tensor, Tensor]:
    """Draw `batch` random crops and flips from a cache (R, P, S, S, 3); return (B, 3, crop, crop) uint8, (B,) recipes."""
    recipes, pieces, side = images.shape[:3]
    label, piece = rng.integers(recipes, size=batch), rng.integers(pieces, size=batch)
    corner, flip = rng.integers(side - crop + 1, size=(batch, 2)), rng.random((batch, 2)) < 0.5
    out = np.empty((batch, crop, crop, 3), np.uint8)
    for i in range(batch):
        (top, left), (over, across) = corner[i], flip[i]
        view = images[label[i], piece[i], top : top + crop, left : left + crop]
        out[i] = view[:: -1 if over else 1, :: -1 if across else 1]
    return torch.from_numpy(out).permute(0, 3, 1, 2), torch.from_numpy(label)


def recolour(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Change contrast, brightness and colour balance of (B, 3, H, W) in [0, 1]; make two of five images grey."""
    b = len(image)
    gain = _column(np.exp(rng.normal(0, 0.25, (b, 1)) + rng.normal(0, 0.12, (b, 3))))
    shift, grey = _column(rng.normal(0, 0.08, (b, 1))), _column(rng.random((b, 1)) < 0.4)
    image = torch.where(grey > 0, image.mean(1, keepdim=True), image)
    return ((image - 0.5) * gain + 0.5 + shift).clamp(0, 1)


def deface(image: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Spoil a turned ellipse or box in every second image; return the images and the masks (B, 1, H, W) in {0, 1}.

    What comes into the mask: another image of the batch, the image itself turned by 90 degrees, its own tone changed,
    or its own blur.
    """
    b, _, h, w = image.shape
    masks = _blobs(rng, b, h, w) * _column(rng.random((b, 1)) < 0.5)
    kind, opacity = rng.integers(4, size=b), _column(rng.uniform(0.5, 1, (b, 1)))
    tone = _column(rng.choice([-1, 1], (b, 1)) * rng.uniform(0.1, 0.4, (b, 1)) + rng.normal(0, 0.05, (b, 3)))
    choices = torch.stack(
        [image.roll(1, 0), image.rot90(1, (2, 3)), image + tone, torch.nn.functional.avg_pool2d(image, 5, 1, 2)]
    )
    foreign = choices[torch.from_numpy(kind), torch.arange(b)]
    blend = masks * opacity
    return (image * (1 - blend) + foreign * blend).clamp(0, 1), masks


def _blobs(rng: np.random.Generator, b: int, h: int, w: int) -> Tensor:
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    centre, half = rng.uniform(0, 1, (b, 2, 1, 1)) * [[[h]], [[w]]], np.exp(rng.uniform(np.log(3), np.log(18), (b, 2, 1, 1)))
    angle, power = rng.uniform(0, np.pi, (b, 1, 1)), rng.choice([2, 8], (b, 1, 1))
    dy, dx = y - centre[:, 0], x - centre[:, 1]
    u = np.abs(np.cos(angle) * dx + np.sin(angle) * dy) / half[:, 0]
    v = np.abs(np.cos(angle) * dy - np.sin(angle) * dx) / half[:, 1]
    inside = np.minimum(u, 2) ** power + np.minimum(v, 2) ** power < 1
    return torch.from_numpy(inside[:, None].astype(np.float32))


def _column(values: NDArray[np.generic]) -> Tensor:
    """(B, C) numbers as (B, C, 1, 1) float32."""
    return torch.from_numpy(np.asarray(values, np.float32))[..., None, None]
