"""How a material is lit, held and photographed: what differs from picture to picture though the part is good.

How much it differs is part of the recipe (`fixed`); what it is this time comes from `rng`. The fixed camera of a line
moves almost nothing; a part laid down by hand turns, shifts and bends.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from painters import Field, smooth_noise


def light(fixed: np.random.Generator, rng: np.random.Generator, image: Field, height: Field) -> Field:
    """Light the height from one side: slopes that face the lamp are brighter, and some surfaces glare."""
    lit, strength, gloss = fixed.random() < 0.5, fixed.uniform(0.3, 2.0), fixed.random() < 0.3
    angle = fixed.uniform(0, 2 * np.pi) + rng.normal(0, 0.25)
    if not lit:
        return image
    soft = cv2.GaussianBlur(height, (0, 0), 0.8)
    slope = np.cos(angle) * cv2.Sobel(soft, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    slope = np.tanh(slope * np.float32(strength))
    image = image * (1 + 0.5 * slope[..., None])
    return image + 0.5 * np.maximum(slope, 0)[..., None] ** 4 if gloss else image


def move(fixed: np.random.Generator, rng: np.random.Generator, image: Field) -> Field:
    """Turn, scale and bend: seen by a robot in one recipe of two, by hand in the others."""
    side = image.shape[0]
    by_hand = fixed.random() < 0.5
    turn, spread, bend = fixed.uniform(0, 0.2), fixed.uniform(0, 0.12), fixed.uniform(0, 3.0)
    if not by_hand:
        turn, spread, bend = turn * 0.05, spread * 0.1, bend * 0.15
    angle, scale = rng.normal(0, turn), np.exp(rng.normal(0, spread))
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), float(np.degrees(angle)), float(np.clip(scale, 0.8, 1.3)))
    grid = np.arange(side, dtype=np.float32)
    x, y = np.meshgrid(grid, grid)
    wave = (smooth_noise(rng, side, side // 4) - 0.5) * 2 * np.float32(bend)
    across = (smooth_noise(rng, side, side // 4) - 0.5) * 2 * np.float32(bend)
    m = matrix.astype(np.float32)
    return cv2.remap(
        image,
        m[0, 0] * x + m[0, 1] * y + m[0, 2] + wave,
        m[1, 0] * x + m[1, 1] * y + m[1, 2] + across,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )


def expose(fixed: np.random.Generator, rng: np.random.Generator, image: Field) -> NDArray[np.uint8]:
    """Uneven light, exposure, colour cast, defocus, halos of sharpening, noise, eight bits, JPEG."""
    side = image.shape[0]
    uneven, grain, defocus = fixed.uniform(0, 0.35), fixed.uniform(0, 0.04), fixed.uniform(0, 1.2)
    grey, sharpened, halo = fixed.random() < 0.35, fixed.random() < 0.2, np.float32(fixed.uniform(0.3, 1.2))
    jpeg, quality = fixed.random() < 0.3, int(fixed.integers(40, 95))
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    shade = 1 + np.float32(uneven * rng.random()) * (np.cos(angle) * ramp[None] + np.sin(angle) * ramp[:, None])
    cast = np.exp(rng.normal(0, 0.08) + rng.normal(0, 0.03, 3)).astype(np.float32)
    image = np.clip(image, 0, 1.2) * shade[..., None] * cast
    if grey:
        image = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    sigma = defocus * rng.random()
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), float(sigma))
    if sharpened:
        image = image + halo * (image - cv2.GaussianBlur(image, (0, 0), 1.0))
    noise = rng.standard_normal((*image.shape[:2], 1) if grey else image.shape, dtype=np.float32)
    pixels = (np.clip(image + np.float32(grain) * noise, 0, 1) * 255 + 0.5).astype(np.uint8)
    if not jpeg:
        return pixels
    done, code = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV cannot write JPEG")
    return cv2.cvtColor(cv2.imdecode(code, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
