"""A data set in use: its records, its training, held-out and test images, and how a part is prepared."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from blemish.core.arguments import DATA, refuse_unknown
from blemish.core.card import DatasetCard
from blemish.core.errors import DataError, InputError
from blemish.data.reader import Loader
from blemish.data.record import Record
from blemish.data.split import hold_out, hold_out_groups, split_hash
from blemish.imaging.images import Imaging
from blemish.imaging.reading import MAX_PIXELS, read_mask

ALL = "all"
"""The category that stands for all that are there."""


class DataModule:
    """The parts of one category, or of several for one model, split and ready.

    The threshold is chosen from the data set's own validation images, or, where it has none, from good training images
    that are held out and never learned from; of each category its share. With `holdout=0` and no validation images there
    is no threshold.

    Args:
        root: The data set's folder.
        category: One of `card.categories`, a list of several, or "all"; None where the folder holds only one.
        image_size: (height, width) that images are resized to, in pixels, or one number for both.
        crop: (height, width) cut from the centre of the resized image, or one number for both; None keeps all of it.
        roi: Region of interest (left, top, right, bottom) in pixels of the original image, cut out first.
        ignore: Mask file; what is not black is ignored.
        white: Sensor value that becomes 1.0, see `blemish.imaging.reading.read`.
        max_pixels: The largest image that is decoded, in pixels.
        train_batch_size: Images per batch in training.
        eval_batch_size: Images per batch in evaluation.
        holdout: Share of good training images held out for the threshold, in [0, 1); those of one part (`Record.group`)
            stay together.
        seed: Decides which images are held out and the order of training images; it is passed to an `index` that takes
            one.
        **options: Passed to the data set's `index`.

    Raises:
        DataError: the folder is not laid out as expected, or holds no good image to learn from.
        InputError: it holds several categories and none is named, one is named twice, or a share or batch size is out of
            range.
        UnknownName: there is no such option; of several wrong ones all are named.
        ImageError: the `ignore` mask cannot be read.
    """

    card: ClassVar[DatasetCard]
    index: ClassVar[Callable[..., list[Record]]]

    def __init__(
        self,
        root: Path | str,
        category: str | Sequence[str] | None = None,
        *,
        image_size: tuple[int, int] | int = (256, 256),
        crop: tuple[int, int] | int | None = None,
        roi: tuple[int, int, int, int] | None = None,
        ignore: Path | str | None = None,
        white: float | None = None,
        max_pixels: int = MAX_PIXELS,
        train_batch_size: int = 32,
        eval_batch_size: int = 32,
        holdout: float = 0.2,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self._check_options(options)
        if not 0 <= holdout < 1:
            raise InputError(f"holdout is {holdout}; it is a share of the good images, from 0 to below 1")
        if min(train_batch_size, eval_batch_size) < 1:
            raise InputError("batch sizes must be at least 1")
        self.root, self.options = Path(root), options
        self.category = category if category is None or isinstance(category, str) else list(category)
        if isinstance(self.category, list) and len(set(self.category)) < max(1, len(self.category)):
            raise InputError(f"category is {self.category}; name at least one category, and none twice")
        self.imaging = Imaging(
            size=_pair(image_size),
            crop=None if crop is None else _pair(crop),
            roi=roi,
            ignore=None if ignore is None else read_mask(ignore),
            white=white,
            max_pixels=max_pixels,
        )
        self.train_batch_size, self.eval_batch_size = train_batch_size, eval_batch_size
        self.holdout, self.seed = holdout, seed

    def __repr__(self) -> str:
        category = f", {' + '.join(self.named)}" if self.named else ""
        return f"<{type(self).__name__} {self.root}{category}, {' x '.join(map(str, self.imaging.input_size))} pixels>"

    @classmethod
    def _check_options(cls, options: Iterable[str]) -> None:
        """Refuse what neither this class nor its `index` takes now, not when the records are first needed."""
        own, further = (inspect.signature(function).parameters for function in (DataModule.__init__, cls.index))
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in further.values()):
            return
        known = (name for name in (*own, *further) if name not in ("self", "options"))
        refuse_unknown(cls.__name__, options, known, DATA)

    @classmethod
    def reference(cls) -> str:
        """The name by which this class is found again: "mvtec_ad", or "package.module:Class" of one that is not ours."""
        ours = cls.__module__.startswith("blemish.data.datasets.")
        return cls.__module__.rpartition(".")[2] if ours else f"{cls.__module__}:{cls.__qualname__}"

    @property
    def name(self) -> str:
        """The data set's name, as the command line knows it."""
        return self.reference()

    @property
    def named(self) -> list[str]:
        """What `category` names, as a list; empty for None."""
        return [self.category] if isinstance(self.category, str) else self.category or []

    @cached_property
    def records(self) -> list[Record]:
        """Every record of the categories, in a fixed order."""
        index = type(self).index
        seeded = {"seed": self.seed} if "seed" in inspect.signature(index).parameters else {}
        given = {**seeded, **self.options}
        asked: list[str | None] = [*(self._all() if self.category == ALL else self.named)] or [None]
        found = [record for category in asked for record in index(self.root, category, **given)]
        categories = sorted({record.category for record in found})
        if self.category is None and len(categories) > 1:
            raise InputError(
                f"{self.root} holds several categories; name one of them, several, or {ALL!r} for one model of all: "
                f"{', '.join(categories)}"
            )
        return found

    def _all(self) -> list[str | None]:
        """Return what `index` is asked for when all categories are wanted: where it knows them itself, None."""
        return [None]

    @property
    def categories(self) -> list[str]:
        """The categories that the records are of, sorted."""
        return sorted({record.category for record in self.records})

    @property
    def inputs(self) -> frozenset[str]:
        """The kinds of input that every part has, see `blemish.core.inputs`."""
        kinds = [{*record.files, *(["category"] if record.category else [])} for record in self.records]
        return frozenset(set.intersection(*kinds)) if kinds else frozenset()

    @cached_property
    def _parts(self) -> tuple[list[Record], list[Record]]:
        several = len(self.categories) > 1
        each = [self._divide([r for r in self.records if r.category == name], several) for name in self.categories]
        return [r for fit, _ in each for r in fit], [r for _, held in each for r in held]

    def _divide(self, records: list[Record], several: bool) -> tuple[list[Record], list[Record]]:
        """Return the training and the held-out records of one category."""
        good = [r for r in records if r.split == "train" and r.label == 0]
        validation = [r for r in records if r.split == "validation" and r.label == 0]
        here = f"{self.root} ({records[0].category})" if several else str(self.root)
        if not good:
            raise DataError(f"{here} holds no good image to learn from; put some in a folder named good or train/good.")
        if validation or self.holdout == 0:
            return good, validation
        if len(good) < 4:
            raise DataError(
                f"{here} holds {len(good)} good images to learn from; at least 4 are needed, 2 to learn from and 2 "
                "for the threshold. Add good images, or learn without a threshold (holdout=0)."
            )
        share = max(self.holdout, 2 / len(good))
        grouped = any(record.group for record in good)
        fit, held = (hold_out_groups if grouped else hold_out)(good, share, self.seed)
        if len(held) < 2:
            raise DataError(
                f"{here} holds {len(good)} good images to learn from, several of one part each, and no two for the "
                f"threshold without tearing a part's images apart. Raise holdout ({self.holdout:g}), or set it to 0."
            )
        return fit, [replace(record, split="validation") for record in held]

    @property
    def train_records(self) -> list[Record]:
        """The good images that a detector is trained on."""
        return self._parts[0]

    @property
    def tasks(self) -> list[list[Record]]:
        """The training images in the order in which they come; one task, unless a protocol divides them (`Continual`)."""
        return [self.train_records]

    @property
    def held_out_records(self) -> list[Record]:
        """The good images that the threshold is chosen from; no detector is trained on them."""
        return self._parts[1]

    @property
    def unlabelled_records(self) -> list[Record]:
        """What a transductive method is fitted on, without its truth: the test parts, or where there are none all parts."""
        return [r for r in self.records if r.split == "test"] or self.records

    @property
    def test_records(self) -> list[Record]:
        """The test images of known truth; they are used for measurement only."""
        return [r for r in self.records if r.split == "test" and r.label is not None]

    def saturations(self, record: Record) -> list[float] | None:
        """Return from which covered area on each instance of a part counts as found; by default from all of its area.

        Args:
            record: The part.

        Returns:
            Pixels of the original image, one number for each of its masks; None for their areas.
        """
        return None

    @property
    def split_sha256(self) -> str:
        """The hash of the training, held-out and test records, see `blemish.data.split.split_hash`."""
        fit, held = self._divided
        return split_hash([*fit, *held, *self.test_records])

    @property
    def _divided(self) -> tuple[list[Record], list[Record]]:
        """The training and the held-out records; none where all images are for testing."""
        return self._parts if any(record.split == "train" for record in self.records) else ([], [])

    def train(self) -> Loader:
        """Return the training batches, shuffled; unreadable images are skipped with a warning."""
        return self.batches(self.train_records)

    def prepared_as(self, imaging: Imaging) -> Self:
        """Return the same parts, prepared in another way.

        Args:
            imaging: How files are prepared.

        Returns:
            A copy.
        """
        other = copy(self)
        other.imaging = imaging
        return other

    def batches(self, records: Sequence[Record], *, inputs: Sequence[str] = ("image",), truth: bool = False) -> Loader:
        """Return shuffled batches to fit on; unreadable parts are skipped with a warning.

        Args:
            records: The parts.
            inputs: The kinds of input that are read, see `blemish.core.inputs`.
            truth: Whether they come with their ground truth.

        Returns:
            The batches.
        """
        return Loader(
            records,
            self.imaging,
            inputs=inputs,
            truth=truth,
            batch_size=self.train_batch_size,
            shuffle=True,
            seed=self.seed,
            on_error="skip",
        )

    def describe(self) -> dict[str, Any]:
        """Return what determines the data, as JSON values: for run folders and reports."""
        fit, held = self._divided
        spoilt = sum(record.split == "validation" and record.label == 1 for record in self.records)
        return {
            "dataset": self.name,
            "root": str(self.root),
            "category": self.category,
            "imaging": self.imaging.as_dict(),
            "batch_size": self.train_batch_size,
            "holdout": self.holdout,
            "seed": self.seed,
            "options": self.options,
            "counts": {
                "train": len(fit),
                "held_out": len(held),
                "test": len(self.test_records),
                **({"validation_defective": spoilt} if spoilt else {}),
            },
            "split_sha256": self.split_sha256,
        }


def _pair(size: tuple[int, int] | int) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
