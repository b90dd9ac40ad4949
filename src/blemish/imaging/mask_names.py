"""Masks of defects among image files, recognised by their names: they mark where a defect is, and are no parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

FOLDERS = ("ground_truth", "groundtruth", "gt", "masks", "mask")
ENDS = ("_mask", ".mask")


def is_folder_for_masks(folder: Path) -> bool:
    """Return whether a folder is named for masks.

    Args:
        folder: The folder; case does not matter.

    Returns:
        Whether its name is one of FOLDERS.
    """
    return folder.name.lower() in FOLDERS


def ends_as_mask(path: Path) -> bool:
    """Return whether a file is named as a mask next to its image is: x_mask.png or x.mask.png.

    Args:
        path: The file; case does not matter.

    Returns:
        Whether its stem ends in one of ENDS.
    """
    return path.stem.lower().endswith(ENDS)


def stem_of_part(mask: Path) -> str:
    """Return the stem of the image that a mask belongs to.

    Args:
        mask: The mask's file.

    Returns:
        x of x_mask.png, x.mask.png and x.png.
    """
    return next((mask.stem[: -len(end)] for end in ENDS if mask.stem.lower().endswith(end)), mask.stem)


def without_masks(root: Path, files: Sequence[Path]) -> list[Path]:
    """Leave out masks: those next to their images, and those in folders named for masks.

    Args:
        root: Folder that holds the files; names above it do not matter.
        files: Image files below it.

    Returns:
        The others, in the same order.
    """
    return without_masks_beside(
        path for path in files if not any(is_folder_for_masks(folder) for folder in path.relative_to(root).parents)
    )


def without_masks_beside(files: Iterable[Path]) -> list[Path]:
    """Leave out x_mask.png and x.mask.png where an image x is in the same folder.

    Args:
        files: Image files.

    Returns:
        The others, in the same order.
    """
    files = list(files)
    stems = {(path.parent, path.stem) for path in files}
    return [path for path in files if not ends_as_mask(path) or (path.parent, stem_of_part(path)) not in stems]
