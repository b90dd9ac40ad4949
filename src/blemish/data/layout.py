"""What data sets on disk have in common: finding the categories, listing images, the MVTec layout, errors that help."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from blemish.core.card import DatasetCard
from blemish.core.errors import DataError, UnknownName
from blemish.data.record import Record, Split
from blemish.imaging.reading import SUFFIXES, read_mask

MVTEC_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class CategoryFolder:
    """A category and the folder that holds it.

    Attributes:
        category: Its name.
        folder: Its folder.
    """

    category: str
    folder: Path

    def key(self, path: Path) -> str:
        """Return the record key of a file: the same however the root was given.

        Args:
            path: A file below the folder.

        Returns:
            The category and the path within its folder, with forward slashes.
        """
        return f"{self.category}/{path.relative_to(self.folder).as_posix()}"


def category_folders(
    card: DatasetCard, name: str, root: Path | str, category: str | None, *, marker: str, tops: Sequence[str] = ()
) -> list[CategoryFolder]:
    """Find the categories of a data set, or products of one's own in its layout.

    Products that the card does not know are found by name, and, where the folder holds none that it knows, all of them.

    Args:
        card: The data set's card.
        name: What `blemish download` calls the data set.
        root: Folder that holds the categories, or one of `tops` that does, or the folder of one category.
        category: The category to find; None for all that are there.
        marker: A folder that every category has.
        tops: Top folders of the archive.

    Returns:
        The category that was named, or all that are there, at least one.

    Raises:
        UnknownName: neither the data set nor the folder has such a category.
        DataError: nothing is laid out as expected; the message tells what was looked for and what to do.
    """
    root = require_folder(root, name)
    bases = [root, *(root / top for top in tops)]
    if category is not None and category not in card.categories:
        own = _own(bases, category, marker)
        if own is None:
            raise UnknownName("category", category, card.categories, f"{card.name} has no other ones.")
        return [own]

    def fits(folder: Path) -> bool:
        return any((folder / known / marker).is_dir() for known in card.categories)

    for base in bases:
        if fits(base):
            return _chosen(card, name, root, base, category, marker)
    products = [folder for folder in folders(root) if (folder / marker).is_dir()]
    if category is None and products:
        return [CategoryFolder(folder.name, folder) for folder in products]
    if (root / marker).is_dir():
        return [_itself(card, root, category)]
    wanted = [f"{top}/<category>/{marker}" for top in ("", *tops)]
    looked = " or ".join(text.removeprefix("/") for text in wanted)
    shown = ", ".join(card.categories[:4]) + (", ..." if len(card.categories) > 4 else "")
    raise wrong_root(card, name, root, f"{looked}, where <category> is one of {shown}", fits)


def single(
    card: DatasetCard, name: str, root: Path | str, category: str | None, *, looks_for: str, tops: Sequence[str] = ()
) -> Path:
    """Find the folder of a data set that has one category.

    Args:
        card: The data set's card.
        name: What `blemish download` calls the data set.
        root: The folder, or one that holds it as one of `tops`.
        category: The only category, or None.
        looks_for: A pattern, relative to the folder, that at least one entry matches.
        tops: Top folders of the archive.

    Returns:
        The folder that holds the images.

    Raises:
        UnknownName: the data set has no such category.
        DataError: no such folder.
    """
    root = require_folder(root, name)
    if category is not None and category not in card.categories:
        raise UnknownName("category", category, card.categories, f"{card.name} is one category.")

    def fits(folder: Path) -> bool:
        return next(folder.glob(looks_for), None) is not None

    for base in (root, *(root / top for top in tops)):
        if fits(base):
            return base
    raise wrong_root(card, name, root, looks_for, fits)


def mvtec_records(
    place: CategoryFolder,
    *,
    good: str = "good",
    suffix: str = "_mask",
    splits: Mapping[str, Split] = MVTEC_SPLITS,
    truth: str = "ground_truth",
) -> list[Record]:
    """List one category in MVTec's layout: `<split>/<kind>/<stem>.png`, `ground_truth/<kind>/<stem>_mask.png`.

    Args:
        place: The category and its folder.
        good: Name of the folders of good parts.
        suffix: What a mask's stem adds to its image's.
        splits: Split folders and the splits they stand for; absent ones are skipped.
        truth: Folder of the masks.

    Returns:
        The records, split by split.

    Raises:
        DataError: a folder of good parts or of a kind of defect holds no image, or two masks belong to one image.
    """
    records = []
    for split_folder, split in splits.items():
        start = place.folder / split_folder
        if not start.is_dir():
            continue
        for kind_folder in folders(start):
            if kind_folder.name == Path(truth).name:
                continue
            found = require_images(kind_folder)
            if kind_folder.name == good:
                records += [Record(place.key(p), {"image": p}, split=split, category=place.category) for p in found]
                continue
            masks = masks_by_stem(place.folder / truth / kind_folder.name, suffix)
            records += [
                Record(
                    key=place.key(path),
                    files={"image": path},
                    kind=kind_folder.name,
                    label=1,
                    split=split,
                    category=place.category,
                    masks=(masks[path.stem],) if path.stem in masks else (),
                )
                for path in found
            ]
    return records


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort records by key: the order in which every `index` returns them.

    Args:
        records: The records, in any order.

    Returns:
        The sorted records.
    """
    return sorted(records, key=lambda record: record.key)


