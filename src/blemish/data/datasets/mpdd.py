"""MPDD: painted and bare metal parts, loosely placed, six kinds, as a factory photographs them."""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.data.datamodule import DataModule
from blemish.data.layout import category_folders, in_order, mvtec_records
from blemish.data.record import Record

CARD = DatasetCard(
    name="MPDD",
    paper=Paper(
        title="Deep learning-based defect detection of metal parts: evaluating current methods in complex conditions",
        authors="Stepan Jezek, Martin Jonak, Radim Burget, Pavel Dvorak, Milos Skotak",
        year=2021,
        venue="ICUMT",
        url="https://doi.org/10.1109/ICUMT54235.2021.9631567",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://github.com/stepanje/MPDD",
    categories=(
        "bracket_black",
        "bracket_brown",
        "bracket_white",
        "connector",
        "metal_plate",
        "tubes",
    ),
    layout=(
        "<category>/train/good/NNN.png",
        "<category>/test/good/NNN.png",
        "<category>/test/<kind>/NNN.png",
        "<category>/ground_truth/<kind>/NNN_mask.png",
    ),
    masks="8 bits, 0 good and 255 defective; none for good images",
    counts={
        "bracket_black": Counts(289, 32, 47, kinds={"hole": 12, "scratches": 35}),
        "bracket_brown": Counts(185, 26, 51, kinds={"bend_and_parts_mismatch": 17, "parts_mismatch": 34}),
        "bracket_white": Counts(110, 30, 30, kinds={"defective_painting": 13, "scratches": 17}),
        "connector": Counts(128, 30, 14, kinds={"parts_mismatch": 14}),
        "metal_plate": Counts(54, 26, 71, kinds={"major_rust": 14, "scratches": 34, "total_rust": 23}),
        "tubes": Counts(122, 32, 69, kinds={"anomalous": 69}),
    },
    counts_source="two independent listings of the archive",
    archives=(Archive(name="MPDD.zip"),),  # a shared folder, fetched by hand from the home page
    disagreements=(
        "1,064 is often given as its size: that is its good images; with 282 defective ones it holds 1,346.",
    ),
)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of MPDD.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    found = category_folders(CARD, "mpdd", root, category, marker="train/good", tops=("MPDD",))
    return in_order(record for place in found for record in mvtec_records(place))


class MPDD(DataModule):
    """Metal Parts Defect Detection, one part."""

    card = CARD
    index = staticmethod(index)
