"""A small inspection task made locally: six products with their defects and exact masks, in MVTec's layout.

For demonstrations, tests and first steps without a network. It is easier than a factory; numbers on it show that a
pipeline works, not how good a method is.
"""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Counts, DatasetCard, Paper
from blemish.data.datamodule import DataModule
from blemish.data.layout import category_folders, in_order, mvtec_records
from blemish.data.record import Record
from blemish.data.synthetic.render import CATEGORIES
from blemish.data.synthetic.write import PER_DEFECT, TEST_GOOD, TRAIN

CARD = DatasetCard(
    name="Synthetic",
    paper=Paper(title="Made by blemish itself", authors="The blemish developers", year=2026),
    licence="Apache-2.0",
    home="made on your machine by blemish.data.synthetic.make, or `blemish demo`",
    categories=tuple(CATEGORIES),
    layout=(
        "<category>/train/good/NNN.png",
        "<category>/test/good/NNN.png",
        "<category>/test/<kind>/NNN.png",
        "<category>/ground_truth/<kind>/NNN_mask.png",
        "<category>/synthetic.json",
    ),
    masks="8 bits, 0 good and 255 changed by the defect, exact; none for good images",
    counts={
        category: Counts(TRAIN, TEST_GOOD, PER_DEFECT * len(kinds), kinds=dict.fromkeys(kinds, PER_DEFECT))
        for category, kinds in CATEGORIES.items()
    },
    counts_source="the defaults of blemish.data.synthetic.make",
)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of the synthetic inspection task.

    Args:
        root: Folder that holds the categories, or the folder of one category.
        category: The category; None for all that are there.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    found = category_folders(CARD, "synthetic", root, category, marker="train/good")
    return in_order(record for place in found for record in mvtec_records(place))


class Synthetic(DataModule):
    """The synthetic inspection task, one product; `make` makes it."""

    card = CARD
    index = staticmethod(index)