def entries(folder: Path) -> list[Path]:
    """List a folder, without hidden entries and what archivers leave behind.

    Args:
        folder: The folder.

    Returns:
        Its entries, sorted.

    Raises:
        DataError: the folder cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX")
    except OSError as error:
        raise DataError(
            f"{folder} cannot be read: {error.strerror or error}. Check the folder's permissions."
        ) from error


def folders(folder: Path) -> list[Path]:
    """List the folders in a folder, without hidden ones.

    Args:
        folder: The folder.

    Returns:
        Its folders, sorted.
    """
    return [path for path in entries(folder) if path.is_dir()]


def images(folder: Path) -> list[Path]:
    """List the image files in a folder (not deeper), without hidden ones; suffixes in any case.

    Args:
        folder: The folder.

    Returns:
        Its image files, sorted.
    """
    return [path for path in entries(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def require_images(folder: Path) -> list[Path]:
    """List the image files in a folder that must hold some.

    Args:
        folder: The folder.

    Returns:
        Its image files, sorted; at least one.

    Raises:
        DataError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing; {folder.parent} holds {listing(folder.parent)}. Copy or unpack it again."
        )
    found = images(folder)
    if not found:
        raise DataError(
            f"{folder} holds no image ({', '.join(SUFFIXES)}); it holds {listing(folder)}. Copy or unpack it again."
        )
    return found


def masks_by_stem(folder: Path, suffix: str = "") -> dict[str, Path]:
    """Find the masks of a folder.

    Args:
        folder: The masks' folder; it need not exist.
        suffix: What a mask's stem adds to its image's; other files are left out.

    Returns:
        Masks by the stem of their image; empty if there is no such folder.

    Raises:
        DataError: two masks belong to the same image.
    """
    found: dict[str, Path] = {}
    for path in images(folder) if folder.is_dir() else []:
        if path.stem.endswith(suffix):
            stem = path.stem.removesuffix(suffix)
            if stem in found:
                raise DataError(f"{path} and {found[stem].name} are both masks of image {stem!r}. Remove one of them.")
            found[stem] = path
    return found


def mask_is_empty(path: Path, above: int = 0) -> bool:
    """Return whether no pixel of a mask is marked.

    Args:
        path: The mask file.
        above: A pixel above this value is marked.

    Returns:
        True if all pixels are at most `above`.
    """
    return not read_mask(path, above=above).any()


def require_folder(root: Path | str, name: str = "") -> Path:
    """Return a folder that must exist as a path.

    Args:
        root: The folder.
        name: What `blemish download` calls the data set, for the message; "" for none.

    Returns:
        The path.

    Raises:
        DataError: it does not exist or is a file.
    """
    root = Path(root)
    fetch = f", or fetch the data with: {download_command(name, root)}" if name else "."
    if root.is_file():
        raise DataError(f"{root} is a file, not a folder. Unpack it if it is an archive, and name the folder.")
    if not root.is_dir():
        raise DataError(f"{root} does not exist. Check the path{fetch}")
    return root


