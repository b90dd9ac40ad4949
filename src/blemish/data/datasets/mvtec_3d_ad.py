"""MVTec 3D-AD: ten objects, each scanned in colour and in depth, pixel for pixel."""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError
from blemish.data.datamodule import DataModule
from blemish.data.layout import (
    MVTEC_SPLITS,
    CategoryFolder,
    category_folders,
    folders,
    in_order,
    listing,
    masks_by_stem,
    require_images,
)
from blemish.data.record import GOOD, Record, Split

CARD = DatasetCard(
    name="MVTec 3D-AD",
    paper=Paper(
        title="The MVTec 3D-AD Dataset for Unsupervised 3D Anomaly Detection and Localization",
        authors="Paul Bergmann, Xin Jin, David Sattlegger, Carsten Steger",
        year=2022,
        venue="VISAPP",
        url="https://arxiv.org/abs/2112.09045",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.mvtec.com/company/research/datasets/mvtec-3d-ad",
    categories=(
        "bagel",
        "cable_gland",
        "carrot",
        "cookie",
        "dowel",
        "foam",
        "peach",
        "potato",
        "rope",
        "tire",
    ),
    layout=(
        "<category>/{train,validation}/good/rgb/NNN.png",
        "<category>/{train,validation}/good/xyz/NNN.tiff",
        "<category>/test/{good,<kind>}/rgb/NNN.png",
        "<category>/test/{good,<kind>}/xyz/NNN.tiff",
        "<category>/test/{good,<kind>}/gt/NNN.png",
    ),
    masks="one channel, above 0 is defective; good test images have masks too, all 0",
    counts={
        "bagel": Counts(244, 22, 88, 22),
        "cable_gland": Counts(223, 21, 87, 23),
        "carrot": Counts(286, 27, 132, 29),
        "cookie": Counts(210, 28, 103, 22),
        "dowel": Counts(288, 26, 104, 34),
        "foam": Counts(236, 20, 80, 27),
        "peach": Counts(361, 26, 106, 42),
        "potato": Counts(300, 22, 92, 33),
        "rope": Counts(298, 32, 69, 33),
        "tire": Counts(210, 25, 87, 29),
    },
    counts_source="table 1 of the paper, which has no counts by kind",
    archives=(
        Archive(
            name="mvtec_3d_anomaly_detection.tar.xz",
            url="https://www.mydrive.ch/shares/150646/25de33f1276dd418cd856f2f48a84cdb/download/428824485-1643299897/mvtec_3d_anomaly_detection.tar.xz",
            checksum="md5:d8bb2800fbf3ac88e798da6ae10dc819",
        ),
    ),
    disagreements=("Some papers give 1,137 test samples; the paper's categories sum to 1,197.",),
)


def index(root: Path | str, category: str | None = None, *, depth: bool = True) -> list[Record]:
    """Return the records of MVTec 3D-AD. Good records have no mask: theirs is empty.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.
        depth: Whether to add each part's file of "points", a TIFF of the image's size with the x, y and z of each pixel,
            0 where there is none; if False, it need not exist.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says, or a depth image is missing.
    """
    found = category_folders(
        CARD, "mvtec_3d_ad", root, category, marker="train/good/rgb", tops=("mvtec_3d_anomaly_detection",)
    )
    return in_order(record for place in found for record in _records(place, depth))


def _records(place: CategoryFolder, depth: bool) -> list[Record]:
    records = []
    for name, split in MVTEC_SPLITS.items():
        start = place.folder / name
        for kind_folder in folders(start) if start.is_dir() else []:
            records += _kind(place, kind_folder, split, depth)
    return records


def _kind(place: CategoryFolder, folder: Path, split: Split, depth: bool) -> list[Record]:
    defective = folder.name != GOOD
    masks = masks_by_stem(folder / "gt") if defective else {}
    return [
        Record(
            key=place.key(path),
            files={"image": path, **(_points(path) if depth else {})},
            kind=folder.name,
            label=int(defective),
            split=split,
            category=place.category,
            masks=(masks[path.stem],) if path.stem in masks else (),
        )
        for path in require_images(folder / "rgb")
    ]


def _points(image: Path) -> dict[str, Path]:
    path = image.parent.with_name("xyz") / f"{image.stem}.tiff"
    if not path.is_file():
        raise DataError(
            f"{path} is missing, the depth image of {image.name}; its folder holds {listing(path.parent)}. "
            "Unpack the archive again, or index without depth (depth=False)."
        )
    return {"points": path}


class MVTec3DAD(DataModule):
    """MVTec 3D-AD, one category; its files are "image" (RGB) and "points" (the x, y and z of each pixel)."""

    card = CARD
    index = staticmethod(index)
