"""Textures that belong to no part: drawn from noise without any picture, and distorted so that no two are alike.

They stand in for photographs of textures where synthetic defects are pasted. Everything is (3, H, W) float32 in [0, 1], on
the processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from blemish.core.errors import InputError
from blemish.imaging.images import resize
from blemish.imaging.reading import SUFFIXES, read
from blemish.ops.colour import tint
from blemish.ops.perlin import perlin
from blemish.ops.rotation import turn

Draw = Callable[[tuple[int, int], torch.Generator], Tensor]
"""Draws one picture of a (height, width) with a generator: (3, height, width)."""
Pictures = Callable[[int, tuple[int, int]], Tensor]
"""Draws so many pictures of a (height, width): (n, 3, height, width)."""


def texture(size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Draw a texture of one of four kinds (clouds, bands, flakes, grain) between two or three random colours.

    Args:
        size: (height, width).
        generator: Draws everything.

    Returns:
        (3, H, W) in [0, 1].
    """
    kind = _whole(4, generator)
    if kind == 0:  # clouds: octaves of hills, each half as high as the one before
        value = torch.stack([_hills(size, generator, k + 2) / 2**k for k in range(4)]).sum(0)
    elif kind == 1:  # bands: a wave across a bent plane
        periods, bend = 2 ** _between(1, 5, generator), _between(0, 3, generator)
        direction = _between(0, math.pi, generator)
        y, x = torch.linspace(0, 1, size[0])[:, None], torch.linspace(0, 1, size[1])[None]
        across = math.sin(direction) * y + math.cos(direction) * x
        value = torch.sin(2 * math.pi * periods * across + bend * _hills(size, generator, 3))
    elif kind == 2:  # flakes: hills cut into a few flat levels
        value = (_hills(size, generator, 5) * _between(2, 6, generator)).round()
    else:  # grain
        value = torch.randn(size, generator=generator)
    value = (value - value.min()) / (value.max() - value.min()).clamp(min=1e-6)
    colours = torch.rand(3, 3, 1, 1, generator=generator)  # low, middle, high
    low, high = torch.lerp(colours[0], colours[1], 2 * value), torch.lerp(colours[1], colours[2], 2 * value - 1)
    grain = _between(0, 0.1, generator) * torch.randn(3, *size, generator=generator)
    return (torch.where(value < 0.5, low, high) + grain).clamp(0, 1)


def several(draw: Draw) -> Pictures:
    """Return a function that draws any number of images, with torch's global generator of the processor.

    Args:
        draw: Draws one.

    Returns:
        Given (count, size): (count, 3, H, W).
    """

    def pictures(count: int, size: tuple[int, int]) -> Tensor:
        drawn = [draw(size, torch.default_generator) for _ in range(count)]
        return torch.stack(drawn) if drawn else torch.empty(0, 3, *size)

    return pictures


textures = several(texture)
"""Draws so many textures of a (height, width)."""


def distort(image: Tensor, generator: torch.Generator, count: int = 3) -> Tensor:
    """Apply several different ones of DISTORTIONS to a texture, in random order.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws which and how much.
        count: How many.

    Returns:
        (3, H, W) in [0, 1].
    """
    for i in torch.randperm(len(DISTORTIONS), generator=generator)[:count].tolist():
        image = DISTORTIONS[i](image, generator).clamp(0, 1)
    return image


def gamma(image: Tensor, generator: torch.Generator) -> Tensor:
    """Raise each channel to a power of 0.5 to 2.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    powered: Tensor = image ** (0.5 + 1.5 * torch.rand(3, 1, 1, generator=generator))
    return powered


def brightness(image: Tensor, generator: torch.Generator) -> Tensor:
    """Multiply by 0.8 to 1.2 and add up to 30 of 255 either way.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    return image * _between(0.8, 1.2, generator) + _between(-30, 30, generator) / 255


