"""Images of your own, in any folders: good parts, defective parts of any kinds, masks where there are some.

What is recognised without being told:

- a folder of images only: all are good;
- `good/` (or ok, normal, pass, ...) next to other folders, each a kind of defect; a folder called defective, bad, ng,
  ... may hold the kinds instead;
- `train/good`, `test/<kind>`, `ground_truth/<kind>`, as in MVTec AD;
- masks next to their images (`x_mask.png`, `x.mask.png`), or in a tree of their own (`masks/`, `ground_truth/`, ...)
  that repeats the images' folders, with or without `_mask`. Where no folder tells which images are defective, the masks
  do: those with an empty mask, or none, are good;
- `train/images`, `train/masks`, `test/images`, `test/masks`, as for segmentation: the masks decide there too.

Anything that could be meant in two ways is an error that names the argument which decides it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from blemish.core.card import DatasetCard
from blemish.core.errors import DataError
from blemish.data.datamodule import DataModule
from blemish.data.layout import folders, in_order, listing, mask_is_empty, require_folder
from blemish.data.record import GOOD, Record, Split
from blemish.data.split import train_test
from blemish.imaging.mask_names import ends_as_mask, is_folder_for_masks, stem_of_part, without_masks_beside
from blemish.imaging.reading import SUFFIXES

GOOD_NAMES: tuple[str, ...] = (
    "good",
    "ok",
    "okay",
    "normal",
    "pass",
    "passed",
    "gut",
    "io",
    "nominal",
    "clean",
    "healthy",
    "free",
)
GOOD_NAMES += ("defectfree", "anomalyfree", "nondefective", "nodefect")
DEFECTIVE_NAMES: tuple[str, ...] = ("defective", "defect", "defects", "bad", "ng", "ko", "nok", "nio", "faulty")
DEFECTIVE_NAMES += ("abnormal", "anomaly", "anomalies", "anomalous", "fail", "failed", "reject", "rejected", "schlecht")
SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
UNNAMED = "defect"

CARD = DatasetCard(
    name="Folder of your own",
    paper=None,
    licence="yours",
    home="",
    categories=(),
    layout=(),
    masks="above 0 is defective, or above `mask_above`",
)

Names = str | Sequence[str]


def index(
    root: Path | str,
    category: str | None = None,
    *,
    good: Names = "auto",
    defective: Names = "auto",
    masks: str | None = "auto",
    mask_above: int = 0,
    test_share: float = 0.2,
    seed: int = 0,
) -> list[Record]:
    """Return a record for every image below a folder; "auto" recognises what the module's description lists.

    Args:
        root: The data set's folder.
        category: A folder in `root` to read instead of all of it.
        good: Folders of good parts, relative to the folder that is read.
        defective: Folders of defective parts, likewise; one may hold a folder for each kind.
        masks: The masks' folder, "beside" for masks next to their images, None to ignore all masks.
        mask_above: A mask pixel above this value is defective.
        test_share: Share of the good images for testing, in [0, 1], where there is no train folder but a defective
            image to tell them from. With 1 nothing is trained: all images are for testing, and neither a train folder
            nor good images are needed.
        seed: Random seed of that split.

    Returns:
        One record per image, sorted by key.

    Raises:
        DataError: no such folder, no image, no good image, a mask without an image, or a layout with two meanings.
        ImageError: a mask that decides whether its image is good cannot be read.
        InputError: `test_share` is not in [0, 1].
    """
    root = require_folder(root)
    if category is not None and (Path(category).is_absolute() or ".." in Path(category).parts):
        raise DataError(f"category {category!r} leads out of {root}; name a folder in it: {listing(root)}.")
    start = root if category is None else require_folder(root / category)
    plan = _plan(start, _tuple(good), _tuple(defective), masks, learning=test_share != 1)
    files = sorted(_files(start, plan.skip))
    beside = _masks_beside(files) if plan.beside else {}
    mask_files = set(beside.values())
    parts = [path for path in files if path not in mask_files]
    if masks == "auto" and plan.mask_folders and any(ends_as_mask(path) for path in parts):
        name = plan.mask_folders[0].relative_to(start).as_posix()
        raise DataError(
            f'{start} holds masks in {name}/ and beside images. Say which count: masks="{name}" or masks="beside".'
        )
    if masks != "auto" and not plan.beside:  # masks are elsewhere or ignored: these are no parts either
        parts = without_masks_beside(parts)
    if not parts:
        raise DataError(
            f"{start} holds no image ({', '.join(SUFFIXES)}), however deep; it holds {listing(start)}. Check the path."
        )
    found = beside or _masks_in_tree(plan, parts)
    name = category or Path(os.path.abspath(root)).name  # noqa: PTH100 - "." has no name
    records = []
    for path in parts:
        kind, split = plan.kind(path, found.get(path), mask_above)
        key = path.relative_to(root).as_posix()
        mask = (found[path],) if path in found and kind != GOOD else ()
        records.append(Record(key, {"image": path}, kind, int(kind != GOOD), split, name, mask, mask_above))
    if test_share != 1:
        _require_good(start, records)
    if not plan.splits and (test_share == 1 or any(record.label for record in records)):
        records = train_test(records, test_share, seed)
    return in_order(records)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What each folder below `start` means. Paths of `good`, `kinds` and `splits` are folders.

    Where neither good nor kinds are known the masks decide; `parts` are then the folders that hold the images.
    """

    start: Path
    good: tuple[Path, ...] = ()
    kinds: dict[Path, str] = field(default_factory=dict)
    splits: dict[Path, Split] = field(default_factory=dict)
    parts: tuple[Path, ...] = ()
    mask_folders: tuple[Path, ...] = ()
    skip: tuple[Path, ...] = ()
    beside: bool = False

    def kind(self, path: Path, mask: Path | None, above: int) -> tuple[str, Split]:
        """Return an image's kind and split: from the nearest folder that tells, else from its mask."""
        told = next((self.splits[folder] for folder in path.parents if folder in self.splits), None)
        split = told or "train"
        for folder in path.parents:
            if folder in self.good:
                return GOOD, split
            if folder in self.kinds:
                return self.kinds[folder], told or "test"
        if self.good or self.kinds:
            raise DataError(
                f"{path} lies in no folder that says whether it is good or defective. Move it, or name the folders: "
                "good=..., defective=..."
            )
        empty = mask is None or mask_is_empty(mask, above)
        return (GOOD, split) if empty else (UNNAMED, "test")


