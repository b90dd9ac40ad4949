"""KolektorSDD: the surfaces of 50 electrical commutators, eight each; an image is defective if its mask is not empty.

It was made for supervised learning and has no one-class split (its own is a threefold cross-validation by commutator).
Ours keeps a commutator's surfaces together: all good surfaces of about 80 % of the commutators are for training, the
good ones of the others and every defective one for testing.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError
from blemish.data.datamodule import DataModule
from blemish.data.layout import images, in_order, mask_is_empty, masks_by_stem, single
from blemish.data.record import Record
from blemish.data.split import held_share, hold_out_groups

CARD = DatasetCard(
    name="KolektorSDD",
    paper=Paper(
        title="Segmentation-based deep-learning approach for surface-defect detection",
        authors="Domen Tabernik, Samo Šela, Jure Skvarč, Danijel Skočaj",
        year=2020,
        venue="Journal of Intelligent Manufacturing",
        url="https://arxiv.org/abs/1903.08536",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.vicos.si/resources/kolektorsdd/",
    categories=("commutators",),
    layout=("kosNN/PartM.jpg", "kosNN/PartM_label.bmp"),
    masks="every image has one: 0 good, anything else defective",
    counts={"commutators": Counts(test_defective=52, kinds={"defect": 52})},
    counts_source="the data set's page: 399 images, 347 of them good; how many of those train depends on the seed",
    archives=(
        Archive(
            name="KolektorSDD.zip",
            url="https://go.vicos.si/kolektorsdd",
            checksum="sha256:65dc621693418585de9c4467d1340ea7958a6181816f0dc2883a1e8b61f9d4dc",
        ),
    ),
)


def index(root: Path | str, category: str | None = None, *, train_share: float = 0.8, seed: int = 0) -> list[Record]:
    """Return the records of KolektorSDD. The one kind of defect is "defect".

    This reads the masks: they alone tell which images are defective.

    Args:
        root: The data set's folder, or the one that holds it.
        category: "commutators" or None.
        train_share: Share of the good images for training, in (0, 1]; at least that, in whole commutators.
        seed: Random seed of the split.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: the category is not "commutators".
        DataError: the folder is not laid out as the card says, or an image has no mask.
        ImageError: a mask cannot be read.
        InputError: `train_share` is not above 0 and up to 1.
    """
    base = single(CARD, "kolektor_sdd", root, category, looks_for="kos*/Part*.jpg", tops=("KolektorSDD",))
    records = [record for folder in sorted(base.glob("kos*")) if folder.is_dir() for record in _item(folder, base)]
    good = [record for record in records if record.label == 0]
    train, held = hold_out_groups(good, held_share(train_share), seed)
    test = [replace(record, split="test") for record in held]
    return in_order([*train, *test, *(record for record in records if record.label == 1)])


def _item(folder: Path, base: Path) -> list[Record]:
    masks = masks_by_stem(folder, "_label")
    parts = [path for path in images(folder) if path not in masks.values()]
    bare = [path.name for path in parts if path.stem not in masks]
    if bare:
        raise DataError(
            f"{folder} holds {bare[0]} without its mask {Path(bare[0]).stem}_label.bmp, which alone tells whether it is "
            "defective. Unpack the archive again."
        )
    return [_record(path, masks[path.stem], base) for path in parts]


def _record(path: Path, mask: Path, base: Path) -> Record:
    key = path.relative_to(base).as_posix()
    if mask_is_empty(mask):
        return Record(key, {"image": path}, category="commutators", group=path.parent.name)
    return Record(key, {"image": path}, kind="defect", label=1, split="test", category="commutators", masks=(mask,))


class KolektorSDD(DataModule):
    """KolektorSDD: commutators."""

    card = CARD
    index = staticmethod(index)
