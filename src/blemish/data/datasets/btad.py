"""BTAD (beanTech): three industrial products, good ones called ok and defective ones ko."""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.data.datamodule import DataModule
from blemish.data.layout import category_folders, in_order, mvtec_records
from blemish.data.record import Record

CARD = DatasetCard(
    name="BTAD",
    paper=Paper(
        title="VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization",
        authors="Pankaj Mishra, Riccardo Verk, Daniele Fornasier, Claudio Piciarelli, Gian Luca Foresti",
        year=2021,
        venue="ISIE",
        url="https://arxiv.org/abs/2104.10036",
    ),
    licence="CC BY-SA 4.0",
    home="https://github.com/pankajmishra000/VT-ADL",
    categories=(
        "01",
        "02",
        "03",
    ),
    layout=(
        "<category>/train/ok/NNNN.bmp (02: .png)",
        "<category>/test/ok/NNNN.bmp (02: .png)",
        "<category>/test/ko/NNNN.bmp (02: .png)",
        "<category>/ground_truth/ko/NNNN.png (03: .bmp)",
    ),
    masks="8 bits, 0 good and 255 defective, named like the image but not always of its suffix; none for good images",
    counts={
        "01": Counts(400, 21, 49, kinds={"ko": 49}),
        "02": Counts(399, 30, 200, kinds={"ko": 200}),
        "03": Counts(1000, 400, 41, kinds={"ko": 41}),
    },
    counts_source="names of all files in a published listing",
    archives=(
        Archive(
            name="btad.zip",
            url="https://avires.dimi.uniud.it/papers/btad/btad.zip",
            checksum="sha256:461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a",
        ),
    ),
    disagreements=(
        "2,830 is often given as its size: that counts 2,540 images and 290 masks.",
        "Its README swaps two counts: on disk 02 has 399 training images of 600 x 600 and 03 has 1000 of 800 x 600.",
        "Its README says CC BY-SA, other libraries CC BY-NC-SA.",
    ),
)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of BTAD. The one kind of defect is "ko".

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    found = category_folders(CARD, "btad", root, category, marker="train/ok", tops=("BTech_Dataset_transformed",))
    return in_order(record for place in found for record in mvtec_records(place, good="ok", suffix=""))


class BTAD(DataModule):
    """beanTech AD, one product."""

    card = CARD
    index = staticmethod(index)
