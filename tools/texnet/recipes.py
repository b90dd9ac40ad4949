"""Procedural images: a recipe is a material nobody photographed, and every call renders another piece of it.

A recipe is one integer. `render(recipe, rng, size)` runs two streams of random numbers: `fixed`, seeded anew by the
recipe at every call, decides what the material is (its sorts of content, sizes, angles, colours, how its layers are
combined), and `rng` decides what differs from piece to piece (positions, warp, lighting, colour cast, blur, noise).
A painter in `painters` draws from `fixed` the same number of values in the same order whatever `rng` gives; that
alone makes two calls show the same material.

    image = render(17, np.random.default_rng(0), 96)   # (96, 96, 3) uint8 RGB
"""

from __future__ import annotations

from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from camera import expose, light, move
from numpy.typing import NDArray
from painters import PAINTERS, Field

STREAM = 20_240  # keeps the recipes' seeds apart from every other use of small integers
MARGIN = 12  # pixels drawn beyond each border, so that warping and rotating pull in real content


def render(recipe: int, rng: np.random.Generator, size: int = 96) -> NDArray[np.uint8]:
    """Return another piece of the material `recipe` (any integer >= 0) as (size, size, 3) uint8 RGB.

    The same recipe and the same state of `rng` give the same image, bit for bit, on one machine.
    """
    fixed = np.random.default_rng([STREAM, recipe])
    side = size + 2 * MARGIN
    layers = [_layer(fixed, rng, side) for _ in range(int(fixed.choice([1, 2, 3], p=[0.5, 0.38, 0.12])))]
    image, height = layers[0]
    for above, relief in layers[1:]:
        image, height = _combine(fixed, rng, (image, height), (above, relief))
    image = light(fixed, rng, image, height)
    image = move(fixed, rng, image)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return expose(fixed, rng, image)


def instances(recipe: int, count: int, seed: int, size: int = 96) -> NDArray[np.uint8]:
    """Return `count` pieces of one material, (count, size, size, 3) uint8; `seed` chooses which."""
    rng = np.random.default_rng([STREAM + 1, seed, recipe])
    return np.stack([render(recipe, rng, size) for _ in range(count)])


def build_cache(path: Path, recipes: int, count: int, seed: int, size: int = 96, workers: int = 1) -> None:
    """Write a .npy file of (recipes, count, size, size, 3) uint8, material by material. Overwrites `path`."""
    part = path.with_suffix(".part.npy")
    path.parent.mkdir(parents=True, exist_ok=True)
    out = np.lib.format.open_memmap(part, "w+", np.uint8, (recipes, count, size, size, 3))
    make = partial(instances, count=count, seed=seed, size=size)
    if workers <= 1:
        for recipe in range(recipes):
            out[recipe] = make(recipe)
    else:
        with get_context("spawn").Pool(workers, initializer=_one_thread) as pool:
            for recipe, images in enumerate(pool.imap(make, range(recipes), chunksize=4)):
                out[recipe] = images
    out.flush()
    del out
    part.replace(path)


def _one_thread() -> None:
    cv2.setNumThreads(1)


def _layer(fixed: np.random.Generator, rng: np.random.Generator, side: int) -> tuple[Field, Field]:
    """Paint one layer: its colours (side, side, 3) float32 in [0, 1], and its height (side, side) in [0, 1]."""
    painter = PAINTERS[int(fixed.integers(len(PAINTERS)))]
    # A painter draws an unknown number of values from the stream it gets, so it gets one of its own.
    field = painter(np.random.default_rng(fixed.integers(2**63)), rng, side)
    stops = int(fixed.integers(2, 5))
    palette = fixed.uniform(0, 1, (stops, 3)) if fixed.random() < 0.35 else _tinted_greys(fixed, stops)
    palette = palette + rng.normal(0, 0.02, palette.shape)
    at = np.linspace(0, 1, stops)
    table = np.stack([np.interp(np.linspace(0, 1, 256), at, palette[:, c]) for c in range(3)], axis=1)
    index = (np.clip(field, 0, 1) * 255).astype(np.uint8)
    return table.astype(np.float32)[index], field


def _tinted_greys(fixed: np.random.Generator, stops: int) -> NDArray[Any]:
    """Industrial parts are mostly grey, beige or one colour: a random tint at several brightnesses."""
    tint = 1 + fixed.uniform(-0.35, 0.35, 3) * fixed.random()
    value = fixed.uniform(0.05, 1, stops)
    if np.ptp(value) < 0.3:  # too little contrast to see anything
        value[0], value[-1] = 0.25, 0.75
    return value[:, None] * tint


def _combine(
    fixed: np.random.Generator, rng: np.random.Generator, below: tuple[Field, Field], above: tuple[Field, Field]
) -> tuple[Field, Field]:
    """Lay one layer on another: as a glaze, by multiplication, or through a mask that another painter draws."""
    how, weight = fixed.random(), np.float32(fixed.uniform(0.25, 0.75))
    painter = PAINTERS[int(fixed.integers(len(PAINTERS)))]
    own, level, sharp = np.random.default_rng(fixed.integers(2**63)), fixed.uniform(0.3, 0.7), fixed.uniform(4, 30)
    if how < 0.25:
        mask = np.full(below[1].shape, weight)
    elif how < 0.45:
        return below[0] * (0.35 + 0.9 * above[0]), below[1] * above[1]
    elif how < 0.7:  # the upper layer shows where it is high: grains, wires, prints on a ground
        mask = np.clip((above[1] - level) * sharp, 0, 1)
    else:
        mask = np.clip((painter(own, rng, len(below[1])) - level) * sharp, 0, 1)
    mask = mask.astype(np.float32)
    shade = mask[..., None]
    return below[0] * (1 - shade) + above[0] * shade, below[1] * (1 - mask) + above[1] * mask
