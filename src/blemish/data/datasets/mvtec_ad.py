"""MVTec AD: fifteen objects and textures, photographed one by one, with every defect annotated to the pixel."""

from __future__ import annotations

from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.data.datamodule import DataModule
from blemish.data.layout import category_folders, in_order, mvtec_records
from blemish.data.record import Record

CARD = DatasetCard(
    name="MVTec AD",
    paper=Paper(
        title="MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection",
        authors="Paul Bergmann, Michael Fauser, David Sattlegger, Carsten Steger",
        year=2019,
        venue="CVPR",
        url="https://doi.org/10.1109/CVPR.2019.00982",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    categories=(
        "bottle",
        "cable",
        "capsule",
        "carpet",
        "grid",
        "hazelnut",
        "leather",
        "metal_nut",
        "pill",
        "screw",
        "tile",
        "toothbrush",
        "transistor",
        "wood",
        "zipper",
    ),
    layout=(
        "<category>/train/good/NNN.png",
        "<category>/test/good/NNN.png",
        "<category>/test/<kind>/NNN.png",
        "<category>/ground_truth/<kind>/NNN_mask.png",
    ),
    masks="8 bits, 0 good and 255 defective; none for good images",
    counts={
        "bottle": Counts(209, 20, 63, kinds={"broken_large": 20, "broken_small": 22, "contamination": 21}),
        "cable": Counts(
            224,
            58,
            92,
            kinds={
                "bent_wire": 13,
                "cable_swap": 12,
                "combined": 11,
                "cut_inner_insulation": 14,
                "cut_outer_insulation": 10,
                "missing_cable": 12,
                "missing_wire": 10,
                "poke_insulation": 10,
            },
        ),
        "capsule": Counts(
            219, 23, 109, kinds={"crack": 23, "faulty_imprint": 22, "poke": 21, "scratch": 23, "squeeze": 20}
        ),
        "carpet": Counts(
            280, 28, 89, kinds={"color": 19, "cut": 17, "hole": 17, "metal_contamination": 17, "thread": 19}
        ),
        "grid": Counts(
            264, 21, 57, kinds={"bent": 12, "broken": 12, "glue": 11, "metal_contamination": 11, "thread": 11}
        ),
        "hazelnut": Counts(391, 40, 70, kinds={"crack": 18, "cut": 17, "hole": 18, "print": 17}),
        "leather": Counts(245, 32, 92, kinds={"color": 19, "cut": 19, "fold": 17, "glue": 19, "poke": 18}),
        "metal_nut": Counts(220, 22, 93, kinds={"bent": 25, "color": 22, "flip": 23, "scratch": 23}),
        "pill": Counts(
            267,
            26,
            141,
            kinds={
                "color": 25,
                "combined": 17,
                "contamination": 21,
                "crack": 26,
                "faulty_imprint": 19,
                "pill_type": 9,
                "scratch": 24,
            },
        ),
        "screw": Counts(
            320,
            41,
            119,
            kinds={
                "manipulated_front": 24,
                "scratch_head": 24,
                "scratch_neck": 25,
                "thread_side": 23,
                "thread_top": 23,
            },
        ),
        "tile": Counts(230, 33, 84, kinds={"crack": 17, "glue_strip": 18, "gray_stroke": 16, "oil": 18, "rough": 15}),
        "toothbrush": Counts(60, 12, 30, kinds={"defective": 30}),
        "transistor": Counts(213, 60, 40, kinds={"bent_lead": 10, "cut_lead": 10, "damaged_case": 10, "misplaced": 10}),
        "wood": Counts(247, 19, 60, kinds={"color": 8, "combined": 11, "hole": 10, "liquid": 10, "scratch": 21}),
        "zipper": Counts(
            240,
            32,
            119,
            kinds={
                "broken_teeth": 19,
                "combined": 16,
                "fabric_border": 17,
                "fabric_interior": 16,
                "rough": 17,
                "split_teeth": 18,
                "squeezed_teeth": 16,
            },
        ),
    },
    counts_source="file lists of Real-IAD's code repository; the sums are those of the paper",
    archives=(
        Archive(
            name="mvtec_anomaly_detection.tar.xz",
            url="https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
            checksum="sha256:cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        ),
    ),
)


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of MVTec AD.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    found = category_folders(CARD, "mvtec_ad", root, category, marker="train/good", tops=("mvtec_anomaly_detection",))
    return in_order(record for place in found for record in mvtec_records(place))


class MVTecAD(DataModule):
    """MVTec AD, one category."""

    card = CARD
    index = staticmethod(index)
