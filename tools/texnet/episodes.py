"""From cached pieces to training batches: small inspection tasks (`episode`) and single views to be named (`views`).

Everything random comes from one numpy generator, seeded by (seed, step): a batch depends on nothing that came before it,
so a run that was killed continues exactly where it stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from defects import changed, noise, smooth, spoil
from numpy.typing import NDArray
from torch import Tensor

Pieces = NDArray[np.uint8]
"""The cache: (recipes, pieces, side, side, 3)."""
Random = np.random.Generator


class Episode(NamedTuple):
    """E inspection tasks: R good references and Q pictures in question of one material each, c pixels a side."""

    images: Tensor  # (E, R + Q, 3, c, c) float32 in [0, 1], references first
    masks: Tensor  # (E, Q, c, c) bool: where a picture in question is spoilt


@dataclass(frozen=True)
class Look:
    """What the pictures of one material have in common, and by how much good ones differ from one another."""

    sensor: int  # pixels a side of the camera
    window: float  # side in pixels of the cut-out that is shown
    zoom: float  # spread of its logarithm from picture to picture
    stretched: bool  # whether height and width differ apart
    place: NDArray[np.float64] | None  # where it lies, in [0, 1]; None: anywhere
    flips: int  # one of eight ways to turn and mirror
    grey: bool
    order: NDArray[np.int64] | None  # of the colour channels
    tones: NDArray[np.float32]  # (256, 3): gamma, inversion, gains, contrast
    exposure: float  # spread of the logarithm of the brightness
    shading: float  # strength of soft light and shade across the picture
    grain: float  # standard deviation of the noise
    defocus: bool


def episode(
    pieces: Pieces, rng: Random, materials: int, references: int, queries: int, crop: int, coarse: float = 0.0
) -> Episode:
    """Draw `materials` tasks of different materials; three queries of four are spoilt, after all that is common.

    A share `coarse` of the tasks is seen by a camera of fewer pixels than `crop`, 0.4 to 1 of them, and enlarged, faults,
    noise and all: sharp faults on soft pictures would be told by their sharpness.
    """
    count, kept, side = pieces.shape[:3]
    each = references + queries
    images = np.empty((materials, each, crop, crop, 3), np.float32)
    masks = np.zeros((materials, queries, crop, crop), bool)
    looks, shown = [], []
    for recipe in rng.choice(count, materials, replace=False):
        look = _look(rng, _sensor(rng, crop, coarse), side)
        looks.append(look)
        shown.append([_shown(rng, look, pieces[recipe, piece]) for piece in rng.choice(kept, each, replace=False)])
    for task, look in enumerate(looks):
        for i, good in enumerate(shown[task]):
            picture, mask = good, None
            if i >= references and rng.random() < 0.75:
                other = _resized(shown[int(rng.integers(materials))][int(rng.integers(references))], look.sensor)
                picture, mask = spoil(rng, good, other)
                if look.grey:
                    picture = np.repeat(picture.mean(2, keepdims=True), 3, 2)
            before = rng.bit_generator.state
            lit = _lit(rng, look, picture)
            if mask is not None:  # what glare or darkness hides is no fault
                rng.bit_generator.state = before
                mask &= changed(lit, _lit(rng, look, good))
                masks[task, i - references] = _resized(mask.astype(np.float32), crop) > 0.5
            images[task, i] = _resized(lit, crop)
    return Episode(torch.from_numpy(images).permute(0, 1, 4, 2, 3), torch.from_numpy(masks))


def views(pieces: Pieces, rng: Random, batch: int, crop: int, coarse: float = 0.0) -> tuple[Tensor, Tensor]:
    """Draw one view of `batch` different materials, strongly varied: (B, 3, crop, crop) in [0, 1], (B,) recipes."""
    count, kept, side = pieces.shape[:3]
    images = np.empty((batch, crop, crop, 3), np.float32)
    recipes = rng.choice(count, batch, replace=False)
    for i, recipe in enumerate(recipes):
        sensor = _sensor(rng, crop, coarse)
        window = int(rng.uniform(sensor * 0.75, min(side, crop * 1.7)))
        top, left = rng.integers(0, side - window + 1, 2)
        view = pieces[recipe, int(rng.integers(kept)), top : top + window, left : left + window]
        view = _resized(_flipped(view, int(rng.integers(4))), sensor)
        grey = rng.random() < 0.4
        picture = (_grey(view) if grey else view).astype(np.float32) / 255
        gain = np.exp(rng.normal(0, 0.3) + (np.zeros(3) if grey else rng.normal(0, 0.12, 3)))
        picture = (picture - 0.5) * gain.astype(np.float32) + np.float32(0.5 + rng.normal(0, 0.1))
        if rng.random() < 0.25:  # little contrast
            weak, level = np.float32(rng.uniform(0.2, 0.7)), np.float32(rng.uniform(0.25, 0.75))
            picture = (picture - picture.mean()) * weak + level
        if rng.random() < 0.5:
            picture = picture * _shade(rng, rng.uniform(0, 0.5), sensor)
        if rng.random() < 0.2:
            picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.2)))
        if rng.random() < 0.3:
            picture = picture + np.float32(rng.uniform(0.01, 0.05)) * noise(rng, sensor, sensor, 1 if grey else 3)
        images[i] = _resized(np.clip(picture, 0, 1), crop)
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(recipes.astype(np.int64))


def _look(rng: Random, sensor: int, side: int) -> Look:
    grey = rng.random() < 0.4
    return Look(
        sensor=sensor,
        window=rng.uniform(sensor * 0.7, side),
        zoom=float(rng.choice([0, 0.03, 0.25], p=[0.4, 0.35, 0.25])),
        stretched=rng.random() < 0.5,
        place=rng.random(2) if rng.random() < 0.3 else None,
        flips=int(rng.integers(8)),
        grey=grey,
        order=rng.permutation(3) if rng.random() < 0.3 and not grey else None,
        tones=_tones(rng, grey),
        exposure=float(rng.choice([0, 0.04, 0.3], p=[0.3, 0.4, 0.3])),
        shading=float(rng.choice([0.05, 0.3, 0.9], p=[0.4, 0.35, 0.25])),
        grain=float(rng.choice([0, 0.01, 0.04], p=[0.5, 0.3, 0.2])),
        defocus=rng.random() < 0.15,
    )


def _tones(rng: Random, grey: bool) -> NDArray[np.float32]:
    tones = np.linspace(0, 1, 256) ** np.exp(rng.normal(0, 0.3))
    if rng.random() < 0.15:
        tones = 1 - tones
    gains = np.full(3, np.exp(rng.normal(0, 0.2))) * (1 if grey else np.exp(rng.normal(0, 0.2, 3)))
    table = (tones[:, None] - 0.5) * gains + 0.5
    if rng.random() < 0.3:  # little contrast about some level
        table = (table - 0.5) * rng.uniform(0.12, 0.6) + rng.uniform(0.2, 0.8)
    return np.clip(table, 0, 1).astype(np.float32)


def _shown(rng: Random, look: Look, piece: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a cut-out of one piece as its material's camera shows it, before light and noise."""
    side = len(piece)
    spread = rng.normal(0, look.zoom) + (rng.normal(0, look.zoom, 2) if look.stretched else np.zeros(2))
    high, wide = np.clip(look.window * np.exp(spread), look.sensor * 0.5, side).astype(int).tolist()
    place = rng.random(2) if look.place is None else look.place
    top, left = int(place[0] * (side - high)), int(place[1] * (side - wide))
    view = _resized(_flipped(piece[top : top + high, left : left + wide], look.flips), look.sensor)
    if look.grey:
        picture = np.repeat(look.tones[:, 0][_grey(view)[..., :1]], 3, 2)
    else:
        view = view if look.order is None else view[..., look.order]
        picture = np.stack([look.tones[:, c][view[..., c]] for c in range(3)], 2)
    if look.defocus and rng.random() < 0.5:
        return cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.2)))
    return picture


