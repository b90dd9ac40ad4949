"""Reading the files of a part: images, masks and measurements, as arrays of one form. No torch.

Nothing else in blemish reads an image.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from blemish.core.errors import ImageError
from blemish.core.files import write_atomically
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


def read(source: Path | str | bytes | ArrayLike, *, white: float | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read any image.

    Files may be PNG, JPEG, BMP, TIFF or WebP; 8 or 16 bits; grey, colour or palette; the camera's EXIF rotation is
    applied, transparency is dropped, and of a TIFF with several pages the first is read. Kinds of TIFF that OpenCV
    reads wrongly are refused: planar, or with white as 0, of more than 8 bits; colours under a transparency of 8 bits.

    Args:
        source: File, its content as bytes, or array (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), in RGB order, of uint8,
            uint16 or float.
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


def read_measurement(
    source: Path | str | bytes | ArrayLike, channels: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.float32]:
    """Read measurements of each pixel: points or depth.

    Files are those of `read`, with floats of 32 bits as well, or NumPy's .npy. Where the sensor saw nothing a file holds 0
    in all channels, or NaN.

    Args:
        source: File, its content as bytes, or array (H, W) or (H, W, C).
        channels: How many values there are for a pixel: 3 of points, 1 of depth.
        max_pixels: A file with more pixels is refused.

    Returns:
        (H, W, C) float32 in the file's own unit, all NaN where there is nothing.

    Raises:
        ImageError: as `read`, or there is another number of values, an infinite one, or nothing at all.
    """
    values, name = _numpy(source) or _decode(source, cv2.IMREAD_UNCHANGED, max_pixels)
    values = values[..., None] if values.ndim == 2 else values
    if values.ndim != 3 or values.shape[2] != channels or values.dtype.kind not in "uif":
        raise ImageError(
            f"{name} has shape {values.shape} of {values.dtype}; it must be (height, width, {channels}) of numbers."
        )
    if values.shape[0] * values.shape[1] > max_pixels:
        raise ImageError(
            f"{name} holds {values.shape[1]} x {values.shape[0]} pixels; the limit is {max_pixels:,} in all."
        )
    found = values.astype(np.float32)
    if np.isinf(found).any():
        raise ImageError(f"{name} holds infinite values; where nothing was measured write 0 or NaN.")
    found[(found == 0).all(axis=2) | np.isnan(found).any(axis=2)] = np.nan
    if np.isnan(found).all():
        raise ImageError(f"{name} holds no measurement: all of it is 0 or NaN.")
    return found


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
    return np.asarray(read_mask_values(source, max_pixels=max_pixels) > above)


def read_mask_values(source: Path | str | ArrayLike, *, max_pixels: int = MAX_PIXELS) -> NDArray[Any]:
    """Read a ground-truth mask whose values name what they mark.

    Args:
        source: As for `read_mask`.
        max_pixels: A file with more pixels is refused.

    Returns:
        (H, W), the largest value of any channel, in the file's own values.

    Raises:
        ImageError: as `read`.
    """
    pixels, _ = _decode(source, cv2.IMREAD_ANYCOLOR, max_pixels)
    if pixels.ndim == 3 and pixels.shape[2] == 4:  # an array's opaque alpha channel marks nothing
        pixels = pixels[..., :3]
    return np.asarray(pixels.max(axis=2) if pixels.ndim == 3 else pixels)


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
        image: (H, W) grey or (H, W, 3) RGB, uint8 or uint16.

    Returns:
        Content of the file.
    """
    _, coded = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)
    return coded.tobytes()


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write pixels as PNG, whole or not at all; folders that are missing are made.

    Args:
        path: The file.
        image: (H, W) grey or (H, W, 3) RGB, uint8 or uint16.

    Raises:
        StorageError: it cannot be written.
    """

    def write(part: Path) -> None:
        part.write_bytes(encode_png(image))

    write_atomically(path, write)


def _numpy(source: Path | str | bytes | ArrayLike) -> tuple[NDArray[Any], str] | None:
    """Return the array in NumPy's own format that a file or its content holds; None where it is something else."""
    named_so = isinstance(source, str | Path) and Path(source).suffix.lower() == ".npy"
    if not (named_so or (isinstance(source, bytes) and source.startswith(b"\x93NUMPY"))):
        return None
    name = str(source) if isinstance(source, str | Path) else "the content given as bytes"
    try:
        opened = io.BytesIO(source) if isinstance(source, bytes) else Path(str(source))
        found: NDArray[Any] = np.load(opened, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ImageError(f"{name} cannot be read as an .npy file: {error}. Copy it again.") from error
    return found, name


def _decode(source: Path | str | bytes | ArrayLike, flag: int, max_pixels: int) -> tuple[NDArray[Any], str]:
    if not isinstance(source, str | Path | bytes):
        array: NDArray[Any] = np.asarray(source)
        return array.astype(array.dtype.newbyteorder("="), copy=False), "the array"
    data = source if isinstance(source, bytes) else _bytes(Path(source), max_pixels)
    source = "the content given as bytes" if isinstance(source, bytes) else source
    if not data:
        raise ImageError(f"{source} is empty (0 bytes). Give the whole file.")
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
