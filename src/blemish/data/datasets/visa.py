"""VisA: twelve objects, single, several or complex; a CSV file lists the training and the test images."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError, UnknownName
from blemish.data.datamodule import DataModule
from blemish.data.layout import CategoryFolder, category_folders, in_order, listing, require_images
from blemish.data.record import GOOD, Record

CARD = DatasetCard(
    name="VisA",
    paper=Paper(
        title="SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation",
        authors="Yang Zou, Jongheon Jeong, Latha Pemula, Dongqing Zhang, Onkar Dabeer",
        year=2022,
        venue="ECCV",
        url="https://arxiv.org/abs/2207.14315",
    ),
    licence="CC BY 4.0",
    home="https://github.com/amazon-science/spot-diff",
    categories=(
        "candle",
        "capsules",
        "cashew",
        "chewinggum",
        "fryum",
        "macaroni1",
        "macaroni2",
        "pcb1",
        "pcb2",
        "pcb3",
        "pcb4",
        "pipe_fryum",
    ),
    layout=(
        "<category>/Data/Images/Normal/NNNN.JPG",
        "<category>/Data/Images/Anomaly/NNN.JPG",
        "<category>/Data/Masks/Anomaly/NNN.png",
        "split_csv/1cls.csv",
    ),
    masks="small whole numbers, one for each kind of defect: 0 good, anything else defective; none for good images",
    counts={
        "candle": Counts(900, 100, 100, kinds={"anomaly": 100}),
        "capsules": Counts(542, 60, 100, kinds={"anomaly": 100}),
        "cashew": Counts(450, 50, 100, kinds={"anomaly": 100}),
        "chewinggum": Counts(453, 50, 100, kinds={"anomaly": 100}),
        "fryum": Counts(450, 50, 100, kinds={"anomaly": 100}),
        "macaroni1": Counts(900, 100, 100, kinds={"anomaly": 100}),
        "macaroni2": Counts(900, 100, 100, kinds={"anomaly": 100}),
        "pcb1": Counts(904, 100, 100, kinds={"anomaly": 100}),
        "pcb2": Counts(901, 100, 100, kinds={"anomaly": 100}),
        "pcb3": Counts(905, 101, 100, kinds={"anomaly": 100}),
        "pcb4": Counts(904, 101, 100, kinds={"anomaly": 100}),
        "pipe_fryum": Counts(450, 50, 100, kinds={"anomaly": 100}),
    },
    counts_source="split_csv/1cls.csv of the official repository",
    archives=(
        Archive(
            name="VisA_20220922.tar",
            url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
            checksum="sha256:2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        ),
    ),
    disagreements=("Other libraries call it CC BY-NC-SA 4.0; the repository's LICENSE-DATASET is CC BY 4.0.",),
)
SPLITS = ("1cls", "2cls_fewshot", "2cls_highshot")
COLUMNS = ("object", "split", "label", "image", "mask")


def index(root: Path | str, category: str | None = None, *, split: str = "1cls") -> list[Record]:
    """Return the records of VisA. The one kind of defect is "anomaly".

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.
        split: Name of the CSV file: "1cls" trains on good images only; "2cls_fewshot" and "2cls_highshot" are the
            official supervised settings, whose training records include defective ones.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category or split.
        DataError: the folder is not laid out as the card says, the CSV file is missing, or it names absent images.
    """
    if split not in SPLITS:
        raise UnknownName("split of VisA", split, SPLITS)
    found = category_folders(
        CARD, "visa", root, category, marker="Data/Images/Normal", tops=("VisA_20220922", "VisA", "visa")
    )
    base = found[0].folder.parent
    rows = _rows(base / "split_csv" / f"{split}.csv")
    return in_order(record for place in found for record in _records(place, base, rows))


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(
            f"{path} is missing: it says which images train and which test. It is in the archive and in the repository "
            f"{CARD.home} as split_csv/{path.name}; copy it to {path.parent}."
        )
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}. Copy it again from {CARD.home}.") from error
    for number, row in enumerate(rows, start=2):
        values = [row.get(column) for column in COLUMNS]
        if None in values or row["split"] not in ("train", "test") or row["label"] not in ("normal", "anomaly"):
            raise DataError(
                f"{path}, line {number}: {values} is not {', '.join(COLUMNS)} with split train or test and label "
                f"normal or anomaly. Copy it again from {CARD.home}."
            )
    return rows


def _records(place: CategoryFolder, base: Path, rows: list[dict[str, str]]) -> list[Record]:
    data = place.folder / "Data"
    wanted = [row for row in rows if row["object"] == place.category]
    there = {
        path.relative_to(base).as_posix(): path
        for folder in ("Images/Normal", "Images/Anomaly", "Masks/Anomaly")
        if (data / folder).is_dir()
        for path in require_images(data / folder)
    }
    absent = [row["image"] for row in wanted if row["image"] not in there]
    if absent or not wanted:
        raise DataError(
            f"{place.folder} does not match the split file: of {len(wanted)} images listed for {place.category!r} "
            f"{len(absent)} are missing{f', the first is {absent[0]}' if absent else ''}. "
            f"{data} holds {listing(data)}. Unpack the archive again."
        )
    return [_record(place, row, there) for row in wanted]


def _record(place: CategoryFolder, row: dict[str, str], there: dict[str, Path]) -> Record:
    defective = row["label"] == "anomaly"
    mask = there.get(str(PurePosixPath(row["mask"]))) if defective else None
    return Record(
        key=place.key(there[row["image"]]),
        files={"image": there[row["image"]]},
        kind="anomaly" if defective else GOOD,
        label=int(defective),
        split="train" if row["split"] == "train" else "test",
        category=place.category,
        masks=(mask,) if mask else (),
    )


class VisA(DataModule):
    """VisA, one category."""

    card = CARD
    index = staticmethod(index)
