"""One part to inspect: where its files are, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "validation", "test"]
GOOD = "good"


@dataclass(frozen=True, slots=True)
class Record:
    """One part and its ground truth. Nothing is read from disk before a reader needs it.

    Attributes:
        key: Names the record within its data set: its path relative to the root, with forward slashes.
        files: The files that show the part, by kind of input (`blemish.core.inputs`): "image", "points", ...
        kind: "good" or the defect's name.
        label: 0 for good, 1 for defective, None where the truth is unknown.
        split: What the part is for.
        category: The product or material that it shows.
        masks: Mask files of this part: none, one, or one per instance (MVTec LOCO). A defective record without a mask
            counts at image level only.
        mask_above: A mask pixel above this value (in the file's own values) is defective.
        group: Names what several images show alike (a tile at several exposures); images of one group are never divided
            between training and the threshold. "" stands alone.
    """

    key: str
    files: Mapping[str, Path]
    kind: str = GOOD
    label: int | None = 0
    split: Split = "train"
    category: str = ""
    masks: tuple[Path, ...] = ()
    mask_above: int = 0
    group: str = ""

    @property
    def image(self) -> Path:
        """The image file; of a part without one its first file."""
        return self.files.get("image") or next(iter(self.files.values()))

    @property
    def fingerprint(self) -> str:
        """What identifies the part's files: its key and their sizes in bytes (-1 if there is no file)."""
        sizes = (path.stat().st_size if path.is_file() else -1 for path in self.files.values())
        return f"{self.key}:{'+'.join(map(str, sizes))}"
