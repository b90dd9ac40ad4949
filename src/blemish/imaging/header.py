"""The header of an image file, read before the file is decoded: its kind, its size, whether it is complete.

Decoders accept files that end too early and return grey or black where pixels are missing, and they allocate what a
header asks for. Both are dangerous in production, so the header is read first, in plain Python, for the five kinds that
are accepted.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

Kind = Literal["PNG", "JPEG", "BMP", "TIFF", "WebP"]

WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q", 17: "q"}
"""The integer types that a TIFF's tags may hold; decoders accept a width in any of them."""


class Header(NamedTuple):
    """What the header reports.

    Attributes:
        kind: The file format.
        width: As stored, in pixels.
        height: As stored, in pixels.
        missing: What the file lacks; empty if it is complete.
        misread: What decoders read wrongly; empty if there is nothing.
        spoilt_by_alpha: Whether decoders multiply the colours by the transparency.
    """

    kind: Kind
    width: int
    height: int
    missing: str
    misread: str = ""
    spoilt_by_alpha: bool = False


class BadHeader(ValueError):
    """The bytes are none of the five kinds, or their header is damaged. Turned into an ImageError by `imaging`."""


def parse(data: bytes) -> Header:
    """Read the header of a PNG, JPEG, BMP, TIFF or WebP file held in memory.

    Args:
        data: Content of the file.

    Returns:
        The header.

    Raises:
        BadHeader: the bytes are none of these, or end before the header does.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return _tiff(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError) as error:
        raise BadHeader("its header is cut off or damaged") from error
    raise BadHeader("it is not a PNG, JPEG, BMP, TIFF or WebP image")


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    while at + 12 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        if data[at + 4 : at + 8] == b"IEND":
            return Header("PNG", width, height, "")
        at += 12 + length
    return Header("PNG", width, height, "its end (IEND)")


def _jpeg(data: bytes) -> Header:
    at, size = 2, None
    while True:
        while data[at] == 0xFF and data[at + 1] == 0xFF:  # fill bytes
            at += 1
        if data[at] != 0xFF:
            raise BadHeader("its JPEG markers are damaged")
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack_from(">HH", data, at + 5)
            size = (width, height)
        at += 2 + length
        if marker == 0xDA:  # start of scan: what follows is pixels, up to the end-of-image marker
            break
    if size is None:
        raise BadHeader("it has no JPEG frame header")
    return Header("JPEG", *size, "" if data.find(b"\xff\xd9", at) >= 0 else "its end (EOI)")


def _bmp(data: bytes) -> Header:
    start, size = struct.unpack_from("<II", data, 10)
    if size == 12:  # OS/2
        width, height = struct.unpack_from("<HH", data, 18)
        return Header("BMP", width, height, "")
    width, height = struct.unpack_from("<ii", data, 18)
    bits = struct.unpack_from("<H", data, 28)[0]
    compression = struct.unpack_from("<I", data, 30)[0]
    row = (abs(width) * bits + 31) // 32 * 4
    whole = compression not in (0, 3) or len(data) >= start + row * abs(height)
    return Header("BMP", abs(width), abs(height), "" if whole else "pixels at its end")


def _tiff(data: bytes) -> Header:
    tags = _tiff_tags(data)
    width, height = tags.get(256, 0), tags.get(257, 0)
    if min(width, height) < 1:
        raise BadHeader("it does not say how large it is")
    deep = tags.get(258, 1) > 8  # bits of a sample
    misread = ""
    if deep and tags.get(262) == 0:
        misread = "with more than 8 bits in which 0 is white"
    elif deep and tags.get(284) == 2:
        misread = "with more than 8 bits whose colours are stored one after the other (planar)"
    # a strip that is missing is found by the decoder, which then fails
    return Header("TIFF", width, height, "", misread, not deep and tags.get(338) == 2)


def _tiff_tags(data: bytes) -> dict[int, int]:
    """Return the first value of each integer tag of the first page; of a tag that is there twice the first counts."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), data, at)[0]
    first, step, room = at + (8 if big else 2), 20 if big else 12, 8 if big else 4
    tags: dict[int, int] = {}
    for entry in range(first, first + min(count, 4096) * step, step):
        tag, kind, values = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, entry)
        code = WHOLE_NUMBERS.get(kind)
        if code is not None:
            place = entry + step - room
            if values * struct.calcsize(order + code) > room:
                place = struct.unpack_from(order + ("Q" if big else "I"), data, place)[0]
            tags.setdefault(tag, struct.unpack_from(order + code, data, place)[0])
    return tags


def _webp(data: bytes) -> Header:
    length = struct.unpack_from("<I", data, 4)[0]
    chunk = data[12:16]
    if chunk == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif chunk == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", data, 26))
    return Header("WebP", width, height, "" if len(data) >= length + 8 else "bytes at its end")