def sharpness(image: Tensor, generator: torch.Generator) -> Tensor:
    """Blur (0) to sharpen (2) by the mean of 3 x 3 pixels.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    soft = F.avg_pool2d(F.pad(image[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    return torch.lerp(soft, image, _between(0, 2, generator))


def colour(image: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate the hue by up to 70 degrees (50 of 255) about the grey axis, multiply the saturation by 0.6 to 1.4.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    return tint(image, _between(-1, 1, generator) * math.radians(70), _between(0.6, 1.4, generator))


def solarise(image: Tensor, generator: torch.Generator) -> Tensor:
    """With probability a half, turn what is brighter than a threshold of 32 to 128 of 255 into its negative.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    threshold = _between(32, 128, generator) / 255 if _whole(2, generator) else 1.0
    return torch.where(image > threshold, 1 - image, image)


def posterise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Keep the 1 to 8 highest of 8 bits.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    step = (1 << _whole(8, generator)) / 256
    return (image * (255 / 256) / step).floor() * step


def invert(image: Tensor, generator: torch.Generator) -> Tensor:
    """Return the negative.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Not needed.

    Returns:
        (3, H, W) in [0, 1].
    """
    return 1 - image


def autocontrast(image: Tensor, generator: torch.Generator) -> Tensor:
    """Stretch each channel after cutting off up to a fifth of its darkest and brightest pixels.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    cut = _between(0, 0.2, generator)
    values = image.flatten(1).sort(1).values
    last = values.shape[1] - 1
    low, high = values[:, round(cut * last)][:, None, None], values[:, round((1 - cut) * last)][:, None, None]
    return (image - low) / (high - low).clamp(min=1 / 255)


def equalise(image: Tensor, generator: torch.Generator) -> Tensor:
    """Replace each value by the share of the channel's pixels that are not brighter.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Not needed.

    Returns:
        (3, H, W) in [0, 1].
    """
    levels = (image * 255).round().long()
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in levels])
    shares = counts.cumsum(1) / counts.sum(1, keepdim=True)
    return shares.gather(1, levels.flatten(1)).view_as(image)


def rotate(image: Tensor, generator: torch.Generator) -> Tensor:
    """Rotate by up to 45 degrees either way.

    Args:
        image: (3, H, W) in [0, 1].
        generator: Draws how much.

    Returns:
        (3, H, W) in [0, 1].
    """
    return turn(image, math.radians(_between(-45, 45, generator)))


DISTORTIONS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    gamma,
    brightness,
    sharpness,
    colour,
    solarise,
    posterise,
    invert,
    autocontrast,
    equalise,
    rotate,
)


def _hills(size: tuple[int, int], generator: torch.Generator, finest: int) -> Tensor:
    rows, columns = 1 << _whole(finest + 1, generator), 1 << _whole(finest + 1, generator)
    return perlin(size, (rows, columns), angle=_between(0, math.pi, generator), generator=generator)


def _between(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _whole(count: int, generator: torch.Generator) -> int:
    return int(torch.randint(count, (), generator=generator))


def photographs(folder: Path | str | None, *, zoom: int = 1) -> Draw:
    """Return a function that draws photographs of a folder (and the folders in it), or `texture` if there is no folder.

    A photograph is resized to `zoom` times the wanted size, and its middle is cut out.

    Args:
        folder: Folder of images, or None.
        zoom: 1 shows all of a photograph.

    Returns:
        Given (size, generator): (3, H, W) in [0, 1].

    Raises:
        InputError: the folder holds no image.
    """
    if folder is None:
        return texture
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise InputError(f"{folder} holds no image. Give a folder of photographs, or None for drawn textures.")

    def draw(size: tuple[int, int], generator: torch.Generator) -> Tensor:
        h, w = size
        chosen = files[int(torch.randint(len(files), (), generator=generator))]
        whole = torch.from_numpy(resize(read(chosen), (zoom * h, zoom * w))).permute(2, 0, 1)
        top, left = (zoom - 1) * h // 2, (zoom - 1) * w // 2
        return whole[:, top : top + h, left : left + w]

    return draw