def _plan(start: Path, good: tuple[str, ...], defective: tuple[str, ...], masks: str | None, learning: bool) -> _Plan:
    splits = {f: SPLIT_NAMES[f.name.lower()] for f in folders(start) if f.name.lower() in SPLIT_NAMES}
    within = _within_splits(start, splits, learning) if masks == "auto" and not (good or defective) else None
    if within is not None:
        return within
    mask_folder = _mask_folder(start, masks)
    mask_folders = (mask_folder,) if mask_folder else ()
    beside = masks == "beside" or (masks == "auto" and mask_folder is None)
    skip = {*_mask_folders(start), *mask_folders}
    among = _masks_among_parts(start, skip)
    if among and masks == "auto":
        raise DataError(
            f"{among[0]} is named for masks but lies among images of parts. Move it to {start / 'ground_truth'}, in "
            "folders named as the images' are, or leave all masks out with masks=None."
        )
    plan = _Plan(start, splits=splits, mask_folders=mask_folders, skip=(*skip, *among), beside=beside)
    if good or defective:
        return _named(plan, good, defective)
    return _with_splits(plan, learning) if splits else _by_folder_names(plan, learning)


def _within_splits(start: Path, splits: dict[Path, Split], learning: bool) -> _Plan | None:
    """Return the plan of `train/images`, `train/masks`, `test/images`, `test/masks`, or None if the tree is another."""
    pairs = []
    for folder in splits:
        inner = [f for f in folders(folder) if next(_files(f), None)]
        masked = [f for f in inner if is_folder_for_masks(f)]
        images = [f for f in inner if f not in masked and not _is_good(f) and not _is_defective(f)]
        loose = any(path.parent == folder for path in _files(folder))
        if len(masked) != 1 or len(images) != 1 or len(inner) != 2 or loose:
            return None
        pairs.append((images[0], masked[0]))
    if not pairs or (learning and "train" not in splits.values()):
        return None
    if any(f not in splits and next(_files(f), None) for f in folders(start)):
        return None
    parts, mask_folders = (tuple(some) for some in zip(*pairs, strict=True))
    return _Plan(start, splits=splits, parts=parts, mask_folders=mask_folders, skip=mask_folders)


