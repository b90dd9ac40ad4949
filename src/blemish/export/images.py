"""Images on which an export is compared with the model where the user gives none.

They have what exported models usually fail on: fine textures far above the network's size, oblong shapes, 8 and 16
bits, grey and colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blemish.core.inputs import KINDS
from blemish.imaging.images import Imaging

SIZES = ((1024, 1024), (768, 1280), (1400, 500), (300, 420))


def made_images(imaging: Imaging, seed: int = 0) -> list[NDArray[Any]]:
    """Return synthetic images: four sizes, each once in 8-bit colour and once in 16-bit grey.

    Args:
        imaging: With a region of interest the images are at least as large as it needs. With a white level 16-bit
            values end there, and the 8-bit images are left out.
        seed: Seed of the textures.

    Returns:
        Eight images, or four with a white level: (H, W, 3) uint8 and (H, W) uint16.
    """
    rng = np.random.default_rng(seed)
    images: list[NDArray[Any]] = []
    for height, width in SIZES:
        if imaging.roi is not None:
            height, width = max(height, imaging.roi[3]), max(width, imaging.roi[2])  # noqa: PLW2901
        white = 65_535 if imaging.white is None else min(65_535, round(imaging.white))
        unit = _texture(height, width, rng)
        colour = unit[..., None] * np.array([1.0, 0.85, 0.7])
        if imaging.white is None:
            images.append((colour * 255).round().astype(np.uint8))
        images.append((unit * white).round().astype(np.uint16))
    return images


def made_parts(imaging: Imaging, inputs: Sequence[str]) -> list[Any]:
    """Return synthetic parts with all that a model looks at.

    Args:
        imaging: As in `made_images`.
        inputs: Kinds of input, none of them a text.

    Returns:
        Images, or mappings from kinds to arrays of one size. Measurements are a surface, in millimetres, with a strip in
        which nothing was measured.
    """
    images = made_images(imaging)
    if tuple(inputs) == ("image",):
        return list(images)
    return [
        {name: image if name == "image" else _surface(image, KINDS[name].channels) for name in inputs}
        for image in images
    ]


def _surface(image: NDArray[Any], channels: int) -> NDArray[np.float32]:
    """Return (H, W, C) measurements whose height follows an image."""
    grey = image.reshape(*image.shape[:2], -1).astype(np.float32).mean(-1)
    y, x = np.mgrid[0 : grey.shape[0], 0 : grey.shape[1]].astype(np.float32)
    found = np.stack([x / 10, y / 10, 400 + grey / max(float(grey.max()), 1.0)], axis=-1)[..., 3 - channels :]
    found[: grey.shape[0] // 20] = np.nan
    return found


def _texture(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a weave of period 3 pixels over a slow shade, with noise and a scratch, (height, width) in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width]
    weave = np.sin(x * 2.1 + rng.uniform(0, 6)) * np.sin(y * 1.9 + rng.uniform(0, 6))
    shade = 0.5 + 0.2 * np.sin(x / width * 3) * np.cos(y / height * 2)
    values = shade + 0.2 * weave + rng.normal(0, 0.05, (height, width))
    top, left = int(rng.integers(height // 2)), int(rng.integers(width // 2))
    steps = np.arange(min(height, width) // 3)
    values[top + steps, left + steps] = 1.0
    return np.asarray(values.clip(0, 1))
