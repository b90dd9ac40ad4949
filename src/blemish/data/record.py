"""One part to inspect: where its image is, and what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

Split = Literal["train", "validation", "test"]
GOOD = "good"


@dataclass(frozen=True, slots=True)
class Record:
    """One image and its ground truth. Nothing is read from disk before a reader needs it.

    Attributes:
        key: Names the record within its data set: its path relative to the root, with forward slashes.
        image: The image file.
        kind: "good" or the defect's name.
        label: 0 for good, 1 for defective, None where the truth is unknown.
        split: What the image is for.
        category: The product or material that it shows.
        masks: Mask files of this image: none, one, or one per instance (MVTec LOCO). A defective record without a mask
            counts at image level only.
        mask_above: A mask pixel above this value (in the file's own values) is defective.
        group: Names what several images show alike (a tile at several exposures); images of one group are never divided
            between training and the threshold. "" stands alone.
        other: Further files of the same part by name ("xyz": a depth image).
    """

    key: str
    image: Path
    kind: str = GOOD
    label: int | None = 0
    split: Split = "train"
    category: str = ""
    masks: tuple[Path, ...] = ()
    mask_above: int = 0
    group: str = ""
    other: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def fingerprint(self) -> str:
        """What identifies the image's file: its key and its size in bytes (-1 if there is no file)."""
        size = self.image.stat().st_size if self.image.is_file() else -1
        return f"{self.key}:{size}"
