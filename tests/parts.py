"""A tiny inspection task for tests: striped parts, some with a disturbed patch, made in memory in a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from blemish.core.types import Batch
from blemish.imaging.reading import encode_png


def stripes(count: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    """Good parts: slanted stripes of one period, random phase, a little noise; (count, 3, *size) in [0, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    grey = 0.5 + 0.3 * np.sin((x + 0.5 * y) / 3 + phase) + rng.normal(0, 0.02, (count, *size))
    colour = np.array([1.0, 0.8, 0.6]).reshape(1, 3, 1, 1)
    return torch.from_numpy((grey[:, None] * colour).clip(0, 1).astype(np.float32))


def deface(images: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn a quarter-sized square of each image by 90 degrees: the colours stay, the pattern does not. Also the masks."""
    rng = np.random.default_rng(seed)
    images, masks = images.clone(), torch.zeros(len(images), *images.shape[2:], dtype=torch.bool)
    side = images.shape[2] // 4
    for image, mask in zip(images, masks, strict=True):
        top, left = (int(rng.integers(4, limit - side - 4)) for limit in image.shape[1:])
        at = (slice(top, top + side), slice(left, left + side))
        image[:, *at] = image[:, *at].transpose(1, 2).flip(1)
        mask[at] = True
    return images, masks


def write_folder(root: Path, *, good: int = 30, bad: int = 8, size: tuple[int, int] = (64, 64)) -> Path:
    """Write the task as PNG files in MVTec's layout: 2/3 of the good ones to learn from, masks of the bad ones."""
    images = stripes(good, size, seed=100)
    defects, masks = deface(stripes(bad, size, seed=101), seed=102)
    learn = good * 2 // 3
    for i, image in enumerate(images):
        write_png(root / ("train" if i < learn else "test") / "good" / f"{i:03d}.png", image)
    for i, (image, mask) in enumerate(zip(defects, masks, strict=True)):
        write_png(root / "test" / "turned" / f"{i:03d}.png", image)
        write_png(root / "ground_truth" / "turned" / f"{i:03d}_mask.png", mask.float()[None])
    return root


def write_png(path: Path, image: torch.Tensor) -> None:
    """Write (C, H, W) in [0, 1] as an 8-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (image.permute(1, 2, 0) * 255).round().byte().numpy()
    path.write_bytes(encode_png(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels))


class Parts:
    """Batches that can be iterated again and again, as a Loader's can."""

    def __init__(self, images: torch.Tensor, batch_size: int = 8) -> None:
        self.images, self.batch_size = images, batch_size

    def __iter__(self) -> Iterator[Batch]:
        for images in self.images.split(self.batch_size):
            yield Batch({"image": images})


class Torn:
    """Batches, until somebody presses Ctrl-C while one is read."""

    def __init__(self, batches: Parts, at: int) -> None:
        self.batches, self.left = batches, at

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.batches:
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt
            yield batch
