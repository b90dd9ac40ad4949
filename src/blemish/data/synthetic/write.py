"""Writing the synthetic inspection task: each category in MVTec's layout, complete or not at all, the same per seed."""

from __future__ import annotations

import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from blemish.core.errors import DataError, FormatError, InputError, UnknownName
from blemish.core.files import read_json, storage_errors, write_json
from blemish.data.record import GOOD
from blemish.data.synthetic.render import CATEGORIES, LARGEST, SMALLEST, render

TRAIN, TEST_GOOD, PER_DEFECT = 40, 12, 6
NOTE = "synthetic.json"
EDITION = 1
"""Increased when the images change, so that an older copy is not taken for a new one."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """What determines the images of one category."""

    category: str
    train: int
    test_good: int
    per_defect: int
    size: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        return {"edition": EDITION, **asdict(self)}

    def pictures(self) -> Iterator[tuple[str, str, int]]:
        """Yield (split, kind, number) of every image."""
        yield from (("train", GOOD, i) for i in range(self.train))
        yield from (("test", GOOD, i) for i in range(self.test_good))
        yield from (("test", kind, i) for kind in CATEGORIES[self.category] for i in range(self.per_defect))

    def paths(self) -> Iterator[str]:
        """Yield every file, relative to the category's folder."""
        for split, kind, number in self.pictures():
            yield f"{split}/{kind}/{number:03}.png"
            if kind != GOOD:
                yield f"ground_truth/{kind}/{number:03}_mask.png"

    def draw(self, split: str, kind: str, number: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        name = f"{self.category}/{split}/{kind}/{number}"  # its own random state: other counts change no image
        return render(self.category, kind, self.size, np.random.default_rng([self.seed, zlib.crc32(name.encode())]))


def make(
    root: Path,
    *,
    categories: Sequence[str] | None = None,
    train: int = TRAIN,
    test_good: int = TEST_GOOD,
    per_defect: int = PER_DEFECT,
    size: int = 256,
    seed: int = 0,
    progress: Progress | None = None,
) -> Path:
    """Make the synthetic data set.

    A category appears complete or not at all; one that is there already, made the same way, is kept.

    Args:
        root: Folder to which the categories are written.
        categories: Names from `CATEGORIES`; None for all.
        train: Number of good training images.
        test_good: Number of good test images.
        per_defect: Number of test images of each kind of defect.
        size: Side of an image in pixels, 64 to 2048.
        seed: Random seed, at least 0.
        progress: Called with the number of images done and wanted.

    Returns:
        `root`.

    Raises:
        UnknownName: no such category.
        InputError: a count below 1, a size outside 64 .. 2048, a negative seed.
        DataError: a category's folder is there but holds something else, or is not complete.
        StorageError: `root` cannot be written.
    """
    root = Path(root)
    chosen = list(dict.fromkeys(CATEGORIES if categories is None else categories))
    for category in chosen:
        if category not in CATEGORIES:
            raise UnknownName("category", category, CATEGORIES)
    for name, value in (("train", train), ("test_good", test_good), ("per_defect", per_defect)):
        if value < 1:
            raise InputError(f"{name} is {value}; at least 1 picture is needed")
    if not SMALLEST <= size <= LARGEST:
        raise InputError(f"size is {size}; a picture can be {SMALLEST} to {LARGEST} pixels wide")
    if seed < 0:
        raise InputError(f"seed is {seed}; it must be 0 or more")
    orders = [_Order(category, train, test_good, per_defect, size, seed) for category in chosen]
    missing = [order for order in orders if not _is_there(order, root / order.category)]
    total = sum(1 for order in missing for _ in order.pictures())
    done = 0
    for order in missing:
        done = _make_category(order, root, done, total, progress)
    return root


def _is_there(order: _Order, folder: Path) -> bool:
    """Return whether the category is complete already; raise if its folder holds something else."""
    with storage_errors(folder):
        if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
            return False
    advice = "Choose another folder, or remove this one."
    note = folder / NOTE
    if not note.is_file():
        raise DataError(f"{folder} is not a copy of this data set: it holds no {NOTE}. {advice}")
    try:
        found = read_json(note)
    except FormatError as error:
        raise DataError(f"{folder} cannot be used: {error}") from error
    if found != order.as_dict():
        raise DataError(f"{folder} was made with {found}; wanted is {order.as_dict()}. {advice}")
    gone = [path for path in order.paths() if not (folder / path).is_file()]
    if gone:
        raise DataError(f"{folder} is not whole: {len(gone)} files are missing, the first is {gone[0]}. {advice}")
    return True


def _make_category(order: _Order, root: Path, done: int, total: int, progress: Progress | None) -> int:
    """Make one category in a hidden folder next to it and rename that; return how many images are done."""
    folder = root / order.category
    part = root / f".{order.category}.{uuid.uuid4().hex}.part"

    def paint(picture: tuple[str, str, int]) -> None:
        split, kind, number = picture
        image, mask = order.draw(split, kind, number)
        _write_png(part / split / kind / f"{number:03}.png", image[..., ::-1])
        if kind != GOOD:
            _write_png(part / "ground_truth" / kind / f"{number:03}_mask.png", mask.astype(np.uint8) * 255)

    try:
        with storage_errors(folder):
            for path in order.paths():
                (part / path).parent.mkdir(parents=True, exist_ok=True)
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in pool.map(paint, order.pictures()):
                    done += 1
                    if progress is not None:
                        progress(done, total)
            write_json(part / NOTE, order.as_dict())
            try:
                part.rename(folder)
            except OSError:  # another process may have been faster
                if not _is_there(order, folder):
                    raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return done


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    _, content = cv2.imencode(".png", image)
    path.write_bytes(content.tobytes())