def _masks_among_parts(start: Path, skip: set[Path]) -> list[Path]:
    """Return the folders named for masks that hold images outside `skip`, deeper than `_mask_folders` searches."""
    found = []
    for here, inner, _ in os.walk(start):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and Path(here, name) not in skip)
        found += [Path(here, name) for name in inner if is_folder_for_masks(Path(here, name))]
    return [folder for folder in found if next(_files(folder), None)]


def _named(plan: _Plan, good: tuple[str, ...], defective: tuple[str, ...]) -> _Plan:
    """Take the folders that were named, below `start` or below its split folders; the others are the opposite.

    A folder named for good parts, as `test/good`, holds good ones even where others were named.
    """
    good_folders = [folder for name in good for folder in _named_folders(plan, name, "good")]
    kinds: dict[Path, str] = {}
    for name in defective:
        for folder in _named_folders(plan, name, "defective"):
            kinds |= _kinds(folder)
    holders = [plan.start, *plan.splits]
    others = [f for holder in holders for f in folders(holder) if f not in plan.splits and f not in plan.skip]
    good_folders += [f for f in others if _is_good(f) and f not in kinds and (not good or f.parent in plan.splits)]
    if not defective:
        for folder in others:
            if not any(folder in (g, *g.parents) for g in good_folders):
                kinds |= _kinds(folder) if _is_defective(folder) else {folder: folder.name}
    return replace(plan, good=tuple(good_folders), kinds=kinds)


def _named_folders(plan: _Plan, name: str, argument: str) -> list[Path]:
    found = [holder / name for holder in (plan.start, *plan.splits) if (holder / name).is_dir()]
    return found or [_inside(plan.start, name, argument)]


def _with_splits(plan: _Plan, learning: bool) -> _Plan:
    """Read `train`, `validation` and `test` folders: train holds good images, test a folder for each kind.

    A validation folder may hold kinds of defects as well, where good parts have a folder of their own.
    """
    start = plan.start
    if learning and "train" not in plan.splits.values():
        raise DataError(
            f"{start} holds {listing(start)} but no train folder. Looked for train/good. "
            "Point at the folder above, or name the folders: good=..., defective=..."
        )
    if len(set(plan.splits.values())) < len(plan.splits):
        raise DataError(f"{start} holds two folders for one split: {listing(start)}. Keep one of them.")
    stray = [f for f in _others(plan) if f not in plan.splits and next(_files(f), None)]
    if stray:
        raise DataError(
            f"{start} holds train and test folders, and images in {_names(stray)} besides. "
            "Move them, or name the folders: good=..., defective=..., masks=..."
        )
    good: list[Path] = []
    kinds: dict[Path, str] = {}
    for folder, split in plan.splits.items():
        inner = [f for f in folders(folder) if f not in plan.skip and next(_files(f), None)]
        right = [f for f in inner if _is_good(f)]
        wrong = [f for f in inner if f not in right]
        named = right or any(
            _is_good(f) for other, use in plan.splits.items() if use == "train" for f in folders(other)
        )
        if split == "test" or (split == "validation" and inner and named):
            good += right
            for other in wrong:
                kinds |= _kinds(other) if _is_defective(other) else {other: other.name}
        elif wrong and (right or any(_is_defective(f) for f in wrong)):
            raise DataError(
                f"{folder} must hold good images only, but holds {_names(wrong)}. Move them to {start / 'test'}, or "
                "name the folders: good=..., defective=..."
            )
        else:
            good.append(folder)
    return replace(plan, good=tuple(good), kinds=kinds)


