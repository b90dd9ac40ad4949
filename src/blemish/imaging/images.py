"""The one way from a file to the network's input, and from the network's map back to the file's pixels.

Training, testing, inspection, export and the server all come through here, so they all get a part in the same form.
Nothing else in blemish reads or resizes an image. No torch.
"""

from __future__ import annotations

import base64
import math
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import FormatError, ImageError, InputError
from blemish.imaging.header import BadHeader, parse

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MAX_PIXELS = 80_000_000
"""Larger images are refused before they are decoded: a small file can claim to hold a giant image."""

LEAST = 8
"""Images with a shorter side, in pixels, are refused: nothing can be seen in them."""

LARGEST_PIXEL, BESIDE_PIXELS = 16, 2**26
"""Bytes of the largest pixel there is (four 32-bit channels), and of all else that a file holds; no more is read."""

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def read(source: Path | str | ArrayLike, *, white: float | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read any image.

    Files may be PNG, JPEG, BMP, TIFF or WebP; 8 or 16 bits; grey, colour or palette; the camera's EXIF rotation is
    applied, transparency is dropped, and of a TIFF with several pages the first is read. Kinds of TIFF that OpenCV
    reads wrongly are refused: planar, or with white as 0, of more than 8 bits; colours under a transparency of 8 bits.

    Args:
        source: File, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), in RGB order, of uint8, uint16 or float.
        white: Value that becomes 1.0 (brighter ones are clipped): 4095 for a 12-bit camera whose images are stored in
            16-bit files. By default the largest value of the integer type, and 1.0 for floats.
        max_pixels: A file with more pixels is refused.

    Returns:
        (H, W, 3) float32 RGB in [0, 1].

    Raises:
        ImageError: the file is absent, empty, cut off, too large, of another kind, or its values make no sense.
    """
    pixels, name = _decode(source, cv2.IMREAD_COLOR, max_pixels)
    return _as_unit(pixels, white, name)


def read_mask(source: Path | str | ArrayLike, *, above: int = 0, max_pixels: int = MAX_PIXELS) -> Mask:
    """Read a ground-truth mask.

    Like `read` it drops transparency and applies an EXIF rotation, so a mask rotated like its image fits it.

    Args:
        source: File, or array as for `read`.
        above: Stored value; a pixel is marked where any channel is greater.
        max_pixels: A file with more pixels is refused.

    Returns:
        (H, W) bool, True where marked.

    Raises:
        ImageError: as `read`.
    """
    pixels, _ = _decode(source, cv2.IMREAD_ANYCOLOR, max_pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:  # an array's opaque alpha channel marks nothing
        pixels = pixels[..., :3]
    marked = pixels > above
    return np.asarray(marked.any(axis=2) if marked.ndim == 3 else marked)


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

    def __call__(self, source: Path | str | ArrayLike) -> Image:
        """Return the network's input for an image file or array: (h, w, 3) float32 RGB in [0, 1]."""
        image = self.read(source)
        with named(source):
            return self.prepare(image)

    def read(self, source: Path | str | ArrayLike) -> Image:
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


@contextmanager
def named(source: Any) -> Iterator[None]:
    """Put a file's name before the message of an ImageError that does not have it.

    Args:
        source: The file; an array has no name.

    Yields:
        Nothing.

    Raises:
        ImageError: the block raised one.
    """
    try:
        yield
    except ImageError as error:
        if isinstance(source, str | Path):
            raise ImageError(f"{source}: {error}") from error
        raise


def encode_png(image: NDArray[Any]) -> bytes:
    """Encode pixels as PNG.

    Args:
        image: (H, W) grey or (H, W, 3) RGB, uint8.

    Returns:
        Content of the file.
    """
    _, coded = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    return coded.tobytes()


