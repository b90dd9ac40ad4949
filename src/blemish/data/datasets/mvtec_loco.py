"""MVTec LOCO AD: parts that are broken (structural), and parts that are intact but wrong (logical).

A logical defect has no single true region: where a pushpin is missing, any part of the compartment is a right answer.
So every instance has its own mask, and a configuration gives the covered area from which it counts as found
(saturation).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from blemish.core.card import Archive, Counts, DatasetCard, Paper
from blemish.core.errors import DataError
from blemish.core.files import read_json
from blemish.data.datamodule import DataModule
from blemish.data.layout import CategoryFolder, category_folders, images, in_order, mvtec_records
from blemish.data.record import Record
from blemish.imaging.reading import read_mask_values

CARD = DatasetCard(
    name="MVTec LOCO AD",
    paper=Paper(
        title="Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection and Localization",
        authors="Paul Bergmann, Kilian Batzner, Michael Fauser, David Sattlegger, Carsten Steger",
        year=2022,
        venue="International Journal of Computer Vision",
        url="https://doi.org/10.1007/s11263-022-01578-9",
    ),
    licence="CC BY-NC-SA 4.0",
    home="https://www.mvtec.com/company/research/datasets/mvtec-loco",
    categories=(
        "breakfast_box",
        "juice_bottle",
        "pushpins",
        "screw_bag",
        "splicing_connectors",
    ),
    layout=(
        "<category>/train/good/NNN.png",
        "<category>/validation/good/NNN.png",
        "<category>/test/{good,logical_anomalies,structural_anomalies}/NNN.png",
        "<category>/ground_truth/{logical_anomalies,structural_anomalies}/NNN/MMM.png",
        "<category>/defects_config.json",
    ),
    masks="a folder for each image, a PNG for each instance: 0 good, one other value that names the defect in "
    "defects_config.json",
    counts={
        "breakfast_box": Counts(351, 102, 173, 62, kinds={"logical_anomalies": 83, "structural_anomalies": 90}),
        "juice_bottle": Counts(335, 94, 236, 54, kinds={"logical_anomalies": 142, "structural_anomalies": 94}),
        "pushpins": Counts(372, 138, 172, 69, kinds={"logical_anomalies": 91, "structural_anomalies": 81}),
        "screw_bag": Counts(360, 122, 219, 60, kinds={"logical_anomalies": 137, "structural_anomalies": 82}),
        "splicing_connectors": Counts(360, 119, 193, 60, kinds={"logical_anomalies": 108, "structural_anomalies": 85}),
    },
    counts_source="two listings of the archive that `blemish download` gets",
    archives=(
        Archive(
            name="mvtec_loco_anomaly_detection.tar.xz",
            url="https://www.mydrive.ch/shares/48237/1b9106ccdfbb09a0c414bd49fe44a14a/download/430647091-1646842701/mvtec_loco_anomaly_detection.tar.xz",
            checksum="sha256:9e7c84dba550fd2e59d8e9e231c929c45ba737b6b6a6d3814100f54d63aae687",
        ),
    ),
    disagreements=(
        "splicing_connectors has 360 training and 60 validation images on disk (counted here), 354 and 59 in the paper.",
        "The paper's table and defects_config.json spell some defects differently; match them by pixel value.",
    ),
    metrics=("AU-sPRO",),
)


@dataclass(frozen=True, slots=True)
class Saturation:
    """The covered area from which a defect counts as fully detected.

    Attributes:
        defect: Name of the defect.
        threshold: If `relative`, a share of the instance's area, in (0, 1]; otherwise a number of pixels of the
            original image, and never more than the instance's area.
        relative: Whether the threshold is a share.
    """

    defect: str
    threshold: float
    relative: bool


def index(root: Path | str, category: str | None = None) -> list[Record]:
    """Return the records of MVTec LOCO AD. Every instance of a defect has its own mask.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category; None for all that are there.

    Returns:
        The records, sorted by key.

    Raises:
        UnknownName: no such category.
        DataError: the folder is not laid out as the card says.
    """
    return in_order(record for place in _places(root, category) for record in _records(place))


def saturation(root: Path | str, category: str) -> dict[int, Saturation]:
    """Read the saturation of every defect of a category.

    Args:
        root: Folder that holds the categories or the unpacked archive, or the folder of one category.
        category: The category.

    Returns:
        The saturations by the pixel value of the defect's masks.

    Raises:
        UnknownName: no such category.
        DataError: the category has no defects_config.json, or it is not as MVTec wrote it.
        FormatError: defects_config.json is not JSON.
    """
    path = _places(root, category)[0].folder / "defects_config.json"
    if not path.is_file():
        raise DataError(f"{path} is missing; it says how large each defect is. Unpack the archive again.")
    entries = read_json(path)
    try:
        return {
            int(entry["pixel_value"]): Saturation(
                str(entry["defect_name"]), float(entry["saturation_threshold"]), bool(entry["relative_saturation"])
            )
            for entry in entries
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} must be a list of defect_name, pixel_value, saturation_threshold and relative_saturation "
            f"({type(error).__name__}: {error}). Unpack the archive again."
        ) from error


def _places(root: Path | str, category: str | None) -> list[CategoryFolder]:
    return category_folders(
        CARD, "mvtec_loco", root, category, marker="train/good", tops=("mvtec_loco_anomaly_detection",)
    )


def _records(place: CategoryFolder) -> list[Record]:
    truth = place.folder / "ground_truth"
    return [_with_instances(record, truth / record.kind / record.image.stem) for record in mvtec_records(place)]


def _with_instances(record: Record, folder: Path) -> Record:
    return replace(record, masks=tuple(images(folder))) if record.label == 1 and folder.is_dir() else record


class MVTecLOCO(DataModule):
    """MVTec LOCO AD."""

    card = CARD
    index = staticmethod(index)

    def saturations(self, record: Record) -> list[float] | None:
        """Return from which covered area on each instance of a part counts as found, in pixels of the original image.

        As in the paper's evaluation code: a relative threshold is a share of the instance's area, rounded down, an absolute
        one a number of pixels, and at most the instance's area.

        Args:
            record: The part.

        Returns:
            One number for each of its masks; None for a good part.

        Raises:
            DataError: the category's defects_config.json is absent, or does not know the value of a mask.
        """
        if not record.masks:
            return None
        if record.category not in self._saturation:
            self._saturation[record.category] = saturation(self.root, record.category)
        known, found = self._saturation[record.category], []
        for path in record.masks:
            values = read_mask_values(path)
            value = int(values.max())
            if value not in known:
                raise DataError(f"{path} has the pixel value {value}, which defects_config.json does not name.")
            area, one = int((values > 0).sum()), known[value]
            wanted = int(one.threshold * area) if one.relative else min(one.threshold, area)
            found.append(float(max(wanted, 1)))
        return found

    @cached_property
    def _saturation(self) -> dict[str, dict[int, Saturation]]:
        return {}
