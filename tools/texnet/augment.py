"""From cached pieces to training batches: crop, flip, recolour, and deface half of the images.

Everything random comes from one numpy generator, seeded by (seed, step): a batch depends on nothing that came before it,
so a run that was killed continues exactly where it stopped.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
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
    """Spoil a turned ellipse or box in the first half of the batch; return images and masks (B, 1, H, W) in {0, 1}.

    What comes into the mask: another image of the batch, the image itself turned by 90 degrees, its own tone changed,
    or its own blur.
    """
    count, (h, w) = len(image) // 2, image.shape[2:]
    mine, rest = image[:count], image[count:]
    mask = _blobs(rng, count, h, w)
    kind, opacity = torch.from_numpy(rng.integers(4, size=count)), _column(rng.uniform(0.5, 1, (count, 1)))
    tone = _column(
        rng.choice([-1, 1], (count, 1)) * rng.uniform(0.1, 0.4, (count, 1)) + rng.normal(0, 0.05, (count, 3))
    )
    choices = torch.stack([mine.roll(1, 0), mine.rot90(1, (2, 3)), mine + tone, F.avg_pool2d(mine, 5, 1, 2)])
    foreign = choices[kind, torch.arange(count)]
    spoilt = torch.lerp(mine, foreign, mask * opacity).clamp(0, 1)
    return torch.cat([spoilt, rest]), torch.cat([mask, torch.zeros(len(rest), 1, h, w)])


def _blobs(rng: np.random.Generator, b: int, h: int, w: int) -> Tensor:
    """Draw one turned ellipse or rounded box a mask, 3 to 18 pixels from its centre to its border."""
    half = _column(np.exp(rng.uniform(np.log(3), np.log(18), (b, 2))))
    centre, angle, box = rng.uniform(0, 1, (b, 2)) * (h, w), rng.uniform(0, np.pi, (b, 1)), rng.random((b, 1)) < 0.5
    dy = torch.arange(h).view(1, 1, h, 1) - _column(centre[:, :1])
    dx = torch.arange(w).view(1, 1, 1, w) - _column(centre[:, 1:])
    c, s = _column(np.cos(angle)), _column(np.sin(angle))
    u, v = ((c * dx + s * dy) / half[:, :1]).square(), ((c * dy - s * dx) / half[:, 1:]).square()
    inside = torch.where(_column(box) > 0, u.pow(2).square() + v.pow(2).square(), u + v) < 1  # u^8 + v^8 is a box
    return inside.float()


def _column(values: NDArray[np.generic]) -> Tensor:
    """(B, C) numbers as (B, C, 1, 1) float32."""
    return torch.from_numpy(np.asarray(values, np.float32))[..., None, None]
