"""Magnetic Tile: crops of magnetic tiles, each of a different size, each tile at up to six exposures.

There is no official one-class split. Papers draw 80 % of the good images by file. The number in a file's name counts
the camera's frames, and no two files share one; but a tile's exposures follow each other within a few dozen frames, in
rising order, so splitting by file puts the same tile, darker or brighter, on both sides. By default we therefore split
by tile: good images stay together where the exposure rises from one frame to the next or at most `TILE_FRAMES` are
between them. That rarely joins two neighbouring tiles, which does no harm. `by="file"` splits as the papers do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError, UnknownName
from blemish.data.datamodule import DataModule
from blemish.data.layout import folders, in_order, listing, require_images, single
from blemish.data.record import GOOD, Record
from blemish.data.split import held_share, hold_out, hold_out_groups

CARD = DatasetCard(
    name="Magnetic Tile",
    paper=Paper(
        title="Surface defect saliency of magnetic tile",
        authors="Yibin Huang, Congying Qiu, Kui Yuan",
        year=2020,
        venue="The Visual Computer",
        url="https://doi.org/10.1007/s00371-018-1588-5",
    ),
    licence="none stated",
    home="https://github.com/abin24/Magnetic-tile-defect-datasets.",
    categories=("magnetic_tile",),
    layout=("MT_<kind>/Imgs/expE_num_N.jpg", "MT_<kind>/Imgs/expE_num_N.png"),
    masks="named like the image, but .png; grey and smooth at the border: above 127 is defective; all 0 in MT_Free",
    counts={
        "magnetic_tile": Counts(
            763, 189, 392, kinds={"Blowhole": 115, "Break": 85, "Crack": 57, "Fray": 32, "Uneven": 103}
        )
    },
    counts_source="files of the repository; its 952 good images are divided by us, 80 to 20 in whole tiles",
    archives=(Archive(name="Magnetic-tile-defect-datasets.zip"),),  # the repository itself, fetched by hand
)
TOPS = tuple(f"Magnetic-tile-defect-datasets{end}" for end in (".", "", ".-master", "-master"))
FREE = "MT_Free"
TILE_FRAMES = 200
NAME = re.compile(r"exp(\d+)_num_(\d+)")


def index(
    root: Path | str,
    category: str | None = None,
    *,
    train_share: float = 0.8,
    seed: int = 0,
    by: Literal["tile", "file"] = "tile",
) -> list[Record]:
    """Return the records of Magnetic Tile. Kinds are the folders' names without "MT_".

    Args:
        root: The data set's folder, or the one that holds it.
        category: "magnetic_tile" or None.
        train_share: Share of the good images for training, in (0, 1]; by tile at least that. All others are for
            testing.
        seed: Random seed of the split.
        by: Split whole tiles, or single files as the papers do.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: the category is not "magnetic_tile", or `by` is neither "tile" nor "file".
        DataError: the folder is not laid out as the card says.
        InputError: `train_share` is not above 0 and up to 1.
    """
    if by not in ("tile", "file"):
        raise UnknownName("way to split", by, ("tile", "file"))
    base = single(CARD, "magnetic_tile", root, category, looks_for=f"{FREE}/Imgs/*.jpg", tops=TOPS)
    records = [record for folder in folders(base) if folder.name.startswith("MT_") for record in _kind(folder, base)]
    good = [record for record in records if record.label == 0]
    if by == "file":
        train, held = hold_out(good, held_share(train_share), seed)
    else:
        tile = tiles(record.image for record in good)
        good = [replace(record, group=tile[record.image]) for record in good]
        train, held = hold_out_groups(good, held_share(train_share), seed)
    test = [replace(record, split="test") for record in held]
    return in_order([*train, *test, *(record for record in records if record.label == 1)])


def tiles(paths: Iterable[Path]) -> dict[Path, str]:
    """Group images by tile.

    Args:
        paths: Image files named expE_num_N: exposure E, frame N.

    Returns:
        The name of every image's tile: the number of its first frame.

    Raises:
        DataError: a file is not named expE_num_N.
    """
    frames = sorted((*_frame(path), path) for path in paths)
    found: dict[Path, str] = {}
    name, last_number, last_exposure = "", -1, -1
    for number, exposure, path in frames:
        if not name or (exposure <= last_exposure and number - last_number > TILE_FRAMES):
            name = str(number)
        found[path] = name
        last_number, last_exposure = number, exposure
    return found


def _frame(path: Path) -> tuple[int, int]:
    match = NAME.fullmatch(path.stem)
    if match is None:
        raise DataError(
            f"{path} is not named expE_num_N, so its tile is unknown; {path.parent} holds {listing(path.parent)}. "
            'Restore the names, or split by file (by="file").'
        )
    return int(match[2]), int(match[1])


def _kind(folder: Path, base: Path) -> list[Record]:
    kind = GOOD if folder.name == FREE else folder.name.removeprefix("MT_")
    inside = folder / "Imgs"
    parts = [path for path in require_images(inside) if path.suffix.lower() == ".jpg"]
    masks = (
        {} if kind == GOOD else {path.stem: path for path in require_images(inside) if path.suffix.lower() == ".png"}
    )
    return [
        Record(
            key=path.relative_to(base).as_posix(),
            files={"image": path},
            kind=kind,
            label=int(kind != GOOD),
            split="train" if kind == GOOD else "test",
            category="magnetic_tile",
            masks=(masks[path.stem],) if path.stem in masks else (),
            mask_above=127,
        )
        for path in parts
    ]


class MagneticTile(DataModule):
    """Magnetic Tile."""

    card = CARD
    index = staticmethod(index)
