"""What goes wrong with a part: scratches, cracks, holes, stains, dents, foreign matter, missing and displaced texture.

`spoil` puts one to three of them on a picture and returns, besides the picture, where it really changed. A defect is a
region (how it is shaped) and a fault (how the picture changes there).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
"""(H, W, 3) in [0, 1]."""
Alpha = NDArray[np.float32]
"""(H, W) in [0, 1]: how much of a place is defective."""
Random = np.random.Generator

SHIFT = 3  # cv2 draws at eighths of a pixel
SEEN = 0.02  # the smallest change of brightness, averaged over 3 x 3 pixels, that counts as a defect
FAINT = 0.4  # the share of spoilt pictures whose defects are weakened


def spoil(rng: Random, image: Image, other: Image) -> tuple[Image, NDArray[np.bool_]]:
    """Return `image` with one to three defects and the (H, W) mask of what changed visibly; it may be empty.

    `other` is a picture of the same size, of any material: foreign matter is cut from it.
    """
    new = image
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        alpha = region(rng, *image.shape[:2])
        fault = FAULTS[int(rng.choice(len(FAULTS), p=_WEIGHTS))]
        opacity = np.float32(rng.choice([1.0, rng.uniform(0.35, 1)]))
        new = np.clip(new + fault(rng, new, alpha, other) * opacity, 0, 1)
    if rng.random() < FAINT:
        new = image + (new - image) * np.float32(rng.uniform(0.15, 0.7))
    new = new.astype(np.float32)
    return new, changed(new, image)


def changed(new: Image, image: Image) -> NDArray[np.bool_]:
    """Return where (H, W) two pictures differ visibly."""
    return cv2.blur(np.abs(new - image).mean(2), (3, 3)) > SEEN


# --- where: one region


def region(rng: Random, height: int, width: int) -> Alpha:
    """Draw an ellipse, a box, a ragged polygon, a scratch with branches, a cloud, or all that lies beyond a wavy line."""
    if rng.random() < 0.12:
        return _side(rng, height, width)
    canvas = np.zeros((height, width), np.uint8)
    half = np.exp(rng.uniform(np.log(2.0), np.log(min(height, width) / 2.5), 2))
    if rng.random() < 0.5:  # about as long as it is wide
        half[1] = half[0] * rng.uniform(0.7, 1.3)
    centre, angle = rng.uniform(0.04, 0.96, 2) * (width, height), rng.uniform(0, 360)
    kind = int(rng.integers(5))
    if kind == 0:
        _ellipse(canvas, centre, half, angle)
    elif kind == 1:
        box = ((float(centre[0]), float(centre[1])), (float(2 * half[0]), float(2 * half[1])), float(angle))
        cv2.fillConvexPoly(canvas, _fine(cv2.boxPoints(box)), 255, cv2.LINE_AA, SHIFT)
    elif kind == 2:
        around = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 14))))
        reach = np.sqrt(half[0] * half[1]) * rng.uniform(0.4, 1.3, len(around))
        outline = np.stack([np.cos(around) * reach, np.sin(around) * reach], 1) + centre
        cv2.fillPoly(canvas, [_fine(outline)], 255, cv2.LINE_AA, SHIFT)
    elif kind == 3:
        _scratch(rng, canvas)
    else:
        _ellipse(canvas, centre, half * 1.5, angle)
        cloud = smooth(rng, height, width, int(rng.integers(3, 12)))
        cloud = np.clip((cloud - rng.uniform(0.35, 0.65)) * rng.uniform(3, 12) + 0.5, 0, 1)
        canvas = (canvas * cloud).astype(np.uint8)
    alpha = canvas.astype(np.float32) / 255
    soft = float(rng.choice([0, 0.6, 1.2, 2.5], p=[0.4, 0.25, 0.2, 0.15]))
    if soft and not (kind == 3 and soft > 1.3):  # a scratch that soft would vanish
        alpha = cv2.GaussianBlur(alpha, (0, 0), soft)
        alpha = alpha / alpha.max() if alpha.max() > 0.05 else alpha
    return alpha


def _side(rng: Random, height: int, width: int) -> Alpha:
    y, x = _grid(height, width)
    angle, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.35, 0.35, 2)
    across = np.cos(angle) * (x / width - 0.5 - at[0]) + np.sin(angle) * (y / height - 0.5 - at[1])
    wave = (smooth(rng, height, width, int(rng.integers(6, 40))) - 0.5) * rng.uniform(0, 0.3)
    steep = np.exp(rng.uniform(np.log(4), np.log(100)))  # from a soft change over a quarter of the picture to an edge
    return np.clip((across + wave) * steep + 0.5, 0, 1).astype(np.float32)


def _scratch(rng: Random, canvas: NDArray[np.uint8]) -> None:
    width = int(rng.choice([1, 1, 1, 2, 2, 3, 5]))
    trunk = _walk(rng, canvas.shape[0], canvas.shape[1])
    cv2.polylines(canvas, [_fine(trunk)], False, 255, width, cv2.LINE_AA, SHIFT)
    for _ in range(int(rng.integers(0, 3))):
        branch = _walk(rng, canvas.shape[0], canvas.shape[1])
        branch = branch - branch[0] + trunk[int(rng.integers(len(trunk)))]
        cv2.polylines(canvas, [_fine(branch)], False, 255, width, cv2.LINE_AA, SHIFT)


def _walk(rng: Random, height: int, width: int) -> NDArray[np.float64]:
    """Draw the corners (N, 2) of a line that is straight, bent or erratic."""
    count, step = int(rng.integers(2, 9)), np.exp(rng.uniform(np.log(2), np.log(14)))
    turn = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, rng.choice([0.05, 0.4, 0.9]), count))
    steps = np.stack([np.cos(turn), np.sin(turn)], 1) * step
    start = rng.uniform(0.05, 0.95, 2) * (width, height)
    return np.asarray(start + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)]))


def _ellipse(canvas: NDArray[np.uint8], centre: NDArray[np.float64], half: NDArray[np.float64], angle: float) -> None:
    at, axes = tuple(_fine(centre).tolist()), tuple(_fine(half).tolist())
    cv2.ellipse(canvas, at, axes, float(angle), 0, 360, 255, -1, cv2.LINE_AA, SHIFT)


def _fine(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.round(np.asarray(points) * 2**SHIFT).astype(np.int32)


# --- what: one fault, as the change (H, W, 3) or (H, W, 1) that it makes inside the region


def foreign(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Show another picture: foreign matter."""
    return _shown(other, image, alpha)


