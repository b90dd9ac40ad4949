"""Masks of defects among image files, known by their names: they are pictures of where a defect is, and no parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDERS = ("ground_truth", "groundtruth", "gt", "masks", "mask")
ENDS = ("_mask", ".mask")


def is_folder_for_masks(folder: Path) -> bool:
    """Return whether a folder has a name for masks."""
    return folder.name.lower() in FOLDERS


def ends_as_mask(path: Path) -> bool:
    """Return whether a file is called as a mask beside its image is: x_mask.png or x.mask.png."""
    return path.stem.lower().endswith(ENDS)


def stem_of_part(mask: Path) -> str:
    """Return the stem of the image that a mask belongs to: x of x_mask.png, x.mask.png and x.png."""
    return next((mask.stem[: -len(end)] for end in ENDS if mask.stem.lower().endswith(end)), mask.stem)


def without_masks(root: Path, files: Sequence[Path]) -> list[Path]:
    """Leave out the masks among the files below `root`: those beside their images, and in folders named for masks."""
    return without_masks_beside(
        path for path in files if not any(is_folder_for_masks(folder) for folder in path.relative_to(root).parents)
    )


def without_masks_beside(files: Iterable[Path]) -> list[Path]:
    """Leave out x_mask.png and x.mask.png where an image x lies beside them."""
    files = list(files)
    stems = {(path.parent, path.stem) for path in files}
    return [path for path in files if not ends_as_mask(path) or (path.parent, stem_of_part(path)) not in stems]
