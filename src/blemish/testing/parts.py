"""Made parts of any kind of input: slanted stripes in colour and in relief; defects are dents in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from blemish.core.card import DatasetCard
from blemish.core.files import write_atomically
from blemish.core.inputs import KINDS, kinds
from blemish.data.datamodule import DataModule
from blemish.data.layout import folders
from blemish.data.record import GOOD, Record
from blemish.imaging.reading import write_png

DENT = "dent"

CARD = DatasetCard(
    name="Made parts for tests",
    paper=None,
    licence="Apache-2.0",
    home="",
    categories=(),
    layout=("<category>/{train,test}/{good,dent}/{image,points,depth,mask}/NNN.{png,npy}",),
    masks="above 0 is defective",
)


def make_parts(
    root: Path | str,
    inputs: Sequence[str] = ("image",),
    *,
    categories: Sequence[str] = ("stripes",),
    good: int = 24,
    test: int = 8,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
) -> Path:
    """Write parts of every category: good ones to learn from, as many good as defective ones to test.

    Args:
        root: Folder to write.
        inputs: Kinds of input; those without pixels need no file.
        categories: Names; each has stripes of its own slant and colour.
        good: Good parts to learn from.
        test: Test parts, half of them defective.
        size: (height, width) in pixels.
        seed: Of everything random.

    Returns:
        The folder.
    """
    named = [kind.name for kind in kinds(inputs, "make_parts") if kind.channels]
    for number, category in enumerate(categories):
        rng = np.random.default_rng((seed, number))
        for split, kind, count in (("train", GOOD, good), ("test", GOOD, test // 2), ("test", DENT, test - test // 2)):
            folder = Path(root) / category / split / kind
            for index in range(count):
                relief, mask = _relief(size, number, rng, dented=kind == DENT)
                for name in named:
                    _write(folder / name / f"{index:03}", name, relief, number, rng)
                if kind == DENT:
                    write_png(folder / "mask" / f"{index:03}.png", mask.astype(np.uint8) * 255)
    return Path(root)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of made parts.

    Args:
        root: Folder that `make_parts` wrote.
        category: One of its categories; None for all.

    Returns:
        The records, sorted by key.
    """
    root, records = Path(root), []
    for place in folders(root) if category is None else [root / category]:
        for kind_folder in sorted(place.glob("*/*")):
            split, kind = kind_folder.parent.name, kind_folder.name
            files: dict[str, dict[str, Path]] = {}
            for path in sorted(kind_folder.glob("*/*")):
                files.setdefault(path.stem, {})[path.parent.name] = path
            for stem, shown in files.items():
                masks = (shown.pop("mask"),) if "mask" in shown else ()
                key = f"{place.name}/{split}/{kind}/{stem}"
                label = int(kind != GOOD)
                records.append(Record(key, shown, kind, label, split, place.name, masks))  # type: ignore[arg-type]  # as written
    return sorted(records, key=lambda record: record.key)


class MadeParts(DataModule):
    """Parts that `make_parts` wrote."""

    card = CARD
    index = staticmethod(index)


def _relief(
    size: tuple[int, int], category: int, rng: np.random.Generator, *, dented: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return heights in [0, 1], and where they are dented: a quarter of each side, its stripes turned and pressed in."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    slant = 0.4 + 0.5 * category
    relief = 0.5 + 0.3 * np.sin((columns + slant * rows) * 0.7 + rng.uniform(0, 2 * np.pi))
    mask = np.zeros(size, bool)
    if dented:
        side = min(size) // 4
        top, left = rng.integers(0, size[0] - side), rng.integers(0, size[1] - side)
        box = slice(top, top + side), slice(left, left + side)
        relief[box], mask[box] = relief[box].T * 0.6 + 0.35, True
    return (relief + rng.normal(0, 0.01, size)).clip(0, 1).astype(np.float32), mask


def _write(stem: Path, name: str, relief: NDArray[np.float32], category: int, rng: np.random.Generator) -> None:
    kind = KINDS[name]
    if not kind.measured:
        colour = np.array([1, 0.9 - 0.2 * (category % 3), 0.8 - 0.2 * (category % 4)])
        write_png(stem.with_suffix(".png"), (relief[..., None] * colour * 255).astype(np.uint8))
        return
    value: NDArray[np.float32] = relief[..., None]
    if kind.channels == 3:
        rows, columns = np.mgrid[: relief.shape[0], : relief.shape[1]].astype(np.float32)
        value = np.stack([columns, rows, relief], axis=2)
    value = np.where(rng.random(relief.shape)[..., None] < 0.01, np.nan, value).astype(np.float32)

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.save(stream, value)

    write_atomically(stem.with_suffix(".npy"), write)