def _by_folder_names(plan: _Plan, learning: bool) -> _Plan:
    """Read folders without splits: those with a good name, and every other one a kind of defect."""
    used = [folder for folder in _others(plan) if next(_files(folder), None)]
    if not used:
        return plan
    good = [folder for folder in used if _is_good(folder)]
    if not good and len(used) == 1 and not _is_defective(used[0]) and _has_masks(plan):
        return replace(plan, parts=(used[0],))
    if not good and learning:
        raise DataError(
            f"{plan.start} holds no good images: none of its folders ({_names(used)}) has a name for good parts "
            f"({', '.join(GOOD_NAMES)}). Say which one it is: good=..."
        )
    if len(good) > 1:
        raise DataError(
            f"{plan.start} holds several folders named for good parts: {_names(good)}. Say which are: good=..."
        )
    kinds: dict[Path, str] = {}
    for folder in used:
        if folder not in good:
            kinds |= _kinds(folder) if _is_defective(folder) else {folder: folder.name}
    return replace(plan, good=tuple(good), kinds=kinds)


def _has_masks(plan: _Plan) -> bool:
    return bool(plan.mask_folders) or any(ends_as_mask(path) for path in _files(plan.start))


def _kinds(folder: Path) -> dict[Path, str]:
    """Return the kinds a folder of defective parts holds: one for each folder in it, and its own name for the rest."""
    return {folder: folder.name, **{inner: inner.name for inner in folders(folder)}}


def _others(plan: _Plan) -> list[Path]:
    return [folder for folder in folders(plan.start) if folder not in plan.skip]


def _mask_folders(start: Path) -> list[Path]:
    """Return the folders named for masks: whatever they are used for, they hold no images of parts."""
    tests = [f for f in folders(start) if SPLIT_NAMES.get(f.name.lower()) == "test"]
    return [f for parent in (start, *tests) for f in folders(parent) if is_folder_for_masks(f)]


def _mask_folder(start: Path, masks: str | None) -> Path | None:
    if masks in (None, "beside"):
        return None
    if masks != "auto":
        return _inside(start, str(masks), "masks")
    found = _mask_folders(start)
    if len(found) > 1:
        raise DataError(
            f"{start} holds several folders named for masks: {_names(found)}. Say which one it is: masks=..."
        )
    return found[0] if found else None


def _masks_beside(files: list[Path]) -> dict[Path, Path]:
    """Pair `x_mask.png` and `x.mask.png` with the image x in the same folder."""
    masks = [path for path in files if ends_as_mask(path)]
    mask_files = set(masks)
    parts: dict[tuple[Path, str], list[Path]] = {}
    for path in files:
        if path not in mask_files:
            parts.setdefault((path.parent, path.stem), []).append(path)
    found: dict[Path, Path] = {}
    for mask in masks:
        _claim(found, mask, parts.get((mask.parent, stem_of_part(mask)), []), f"{stem_of_part(mask)}.* beside it")
    return found