def _lit(rng: Random, look: Look, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a picture under this moment's light, with its noise."""
    side = len(picture)
    if look.exposure:
        cast = np.zeros(1) if look.grey else rng.normal(0, look.exposure * 0.3, 3)
        gain = np.exp(rng.normal(0, look.exposure) + cast).astype(np.float32)
        picture = picture * gain + np.float32(rng.normal(0, look.exposure * 0.3))
    picture = picture * _shade(rng, look.shading, side)
    if look.grain:
        picture = picture + np.float32(look.grain) * noise(rng, side, side, 1 if look.grey else 3)
    return np.clip(picture, 0, 1)


def _shade(rng: Random, strength: float, side: int) -> NDArray[np.float32]:
    """A soft factor about 1, (side, side, 1), with one to three swings across the picture."""
    swing = smooth(rng, side, side, side // int(rng.integers(1, 4))) - np.float32(0.5)
    return np.exp(np.float32(2 * strength) * swing)[..., None]


def _flipped(image: NDArray[Any], how: int) -> NDArray[Any]:
    image = image.transpose(1, 0, 2) if how & 4 else image
    return np.ascontiguousarray(image[:: -1 if how & 1 else 1, :: -1 if how & 2 else 1])


def _sensor(rng: Random, crop: int, coarse: float) -> int:
    """Return the pixels a side of a camera: those of the picture, or, in a share `coarse`, fewer."""
    return int(crop * rng.uniform(0.4, 1)) if coarse and rng.random() < coarse else crop


def _resized(image: NDArray[Any], side: int) -> NDArray[Any]:
    if image.shape[:2] == (side, side):
        return image
    area = min(image.shape[:2]) > side
    return cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
