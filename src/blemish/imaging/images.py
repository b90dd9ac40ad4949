"""The one way from a file to the network's input, and from the network's map back to the file's pixels.

Training, testing, inspection, export and the server all come through here, so they all get a part in the same form.
Nothing else in blemish resizes an image; files are read in `reading`. No torch.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import FormatError, ImageError, InputError
from blemish.imaging.reading import LEAST, MAX_PIXELS, Image, Mask, named, read


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resize an image, antialiased where it shrinks.

    Each axis is averaged over the pixels it loses (area) or interpolated linearly where it grows.

    Args:
        image: (H, W) or (H, W, C) float32.
        size: The new (height, width), in pixels.

    Returns:
        The image at that size, float32.
    """
    height, width = image.shape[:2]
    shrinks = (size[0] <= height, size[1] <= width)
    if shrinks[0] == shrinks[1]:
        return _resize(image, size, area=shrinks[0])
    rows = _resize(image, (size[0], width), area=shrinks[0])
    return _resize(rows, size, area=shrinks[1])


def resize_mask(mask: Mask, size: tuple[int, int]) -> Mask:
    """Resize a mask by nearest neighbour.

    Args:
        mask: (H, W) bool.
        size: The new (height, width), in pixels.

    Returns:
        The mask at that size, bool.
    """
    if mask.shape == size:
        return mask
    return cv2.resize(mask.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST_EXACT).astype(bool)