def download_command(name: str, root: Path) -> str:
    """Return the command that fetches a data set.

    Args:
        name: What `blemish download` calls the data set.
        root: Target folder; if it exists, a folder in it is the target.

    Returns:
        The command line.
    """
    return f"blemish download {name} {shlex.quote(str(root / name if root.exists() else root))}"


def wrong_root(card: DatasetCard, name: str, root: Path, looked_for: str, fits: Callable[[Path], bool]) -> DataError:
    """Return the error for a root that is not this data set: what was looked for, what is there, what to do.

    Args:
        card: The data set's card.
        name: What `blemish download` calls the data set.
        root: The folder that was given.
        looked_for: What was looked for, as text.
        fits: Whether a folder is laid out as expected; a nearby one that is gets suggested.

    Returns:
        The error, to be raised.
    """
    near = _nearby(root, fits)
    get = f"fetch the data with: {download_command(name, root)}" if card.archives else "make it with: blemish demo"
    advice = f"Point at {near} instead." if near else f"For images of your own use the data set 'folder', or {get}"
    return DataError(
        f"{root} does not look like {card.name}. Looked for {looked_for}. Found instead: {listing(root)}. {advice}"
    )


def listing(folder: Path, most: int = 8) -> str:
    """Return the names in a folder for a message.

    Args:
        folder: The folder; it need not exist.
        most: Number of names after which the rest are counted only.

    Returns:
        The names separated by commas, folders with a slash.
    """
    if not folder.is_dir():
        return "nothing (no such folder)"
    names = [path.name + ("/" if path.is_dir() else "") for path in entries(folder)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "nothing"


def _own(bases: Sequence[Path], category: str, marker: str) -> CategoryFolder | None:
    """Return the folder of a product that the card does not know: in one of `bases`, or the first of them itself."""
    itself = Path(os.path.abspath(bases[0]))  # noqa: PTH100 - as below
    places = [*(base / category for base in bases), *([itself] if itself.name == category else [])]
    found = next((place for place in places if (place / marker).is_dir()), None)
    return None if found is None or Path(category).name != category else CategoryFolder(category, found)


def _chosen(
    card: DatasetCard, name: str, root: Path, base: Path, category: str | None, marker: str
) -> list[CategoryFolder]:
    there = [known for known in card.categories if (base / known).is_dir()]
    if category is not None and category not in there:
        raise DataError(
            f"{base} holds no category {category!r} of {card.name}; it holds {', '.join(there)}. "
            f"Fetch all of it with: {download_command(name, root)}"
        )
    chosen = [CategoryFolder(known, base / known) for known in ([category] if category else there)]
    for place in chosen:
        if not (place.folder / marker).is_dir():
            raise DataError(
                f"category {place.category!r} of {card.name} is not whole: looked for {marker}/ in {place.folder}, "
                f"found {listing(place.folder)}. Copy or unpack it again, or remove the folder."
            )
    return chosen


def _itself(card: DatasetCard, root: Path, category: str | None) -> CategoryFolder:
    own = Path(os.path.abspath(root)).name  # noqa: PTH100 - "." and ".." have no name; links keep theirs
    if own in card.categories:
        if category not in (None, own):
            raise DataError(
                f"{root} is the folder of category {own!r}, but {category!r} was asked for. Point at {root.parent}."
            )
        return CategoryFolder(own, root)
    if category is None:
        raise DataError(
            f"{root} is laid out like one category of {card.name}, but {own!r} is none of them "
            f"({', '.join(card.categories)}). Name the category, or use the data set 'folder'."
        )
    return CategoryFolder(category, root)


def _nearby(root: Path, fits: Callable[[Path], bool]) -> Path | None:
    above = islice(Path(os.path.abspath(root)).parents, 3)  # noqa: PTH100 - as above
    below = folders(root)[:200]
    deeper = (inner for folder in below for inner in folders(folder)[:20])
    for folder in (*below, *above, *deeper):
        try:
            if fits(folder):
                return folder
        except OSError:  # a suggestion is not worth an error about an unreadable neighbour
            continue
    return None