def _masks_in_tree(plan: _Plan, parts: list[Path]) -> dict[Path, Path]:
    """Pair masks with the images whose path they repeat, from `start`, from a split's folder, or from the defects'."""
    holders = {plan.start, *plan.splits, *plan.parts, *plan.good, *plan.kinds, *(f.parent for f in plan.kinds)}
    by_place: dict[tuple[Path, str], list[Path]] = {}
    for path in parts:
        for holder in holders.intersection(path.parents):
            place = (path.parent.relative_to(holder), path.stem)
            by_place.setdefault(place, []).append(path)
    found: dict[Path, Path] = {}
    masks = [(folder, mask) for folder in plan.mask_folders for mask in sorted(_files(folder))]
    for folder, mask in masks:
        where = mask.parent.relative_to(folder)
        fitting = by_place.get((where, stem_of_part(mask))) or by_place.get((where, mask.stem), [])
        if len(plan.mask_folders) > 1:  # one for each split: it belongs to the images next to it
            fitting = [path for path in fitting if folder.parent in path.parents]
        if plan.good or plan.kinds:
            defective = [path for path in fitting if any(folder in plan.kinds for folder in path.parents)]
            if fitting and not defective:
                continue  # the empty mask of a good image
            fitting = defective
        _claim(found, mask, fitting, f"{(where / stem_of_part(mask)).as_posix()}.*")
    return found


def _claim(found: dict[Path, Path], mask: Path, fitting: list[Path], looked_for: str) -> None:
    if not fitting:
        raise DataError(
            f"mask {mask} has no image: looked for {looked_for}. Remove it, restore its image, or say where the masks "
            'are: masks="beside", masks=None or the name of their folder.'
        )
    if len(fitting) > 1:
        raise DataError(f"mask {mask} could belong to {_names(fitting)}. Rename or remove all but one.")
    if fitting[0] in found:
        raise DataError(f"{fitting[0]} has two masks: {found[fitting[0]]} and {mask}. Remove one of them.")
    found[fitting[0]] = mask


def _files(folder: Path, skip: tuple[Path, ...] = ()) -> Iterator[Path]:
    """Yield the image files below a folder, however deep, without hidden ones; links to folders are followed once."""

    def refuse(error: OSError) -> None:
        raise DataError(
            f"{error.filename} cannot be read: {error.strerror}. Check the folder's permissions."
        ) from error

    seen: set[str] = set()
    for here, inner, names in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(here)
        kept = [name for name in inner if not name.startswith(".") and name != "__MACOSX"]
        inner[:] = [] if real in seen else sorted(name for name in kept if Path(here, name) not in skip)
        if real not in seen:
            seen.add(real)
            yield from (
                Path(here, name) for name in names if not name.startswith(".") and name.lower().endswith(SUFFIXES)
            )


def _require_good(start: Path, records: list[Record]) -> None:
    if not any(record.label == 0 and record.split == "train" for record in records):
        raise DataError(
            f"{start} holds no good images to learn from, only {len(records)} others. "
            "Add good ones in a folder named good or train/good, or say which folder it is: good=..."
        )


def _inside(start: Path, name: str, argument: str) -> Path:
    folder = start / name
    if not folder.is_dir():
        raise DataError(f"{argument}={name!r}: no such folder in {start}, which holds {listing(start)}.")
    return folder


def _is_good(folder: Path) -> bool:
    return _folded(folder) in GOOD_NAMES


def _is_defective(folder: Path) -> bool:
    return _folded(folder) in DEFECTIVE_NAMES


def _folded(folder: Path) -> str:
    return "".join(letter for letter in folder.name.lower() if letter.isalnum())


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _tuple(names: Names | Literal["auto"]) -> tuple[str, ...]:
    if names == "auto":
        return ()
    return (names,) if isinstance(names, str) else tuple(names)


class Folder(DataModule):
    """Images of your own, in any folders; see `index` for the names it recognises and takes.

    With category="all" every folder in `root` that holds images is a category, laid out in any of these ways.
    """

    card = CARD
    index = staticmethod(index)

    def _all(self) -> list[str | None]:
        root = require_folder(self.root)
        inside = [folder for folder in folders(root) if next(_files(folder), None)]
        parts = [f.name for f in inside if _is_good(f) or _is_defective(f) or f.name.lower() in SPLIT_NAMES]
        if not inside or parts:
            raise DataError(
                f"category='all' takes every folder in {root} as a category, but it holds {', '.join(parts) or 'none'}"
                f"{', as one category does' if parts else ' with images'}. Leave it out, or name the folder above."
            )
        return [folder.name for folder in inside]