@dataclass(frozen=True, slots=True, eq=False)
class Imaging:
    """How an image becomes the network's input. Saved with every inspector, so inspection equals training.

    Attributes:
        size: The (height, width) an image is resized to, in pixels.
        crop: The (height, width) then cut from its centre, as the papers do (256, then 224), or None.
        roi: Region of interest (left, top, right, bottom) in pixels of the original, cut out first, or None.
        ignore: (h, w) bool mask of what must not matter, at any resolution, or None. It is stretched over the original
            image and filled with mid-grey there before any network sees it, in training as in inspection.
        white: Sensor value that becomes 1.0, see `read`.
        max_pixels: Pixels of the largest image that is decoded.

    Raises:
        InputError: a value cannot be used.
    """

    size: tuple[int, int] = (256, 256)
    crop: tuple[int, int] | None = None
    roi: tuple[int, int, int, int] | None = None
    ignore: Mask | None = None
    white: float | None = None
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        _check_size("size", self.size)
        if self.crop is not None:
            _check_size("crop", self.crop)
            if self.crop[0] > self.size[0] or self.crop[1] > self.size[1]:
                raise InputError(f"crop {self.crop} is larger than size {self.size}; it is cut from the resized image.")
        if self.roi is not None and not (
            len(self.roi) == 4
            and all(isinstance(edge, Integral) for edge in self.roi)
            and (0 <= self.roi[0] < self.roi[2] and 0 <= self.roi[1] < self.roi[3])
        ):
            raise InputError(
                f"roi {self.roi} must be (left, top, right, bottom), whole, with 0 <= left < right, 0 <= top < bottom"
            )
        if self.ignore is not None and (self.ignore.ndim != 2 or self.ignore.dtype != bool or self.ignore.all()):
            raise InputError("ignore must be a (h, w) bool mask that leaves something to look at")
        if self.max_pixels < 1:
            raise InputError(f"max_pixels is {self.max_pixels}; it must be at least 1")
        if self.white is not None and not (math.isfinite(self.white) and self.white > 0):
            raise InputError(f"white {self.white} must be a positive sensor value, for example 4095 for 12 bits")

    @property
    def input_size(self) -> tuple[int, int]:
        """The (height, width) of what a network sees."""
        return self.crop or self.size

    def __call__(self, source: Path | str | bytes | ArrayLike) -> Image:
        """Return the network's input for an image file or array: (h, w, 3) float32 RGB in [0, 1]."""
        image = self.read(source)
        with named(source):
            return self.prepare(image)

    def read(self, source: Path | str | bytes | ArrayLike) -> Image:
        """Read an image at its own size, with the white level and limit of these settings.

        Args:
            source: File or array, see the function `read`.

        Returns:
            (H, W, 3) float32 RGB in [0, 1].

        Raises:
            ImageError: as the function `read`.
        """
        return read(source, white=self.white, max_pixels=self.max_pixels)

    def prepare(self, image: Image) -> Image:
        """Turn an image into the network's input.

        Args:
            image: (H, W, 3) float32 RGB in [0, 1], as `read` returns it.

        Returns:
            (h, w, 3) float32 RGB in [0, 1], at `input_size`.

        Raises:
            ImageError: a side is shorter than LEAST, or the region of interest does not fit in the image.
        """
        original = image.shape[:2]
        if min(original) < LEAST:
            raise ImageError(f"an image of {original[1]} x {original[0]} pixels is too small; each side needs {LEAST}.")
        if self.ignore is not None:
            image = np.where(resize_mask(self.ignore, original)[..., None], np.float32(0.5), image)
        left, top, right, bottom = self._box(original)
        prepared = self._centre(resize(image[top:bottom, left:right], self.size))
        return prepared if prepared.base is None else prepared.copy()  # a view would keep the whole image in memory

    def prepare_measurement(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn measurements into a network's input: cut and resized as the image is, by nearest neighbour.

        Args:
            values: (H, W, C) float32, as `read_measurement` returns them.

        Returns:
            (h, w, C) float32 at `input_size`, NaN where there is nothing, or what there is is ignored.

        Raises:
            ImageError: a side is shorter than LEAST, or the region of interest does not fit.
        """
        original = values.shape[:2]
        if min(original) < LEAST:
            raise ImageError(f"a map of {original[1]} x {original[0]} pixels is too small; each side needs {LEAST}.")
        if self.ignore is not None:
            values = np.where(resize_mask(self.ignore, original)[..., None], np.float32(np.nan), values)
        left, top, right, bottom = self._box(original)
        inside = np.ascontiguousarray(values[top:bottom, left:right])
        resized = cv2.resize(inside, self.size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
        return np.array(self._centre(resized.reshape(*self.size, values.shape[2])), np.float32)

    def prepare_mask(self, mask: Mask) -> Mask:
        """Resize a mask to the network's input size by nearest neighbour, for the papers' protocol.

        Args:
            mask: (H, W) bool, at the image's original size.

        Returns:
            (h, w) bool, at `input_size`.

        Raises:
            ImageError: the region of interest does not fit in the image.
        """
        left, top, right, bottom = self._box(mask.shape)
        return self._centre(resize_mask(mask[top:bottom, left:right], self.size))

    def restore(self, map: Image, original: tuple[int, int]) -> Image:
        """Bring a map of the network's input back to the image's original size, bilinearly.

        What the network never saw (outside the region of interest or the crop) and what is ignored gets the lowest
        score found inside.

        Args:
            map: (h, w) float32 raw scores, at `input_size`.
            original: The image's (height, width), in pixels.

        Returns:
            (H, W) float32 raw scores.

        Raises:
            ImageError: the region of interest does not fit in the image.
        """
        lowest = map.min()
        full = np.full(self.size, lowest, np.float32)
        top, left = (self.size[0] - map.shape[0]) // 2, (self.size[1] - map.shape[1]) // 2
        full[top : top + map.shape[0], left : left + map.shape[1]] = map
        box = self._box(original)
        inner = _resize(full, (box[3] - box[1], box[2] - box[0]), area=False)
        if self.roi is None and self.ignore is None:
            return inner
        whole = np.full(original, lowest, np.float32)
        whole[box[1] : box[3], box[0] : box[2]] = inner
        whole[~self.valid(original)] = lowest
        return whole

    def valid(self, original: tuple[int, int]) -> Mask:
        """Return where an image counts: in the region of interest, and not ignored.

        Args:
            original: The image's (height, width), in pixels.

        Returns:
            (H, W) bool.

        Raises:
            ImageError: the region of interest does not fit in the image.
        """
        left, top, right, bottom = self._box(original)
        valid = np.zeros(original, bool)
        valid[top:bottom, left:right] = True
        return valid if self.ignore is None else valid & ~resize_mask(self.ignore, original)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values; the ignore mask becomes a base64 PNG."""
        ignore = None
        if self.ignore is not None:
            _, png = cv2.imencode(".png", self.ignore.astype(np.uint8) * 255)
            ignore = base64.b64encode(png.tobytes()).decode()
        return {
            "size": self.size,
            "crop": self.crop,
            "roi": self.roi,
            "ignore": ignore,
            "white": self.white,
            "max_pixels": self.max_pixels,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Imaging:
        """Rebuild the settings.

        Args:
            values: What `as_dict` returned.

        Returns:
            Equal settings.

        Raises:
            FormatError: a setting is missing, unknown or impossible.
        """
        try:
            known = dict(values)
            ignore = known.pop("ignore")
            pairs = {name: tuple(known[name]) if known[name] else None for name in ("size", "crop", "roi")}
            if ignore is not None:
                coded = np.frombuffer(base64.b64decode(ignore), np.uint8)
                ignore = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)) > 0
            return cls(**{**known, **pairs}, ignore=ignore)
        except (KeyError, TypeError, ValueError, cv2.error) as error:
            raise FormatError(f"the imaging settings are damaged or from another version: {error}") from error

    def _box(self, original: tuple[int, ...]) -> tuple[int, int, int, int]:
        height, width = original[:2]
        if self.roi is None:
            return 0, 0, width, height
        if self.roi[2] > width or self.roi[3] > height:
            raise ImageError(
                f"the region of interest {self.roi} does not fit in an image of {width} x {height} pixels. "
                "All images must come from the same camera setting, or the region must be drawn anew."
            )
        return self.roi

    def _centre(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.crop is None:
            return array
        top, left = (self.size[0] - self.crop[0]) // 2, (self.size[1] - self.crop[1]) // 2
        return np.ascontiguousarray(array[top : top + self.crop[0], left : left + self.crop[1]])


def _resize(image: Image, size: tuple[int, int], *, area: bool) -> Image:
    if image.shape[:2] == size:
        return image
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def _check_size(name: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and 8 <= side <= 8192 for side in size):
        raise InputError(f"{name} {size} must be (height, width), two integers from 8 to 8192 pixels")
