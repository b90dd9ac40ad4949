"""One part to look at: where its image is, and what is known about it."""

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
    """One image and its truth. Nothing is read from disk before a reader asks.

    `key` names the record within its data set (its path relative to the root, with forward slashes).
    `kind` is "good" or the defect's name. `label` is 0 for good, 1 for defective, None where nobody says.
    `masks` are the mask files of this image: none, one, or several instances kept apart (MVTec LOCO). A mask pixel
    above `mask_above` (in the file's own values) is defective. A defective record without a mask counts at image
    level only.
    `group` names what an image shows where others show the same (a tile at several exposures): images of one group are
    never divided between learning and the threshold. "" stands alone.
    `other` holds further files of the same part by name ("xyz": a depth image).
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
        """By what the image's file is known again: its key and its size in bytes (-1 where there is none)."""
        size = self.image.stat().st_size if self.image.is_file() else -1
        return f"{self.key}:{size}"
