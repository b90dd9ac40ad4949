"""MVTec AD 2: eight harder scenes (transparent, overlapping, dark) whose tests change the lighting.

Two of its three tests are private: their images come without truth and are scored by MVTec's server.
"""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.data.datamodule import DataModule
from blemish.data.layout import CategoryFolder, category_folders, in_order, mvtec_records, require_images
from blemish.data.record import Record

CARD = DatasetCard(
    name="MVTec AD 2",
    paper=Paper(
        title="The MVTec AD 2 Dataset: Advanced Scenarios for Unsupervised Anomaly Detection",
        authors="Lars Heckler-Kram, Jan-Hendrik Neudeck, Ulla Scheler, Rebecca König, Carsten Steger",
        year=2025,
        venue="arXiv",
        url="https://arxiv.org/abs/2503.21622",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.mvtec.com/company/research/datasets/mvtec-ad-2",
    categories=(
        "can",
        "fabric",
        "fruit_jelly",
        "rice",
        "sheet_metal",
        "vial",
        "wallplugs",
        "walnuts",
    ),
    layout=(
        "<category>/train/good/NNN_regular.png",
        "<category>/validation/good/NNN_regular.png",
        "<category>/test_public/{good,bad}/NNN_<lighting>.png",
        "<category>/test_public/ground_truth/bad/NNN_<lighting>_mask.png",
        "<category>/test_private/NNN_regular.png",
        "<category>/test_private_mixed/NNN_mixed.png",
    ),
    masks="8 bits, 0 good and 255 defective; none for good images, none published for the private tests",
    counts={
        "can": Counts(412, 72, 90, 46, kinds={"bad": 90}),
        "fabric": Counts(387, 66, 90, 43, kinds={"bad": 90}),
        "fruit_jelly": Counts(263, 20, 60, 37, kinds={"bad": 60}),
        "rice": Counts(313, 42, 90, 35, kinds={"bad": 90}),
        "sheet_metal": Counts(137, 24, 90, 19, kinds={"bad": 90}),
        "vial": Counts(291, 35, 105, 41, kinds={"bad": 105}),
        "wallplugs": Counts(293, 60, 90, 33, kinds={"bad": 90}),
        "walnuts": Counts(432, 60, 90, 48, kinds={"bad": 90}),
    },
    counts_source="a listing of the archive that `blemish download` gets; the test counts are those of the public test",
    archives=(
        Archive(
            name="mvtec_ad_2.tar.gz",
            url="https://www.mydrive.ch/shares/150997/701c90d3aea6588f404936e32a674602/download/466712769-1743429042/mvtec_ad_2.tar.gz",
            checksum="sha256:c0ded99ef32bfc8e352d52beb44515e5b292b8598cb963aadfa91ca0763505e4",
        ),
    ),
    metrics=("SegF1",),
)
PRIVATE = ("test_private", "test_private_mixed")


def index(root: Path | str, category: str | None = None, *, private: bool = False) -> list[Record]:
    """Return the records of MVTec AD 2.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.
        private: Whether to add the images of the two private tests; their label is None and their kind the test's name.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    found = category_folders(CARD, "mvtec_ad_2", root, category, marker="train/good", tops=("mvtec_ad_2",))
    return in_order(record for place in found for record in _records(place, private))


def _records(place: CategoryFolder, private: bool) -> list[Record]:
    records = mvtec_records(
        place,
        splits={"train": "train", "validation": "validation", "test_public": "test"},
        truth="test_public/ground_truth",
    )
    for test in PRIVATE if private else ():
        records += [
            Record(place.key(path), {"image": path}, kind=test, label=None, split="test", category=place.category)
            for path in require_images(place.folder / test)
        ]
    return records


class MVTecAD2(DataModule):
    """MVTec AD 2, one category."""

    card = CARD
    index = staticmethod(index)