def _decode(source: Path | str | ArrayLike, flag: int, max_pixels: int) -> tuple[NDArray[Any], str]:
    if not isinstance(source, str | Path):
        array: NDArray[Any] = np.asarray(source)
        return array.astype(array.dtype.newbyteorder("="), copy=False), "the array"
    data = _bytes(Path(source), max_pixels)
    try:
        header = parse(data)
    except BadHeader as error:
        raise ImageError(f"{source} cannot be read: {error}.") from error
    if header.missing:
        raise ImageError(f"{source} is a {header.kind} file that is cut off; it lacks {header.missing}. Copy it again.")
    if header.width * header.height > max_pixels:
        raise ImageError(
            f"{source} holds {header.width} x {header.height} pixels; the limit is {max_pixels:,} in all. "
            "Make it smaller, or raise the limit (max_pixels) if you trust the file."
        )
    if header.misread:
        raise ImageError(f"{source} is a {header.kind} file {header.misread}, which is not supported. Save it as PNG.")
    try:
        if header.spoilt_by_alpha:
            flag = cv2.IMREAD_UNCHANGED
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ImageError(f"{source} cannot be decoded as {header.kind}: {error.err}.") from error
    if pixels is None or pixels.size == 0 or pixels.dtype not in (np.uint8, np.uint16, np.float32):
        raise ImageError(
            f"{source} is a {header.kind} file whose pixels cannot be decoded: it is damaged, or holds another kind of "
            "numbers than unsigned integers of 8 or 16 bits."
        )
    if header.spoilt_by_alpha and pixels.ndim == 3 and pixels.shape[2] == 4:
        if (pixels[..., 3] < 255).any():
            raise ImageError(
                f"{source} is a {header.kind} file in part transparent, whose colours there are lost in reading. "
                "Save it as PNG, or without transparency."
            )
        pixels = pixels[..., :3]
    return (cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if pixels.ndim == 3 and pixels.shape[2] == 3 else pixels), str(
        source
    )


def _bytes(path: Path, max_pixels: int) -> bytes:
    """Return a file's content, unless it is no regular file (a pipe never ends) or too large for that many pixels."""
    try:
        known = path.stat()
        if not stat.S_ISREG(known.st_mode):
            raise ImageError(f"{path} cannot be opened: it is not a regular file. Name an image file.")
        if known.st_size > LARGEST_PIXEL * max_pixels + BESIDE_PIXELS:
            raise ImageError(
                f"{path} has {known.st_size:,} bytes, more than an image of {max_pixels:,} pixels, the limit, can need. "
                "Check what it is, or raise the limit (max_pixels) if you trust the file."
            )
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{path} does not exist. Check the path.") from error
    except OSError as error:
        raise ImageError(f"{path} cannot be opened: {error.strerror or error}.") from error
    if not data:
        raise ImageError(f"{path} is empty (0 bytes). Copy it again.")
    return data


def _as_unit(pixels: NDArray[Any], white: float | None, name: str) -> Image:
    if pixels.ndim not in (2, 3) or pixels.size == 0 or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3, 4)):
        raise ImageError(f"{name} has shape {pixels.shape}; allowed are (H, W), (H, W, 1), (H, W, 3) and (H, W, 4).")
    if pixels.dtype in (np.uint8, np.uint16):
        largest = float(np.iinfo(pixels.dtype).max)
        if white is not None and white > largest:
            raise ImageError(
                f"{name} has {pixels.dtype} values up to {largest:g}, so {white:g} cannot be its white level."
            )
        scale = white or largest
    elif pixels.dtype.kind == "f":
        scale = white or 1.0
        if not np.isfinite(pixels).all() or pixels.min() < 0 or (white is None and pixels.max() > 1):
            raise ImageError(
                f"{name} holds {pixels.dtype} values from {pixels.min():g} to {pixels.max():g}; floats must be finite "
                "and lie in [0, 1], or `white` must say which value is white."
            )
    else:
        raise ImageError(f"{name} holds {pixels.dtype} values; allowed are uint8, uint16 and float.")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    image = pixels[..., :3].astype(np.float32)
    image *= np.float32(1 / scale)
    if white is not None:
        np.minimum(image, 1, out=image)
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image)


def _resize(image: Image, size: tuple[int, int], *, area: bool) -> Image:
    if image.shape[:2] == size:
        return image
    resized = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR)
    return resized.astype(np.float32, copy=False)


def _check_size(name: str, size: tuple[int, int]) -> None:
    if len(size) != 2 or not all(isinstance(side, int) and 8 <= side <= 8192 for side in size):
        raise InputError(f"{name} {size} must be (height, width), two integers from 8 to 8192 pixels")
