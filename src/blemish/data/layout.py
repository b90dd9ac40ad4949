"""What data sets on disk have in common: finding the categories, listing images, the MVTec tree, errors that help."""

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
from blemish.imaging.images import SUFFIXES, read_mask

MVTEC_SPLITS: Mapping[str, Split] = {"train": "train", "validation": "validation", "test": "test"}


@dataclass(frozen=True, slots=True)
class CategoryFolder:
    """A category and the folder that holds it."""

    category: str
    folder: Path

    def key(self, path: Path) -> str:
        """Return the record key of a file below the folder: the same however the root was given."""
        return f"{self.category}/{path.relative_to(self.folder).as_posix()}"


def category_folders(
    card: DatasetCard, name: str, root: Path | str, category: str | None, *, marker: str, tops: Sequence[str] = ()
) -> list[CategoryFolder]:
    """Find the categories of a data set below `root`.

    `root` may hold the categories, hold one of the archive's top folders `tops` that does, or be a category itself.
    `marker` is a folder that every category has; `name` is what `blemish download` calls the data set. Without a
    `category` those that are there are returned, at least one.

    Raises:
        UnknownName: the data set has no such category.
        DataError: nothing is laid out as expected; the message says what was looked for and what to do.
    """
    root = require_folder(root, name)
    if category is not None and category not in card.categories:
        raise UnknownName("category", category, card.categories, f"{card.name} has no other ones.")

    def fits(folder: Path) -> bool:
        return any((folder / known / marker).is_dir() for known in card.categories)

    for base in (root, *(root / top for top in tops)):
        if fits(base):
            return _chosen(card, name, root, base, category, marker)
    if (root / marker).is_dir():
        return [_itself(card, root, category)]
    wanted = [f"{top}/<category>/{marker}" for top in ("", *tops)]
    looked = " or ".join(text.removeprefix("/") for text in wanted)
    shown = ", ".join(card.categories[:4]) + (", ..." if len(card.categories) > 4 else "")
    raise wrong_root(card, name, root, f"{looked}, where <category> is one of {shown}", fits)


def single(
    card: DatasetCard, name: str, root: Path | str, category: str | None, *, looks_for: str, tops: Sequence[str] = ()
) -> Path:
    """Find the folder of a data set that has one category: `root`, or one of the archive's top folders in it.

    `looks_for` is a pattern, relative to the folder, that at least one entry matches.

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
    """Walk one category in MVTec's tree: `<split>/<kind>/<stem>.png`, `ground_truth/<kind>/<stem>_mask.png`.

    `good` names the folders of good parts, `suffix` is what a mask's stem adds to its image's, `splits` are the split
    folders and what they stand for, `truth` the folder of the masks.

    Raises:
        DataError: a folder of good images to learn from, or of any kind, holds no image.
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
                records += [Record(place.key(p), p, split=split, category=place.category) for p in found]
                continue
            masks = masks_by_stem(place.folder / truth / kind_folder.name, suffix)
            records += [
                Record(
                    key=place.key(path),
                    image=path,
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
    """Return the records sorted by key: the order in which every `index` answers."""
    return sorted(records, key=lambda record: record.key)


def entries(folder: Path) -> list[Path]:
    """Return what a folder holds, sorted, without hidden entries and what archivers leave behind.

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
    """Return the folders in a folder, sorted, without hidden ones."""
    return [path for path in entries(folder) if path.is_dir()]


def images(folder: Path) -> list[Path]:
    """Return the image files in a folder (not deeper), sorted, without hidden ones; suffixes in any case."""
    return [path for path in entries(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def require_images(folder: Path) -> list[Path]:
    """Return the image files in a folder, sorted.

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
    """Return the masks of a folder by the stem of their image; empty if there is no such folder.

    `suffix` is what the mask's stem adds to the image's; other files are left out.

    Raises:
        DataError: two masks claim the same image.
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
    """Say whether no pixel of a mask file is above `above`."""
    return not read_mask(path, above=above).any()


def require_folder(root: Path | str, name: str = "") -> Path:
    """Return `root` as a path.

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
    """Return the command that fetches a data set: to `root` if nothing is there, else to a folder in it."""
    return f"blemish download {name} {shlex.quote(str(root / name if root.exists() else root))}"


def wrong_root(card: DatasetCard, name: str, root: Path, looked_for: str, fits: Callable[[Path], bool]) -> DataError:
    """Return the error for a root that is not this data set: what was looked for, what is there, what to do."""
    near = _nearby(root, fits)
    get = f"fetch the data with: {download_command(name, root)}" if card.archives else "make it with: blemish demo"
    advice = f"Point at {near} instead." if near else f"For images of your own use the data set 'folder', or {get}"
    return DataError(
        f"{root} does not look like {card.name}. Looked for {looked_for}. Found instead: {listing(root)}. {advice}"
    )


def listing(folder: Path, most: int = 8) -> str:
    """Return the names in a folder for a message, folders with a slash, at most `most` of them."""
    if not folder.is_dir():
        return "nothing (no such folder)"
    names = [path.name + ("/" if path.is_dir() else "") for path in entries(folder)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "") or "nothing"


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
        except OSError:  # a suggestion is not worth an error about a neighbour that may not be read
            continue
    return None
