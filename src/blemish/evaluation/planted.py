"""Planted defects: copies of good parts that somebody has spoilt, to choose settings by where no real defects are at hand.

A spot of random outline is replaced: by the same part's surface from elsewhere, mirrored (as in CutPaste, Li et al., CVPR
2021), by a change of brightness, or by grain. They say which of two settings sees more, not how good either is on real
defects: nothing of a report comes from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import ImageError, InputError
from blemish.data.record import Record
from blemish.imaging.images import Imaging, resize
from blemish.imaging.reading import Image, Mask, write_png

KINDS = ("moved", "brightness", "grain")

Judge = Literal["planted", "validation"]
"""What a search is judged on (`blemish.engine.search`): planted defects, or a data set's labelled validation images."""


def plant(image: Image, kind: str, rng: np.random.Generator) -> tuple[Image, Mask]:
    """Spoil a part in one spot.

    Args:
        image: (H, W, 3) float32 RGB in [0, 1].
        kind: One of `KINDS`.
        rng: Decides outline, place and content.

    Returns:
        The spoilt image, and where it is spoilt, (H, W) bool, never empty.
    """
    height, width = image.shape[:2]
    spot = _spot((height, width), rng)
    if kind == "moved":
        shift = rng.integers(height // 4, max(height // 2, height // 4 + 1)), rng.integers(width // 4, 1 + width // 2)
        content: NDArray[Any] = np.roll(image, shift, (0, 1))[:, ::-1]
    elif kind == "brightness":
        content = image + rng.choice([-1, 1]) * rng.uniform(0.15, 0.4)
    else:
        content = image + rng.normal(0, rng.uniform(0.1, 0.25), image.shape)
    mask = spot > 0.5
    changed = image + (content - image) * spot[..., None]
    return np.asarray(changed.clip(0, 1), np.float32), mask


def planted(records: Sequence[Record], imaging: Imaging, folder: Path, seed: int = 0) -> list[Record]:
    """Write a spoilt copy of each good part, of each kind in turn.

    Args:
        records: Good parts.
        imaging: How they are read; the spot lies within its region of interest.
        folder: Copies and masks are written below it.
        seed: Decides what is planted.

    Returns:
        The records of the copies, labelled defective, for testing.

    Raises:
        InputError: a part has other files than its image, which would not show the defect.
        StorageError: a copy cannot be written.
    """
    found = []
    for number, record in enumerate(records):
        if set(record.files) != {"image"}:
            raise InputError(
                f"{record.key} has {', '.join(record.files)}; defects are planted in images alone. Judge by a labelled "
                "validation split (validation)."
            )
        try:
            image = imaging.read(record.image)
        except ImageError:  # as in training: what cannot be read is left out
            continue
        left, top, right, bottom = imaging.roi or (0, 0, image.shape[1], image.shape[0])
        spoilt, mask = image.copy(), np.zeros(image.shape[:2], bool)
        kind = KINDS[number % len(KINDS)]
        box = slice(top, bottom), slice(left, right)
        spoilt[box], mask[box] = plant(image[box], kind, np.random.default_rng((seed, number)))
        place = folder / f"{number:04}"
        write_png(place / "image.png", np.rint(spoilt * np.float32(imaging.white or 65_535)).astype(np.uint16))
        write_png(place / "mask.png", mask.astype(np.uint8) * 255)
        files = {"image": place / "image.png"}
        found.append(
            replace(record, files=files, kind=kind, label=1, split="test", masks=(place / "mask.png",), mask_above=0)
        )
    return found


def _spot(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return a blob of random outline with soft edges, (H, W) in [0, 1], of about 1 to 6 % of the image."""
    height, width = size
    side = rng.uniform(0.1, 0.25) * min(size)
    y, x = rng.uniform(0.15, 0.85, 2) * (height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    angle, stretch = rng.uniform(0, np.pi), rng.uniform(1, 2.5)
    u = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle)
    v = (rows - y) * np.cos(angle) - (columns - x) * np.sin(angle)
    waves = resize(np.repeat(rng.normal(0, 0.25, (6, 6, 1)).astype(np.float32), 3, 2), size)[..., 0]
    distance = np.hypot(u / stretch, v * stretch) / side + waves
    spot = np.clip((1 - distance) * 4, 0, 1)
    if spot.max() <= 0.5:  # the waves have swallowed it
        spot[int(y), int(x)] = 1
    return np.asarray(spot, np.float32)
