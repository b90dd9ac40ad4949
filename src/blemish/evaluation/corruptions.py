"""Changes of test images at a stated strength: light, contrast, sharpness, grain, position, compression. No torch.

An image is read as always, changed in [0, 1], and written as a PNG of 16 bits, which any later reader takes as it takes
the original: imaging, detectors and metrics know nothing of it. Only a turned image has turned masks.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import ImageError, InputError
from blemish.core.read_ahead import read_ahead
from blemish.data.record import Record
from blemish.imaging.images import Imaging
from blemish.imaging.reading import Image, read, read_mask, write_png

SIDE = 256
"""Blur is stated in pixels of an image whose shorter side has so many; a larger image is blurred by as much more."""


@dataclass(frozen=True, slots=True)
class Change:
    """One way in which an image can differ from what was learned.

    `apply` takes an image (H, W, 3) in [0, 1], the strength and a random generator. `least` and `most` bound the strength;
    `none` is the one that changes nothing. `unit` says what the strength means.
    """

    apply: Callable[[Image, float, np.random.Generator], Image]
    unit: str
    least: float
    most: float
    none: float


def brightness(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Multiply every value; what becomes brighter than white is white.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: The factor; 1 changes nothing.
        rng: Not needed.

    Returns:
        As `image`.
    """
    return np.asarray(np.minimum(image * np.float32(strength), 1))


def contrast(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Multiply every value's distance from the image's mean grey.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: The factor; 1 changes nothing.
        rng: Not needed.

    Returns:
        As `image`.
    """
    mean = np.float32(image.mean())
    return np.asarray(np.clip(mean + (image - mean) * np.float32(strength), 0, 1))


def blur(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Blur by a Gaussian.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: Its standard deviation in pixels, scaled to an image of 256 pixels.
        rng: Not needed.

    Returns:
        As `image`.
    """
    if strength == 0:
        return image
    sigma = strength * min(image.shape[:2]) / SIDE
    return np.asarray(np.clip(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101), 0, 1))


def noise(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Add Gaussian noise to every pixel and colour.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: Standard deviation; white is 1.
        rng: Draws the noise.

    Returns:
        As `image`.
    """
    return np.asarray(np.clip(image + rng.normal(0, strength, image.shape).astype(np.float32), 0, 1))


def rotation(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Rotate about the centre; the corners are filled by reflection.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: Degrees, counter-clockwise.
        rng: Not needed.

    Returns:
        As `image`.
    """
    return np.asarray(np.clip(turned(image, strength, cv2.INTER_LINEAR), 0, 1))


def jpeg(image: Image, strength: float, rng: np.random.Generator) -> Image:
    """Compress as JPEG, in 8 bits, and decode again.

    Args:
        image: (H, W, 3) in [0, 1].
        strength: Quality, 1 to 100.
        rng: Not needed.

    Returns:
        As `image`.
    """
    levels = np.rint(image * 255).astype(np.uint8)
    _, coded = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(strength)])
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "image.jpg"
        place.write_bytes(coded.tobytes())
        return read(place)


CHANGES: Mapping[str, Change] = MappingProxyType(
    {
        "brightness": Change(brightness, "factor", 0, 10, 1),
        "contrast": Change(contrast, "factor", 0, 10, 1),
        "blur": Change(blur, f"pixels of {SIDE}", 0, 64, 0),
        "noise": Change(noise, "standard deviation, white is 1", 0, 1, 0),
        "rotation": Change(rotation, "degrees", -180, 180, 0),
        "jpeg": Change(jpeg, "quality", 1, 100, 100),
    }
)


def turned(array: NDArray[Any], degrees: float, interpolation: int) -> NDArray[Any]:
    """Return an image or mask rotated about its centre, at the same size, reflected at its borders.

    Args:
        array: (H, W) or (H, W, C).
        degrees: Counter-clockwise.
        interpolation: OpenCV's flag.

    Returns:
        As `array`.
    """
    height, width = array.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1)
    return cv2.warpAffine(array, matrix, (width, height), flags=interpolation, borderMode=cv2.BORDER_REFLECT_101)


def change_records(
    records: Sequence[Record], name: str, strength: float, imaging: Imaging, folder: Path, seed: int
) -> list[Record]:
    """Return the records with changed copies of their images, and rotated masks after a rotation.

    The noise of an image is drawn from `seed` and its key: the same in any order and on any machine.

    Args:
        records: The originals.
        name: Which of CHANGES.
        strength: See `Change`.
        imaging: How images are read.
        folder: The copies are written below it.
        seed: Of the noise.

    Returns:
        Records of the copies, in the same order.

    Raises:
        ImageError: an image or a mask cannot be read.
    """
    if name == "rotation" and any(set(record.files) - {"image"} for record in records):
        raise InputError("rotation turns images; these parts have other files as well, which would no longer fit them")

    def write(record: Record) -> Record:
        rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(record.key.encode()).digest()[:8], "big")])
        image = CHANGES[name].apply(imaging.read(record.image), strength, rng)
        place = folder / "images" / f"{record.key}.png"
        write_png(place, np.rint(image * np.float32(imaging.white or 65535)).astype(np.uint16))
        masks = record.masks
        if name == "rotation":
            masks = tuple(_turn_mask(record, mask, strength, folder / f"masks{i}") for i, mask in enumerate(masks))
        files = {**record.files, "image": place}
        return replace(record, files=files, masks=masks, mask_above=0 if name == "rotation" else record.mask_above)

    changed = []
    for _, record in read_ahead(write, records):
        if isinstance(record, ImageError):
            raise record
        changed.append(record)
    return changed


def check(name: str, strength: float) -> None:
    """Check that a change can have that strength.

    Args:
        name: Which of CHANGES.
        strength: Its strength.

    Raises:
        InputError: it cannot.
    """
    change = CHANGES[name]
    if not change.least <= strength <= change.most:
        raise InputError(
            f"strength of {name} is {strength}; it must be from {change.least} to {change.most} ({change.unit})"
        )


def _turn_mask(record: Record, mask: Path, degrees: float, folder: Path) -> Path:
    marked = read_mask(mask, above=record.mask_above).astype(np.uint8) * 255
    place = folder / f"{record.key}.png"
    write_png(place, turned(marked, degrees, cv2.INTER_NEAREST))
    return place