def turned(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Show another place of the part, turned by 90, 180 or 270 degrees (CutPaste, Li et al., CVPR 2021)."""
    height, width = alpha.shape
    piece = np.rot90(image, int(rng.integers(1, 4)) if height == width else 2)
    down, across = (int(rng.integers(side // 6, side - side // 6)) for side in (height, width))
    piece = np.roll(piece, (down, across), (0, 1))
    return _shown(piece[:, ::-1] if rng.random() < 0.3 else piece, image, alpha)


def tinted(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Shift the brightness, half of the time the colour too: stains."""
    shift = rng.choice([-1, 1]) * rng.uniform(0.05, 0.4) + (rng.normal(0, 0.08, 3) if rng.random() < 0.5 else 0)
    return np.asarray(shift, np.float32) * alpha[..., None]


def contrasted(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Weaken or strengthen the texture about its own mean: wear, polish, roughness."""
    side = alpha.shape[0] // 4 * 2 + 1
    mean = cv2.blur(image, (side, side))
    factor = np.float32(rng.choice([rng.uniform(0, 0.5), rng.uniform(1.7, 3)]))
    return _shown(mean + (image - mean) * factor, image, alpha)


def smeared(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Blur: smears, drops, films."""
    return _shown(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(1.0, 4))), image, alpha)


def flat(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Show one tone, half of the time a little uneven: holes, blobs of paint, dust, things that do not belong there."""
    tone = rng.random(3)
    if rng.random() >= 0.3:  # mostly grey, dark or bright
        level = rng.choice([rng.uniform(0, 0.25), rng.uniform(0.75, 1), rng.uniform(0, 1)])
        tone = np.clip(level + rng.normal(0, 0.03, 3), 0, 1)
    shown = np.empty_like(image)
    shown[:] = tone
    if rng.random() < 0.5:
        uneven = smooth(rng, *alpha.shape, int(rng.integers(2, 8))) - 0.5
        shown += np.float32(rng.uniform(0.02, 0.1)) * uneven[..., None]
    return _shown(shown, image, alpha)


def dent(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Light a dent or bump of that shape from one side: a bright and a dark flank."""
    height = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.7, 3)))
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(height, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(height, cv2.CV_32F, 0, 1)
    strongest = np.abs(slope).max() + 1e-6
    return np.asarray((slope / strongest * rng.uniform(0.1, 0.5))[..., None], np.float32)


def bent(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Displace the texture by a few pixels: bent pins, pulled threads, misprints."""
    height, width = alpha.shape
    y, x = _grid(height, width)
    reach, grain = np.float32(rng.uniform(4, 14)), int(rng.integers(6, 20))
    across, down = ((smooth(rng, height, width, grain) - 0.5) * reach * alpha for _ in range(2))
    return cv2.remap(image, x + across, y + down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101) - image


def rough(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Add grain, grey or coloured."""
    grain = noise(rng, *alpha.shape, 1 if rng.random() < 0.6 else 3)
    return np.float32(rng.uniform(0.05, 0.25)) * grain * alpha[..., None]


def shaded(rng: Random, image: Image, alpha: Alpha, other: Image) -> Image:
    """Darken, or let one colour through: burns, oil, moisture."""
    dark = rng.random() < 0.6
    factor = np.full(3, rng.uniform(0.3, 0.8)) if dark else 1 + rng.normal(0, 0.3, 3)
    return image * (factor - 1).astype(np.float32) * alpha[..., None]


def _shown(picture: Image, image: Image, alpha: Alpha) -> Image:
    return (picture - image) * alpha[..., None]


Fault = Callable[[Random, Image, Alpha, Image], Image]
FAULTS: tuple[Fault, ...] = (foreign, turned, tinted, contrasted, smeared, flat, dent, bent, rough, shaded)
_WEIGHTS = (0.14, 0.07, 0.2, 0.08, 0.08, 0.16, 0.12, 0.06, 0.04, 0.05)


# --- fields of noise, cheap enough to draw for each picture


def smooth(rng: Random, height: int, width: int, grain: int) -> Alpha:
    """Noise without detail finer than about `grain` pixels, about [0, 1] (cubic interpolation overshoots a little)."""
    coarse = rng.random((height // grain + 2, width // grain + 2), dtype=np.float32)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def noise(rng: Random, height: int, width: int, channels: int) -> Image:
    """(height, width, channels) standard normal numbers, a window into one long row drawn once."""
    count = height * width * channels
    pool = _pool(max(1 << 20, 2 * count))
    at = int(rng.integers(len(pool) - count))
    return pool[at : at + count].reshape(height, width, channels)


@lru_cache(2)
def _pool(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal(count, dtype=np.float32)


@lru_cache(4)
def _grid(height: int, width: int) -> NDArray[np.float32]:
    return np.mgrid[:height, :width].astype(np.float32)
