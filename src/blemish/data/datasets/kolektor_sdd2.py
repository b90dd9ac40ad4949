"""KolektorSDD2: surfaces of production items in colour; an image is defective if its mask is not empty.

Its training half was made for supervised learning and holds defective images. We train on good images only and leave
the defective ones out: they are neither trained on nor, being no part of the official test, tested. The archive's two
stray copies of training image 10301 and its mask are left out as well.
"""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError
from blemish.data.datamodule import DataModule
from blemish.data.layout import in_order, mask_is_empty, masks_by_stem, require_images, single
from blemish.data.record import Record, Split

CARD = DatasetCard(
    name="KolektorSDD2",
    paper=Paper(
        title="Mixed supervision for surface-defect detection: From weakly to fully supervised learning",
        authors="Jakob Božič, Domen Tabernik, Danijel Skočaj",
        year=2021,
        venue="Computers in Industry",
        url="https://arxiv.org/abs/2104.06064",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.vicos.si/resources/kolektorsdd2/",
    categories=("production_items",),
    layout=("{train,test}/NNNNN.png", "{train,test}/NNNNN_GT.png"),
    masks="every image has one: 0 good, anything else defective",
    counts={"production_items": Counts(2085, 894, 110, kinds={"defect": 110})},
    counts_source="published totals (2,979 good, 356 defective); the division into halves, 246 and 110 defective, is "
    "quoted and was not counted again",
    disagreements=(
        "The archive holds training image 10301 and its mask twice, under names with (copy); the counts are without these.",
    ),
    archives=(
        Archive(
            name="KolektorSDD2.zip",
            url="https://go.vicos.si/kolektorsdd2",
            checksum="",
        ),
    ),
)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the good training and all test records of KolektorSDD2. The one kind of defect is "defect".

    This reads the masks: they alone tell which images are defective.

    Args:
        root: The data set's folder, or the one that holds it.
        category: "production_items" or None.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: the category is not "production_items".
        DataError: the folder is not laid out as the card says, or an image has no mask.
        ImageError: a mask cannot be read.
    """
    base = single(CARD, "kolektor_sdd2", root, category, looks_for="train/*_GT.png", tops=("KolektorSDD2",))
    return in_order([*_half(base, "train"), *_half(base, "test")])


STRAY = ("10301 (copy)", "10301_GT (copy)")
"""Stems of files in the archive that repeat image 10301 and its mask; the published counts are without them."""


def _half(base: Path, split: Split) -> list[Record]:
    masks = masks_by_stem(base / split, "_GT")
    mask_files = set(masks.values())
    records = []
    for path in require_images(base / split):
        if path in mask_files or path.stem in STRAY:
            continue
        if path.stem not in masks:
            raise DataError(
                f"{path} has no mask {path.stem}_GT.png, which alone tells whether it is defective. "
                "Unpack the archive again."
            )
        key, mask = path.relative_to(base).as_posix(), masks[path.stem]
        if mask_is_empty(mask):
            records.append(Record(key, {"image": path}, split=split, category="production_items"))
        elif split == "test":
            records.append(
                Record(
                    key,
                    {"image": path},
                    kind="defect",
                    label=1,
                    split=split,
                    category="production_items",
                    masks=(mask,),
                )
            )
    return records


class KolektorSDD2(DataModule):
    """KolektorSDD2: a surface in colour."""

    card = CARD
    index = staticmethod(index)
