"""Records to batches: read ahead in threads, in a fixed order, without holding more than a few images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from blemish.core.errors import DataError, ImageError
from blemish.core.files import printable
from blemish.core.read_ahead import read_ahead
from blemish.imaging.images import Imaging
from blemish.imaging.parts import PreparedPart, prepare_part, stack
from blemish.imaging.reading import read_mask

if TYPE_CHECKING:
    from blemish.core.types import Batch, Truth
    from blemish.data.record import Record

KEEP = 2**30
"""Bytes of prepared images that a Loader may keep: 1,365 of 256 x 256 pixels."""


class Loader:
    """Batches of records, as often as it is iterated.

    Training iterates many times: from the second pass on, prepared images are kept in memory, as many as fit, and the
    others are read again. A single pass keeps nothing.

    Args:
        records: The records to read.
        imaging: How a part's files become the network's inputs.
        inputs: The kinds of input that are read, see `blemish.core.inputs`; the category is always in a batch.
        truth: Whether the batches come with their ground truth, for methods that learn from it.
        batch_size: Images per batch.
        shuffle: Whether each pass draws a new order, decided by the seed and the number of earlier passes.
        seed: Random seed of the order.
        on_error: What an unreadable image does: "raise" its ImageError, or "skip" it with a warning.
        keep: Most bytes of prepared images kept in memory.

    Attributes:
        skipped: Why images were skipped, by record key.
    """

    def __init__(
        self,
        records: Sequence[Record],
        imaging: Imaging,
        *,
        inputs: Sequence[str] = ("image",),
        truth: bool = False,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        on_error: Literal["raise", "skip"] = "raise",
        keep: int = KEEP,
    ) -> None:
        self.records, self.imaging, self.batch_size = list(records), imaging, batch_size
        self.inputs, self.truth = tuple(inputs), truth
        self.shuffle, self.seed, self.on_error = shuffle, seed, on_error
        self.skipped: dict[str, str] = {}
        self._announced = 0  # how many of them a warning has reported
        self._epoch = 0
        self._kept: dict[str, PreparedPart] = {}
        self._room = keep

    def __len__(self) -> int:
        """Return the number of batches."""
        return math.ceil((len(self.records) - len(self.skipped)) / self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches; the last one may be smaller."""
        order = [r for r in self.records if r.key not in self.skipped]
        if self.shuffle:
            rng = np.random.default_rng((self.seed, self._epoch))
            order = [order[i] for i in rng.permutation(len(order))]
        self._epoch += 1
        pending: list[tuple[Record, PreparedPart]] = []
        read_any = False
        try:
            for record, part in read_ahead(self._read, order, ahead=2 * self.batch_size):
                if isinstance(part, ImageError):
                    if self.on_error == "raise":
                        raise part
                    self.skipped[record.key] = str(part)
                    continue
                size = sum(getattr(value, "nbytes", 0) for value in part.inputs.values())
                if self._epoch > 1 and record.key not in self._kept and size <= self._room:
                    self._kept[record.key] = part
                    self._room -= size
                pending.append((record, part))
                read_any = True
                if len(pending) == self.batch_size:
                    yield self._batch(pending)
                    pending = []
            if self.skipped and not read_any:
                self._announced = len(self.skipped)
                raise DataError(f"none of {len(self.records)} images could be read. The first: {self._first_reason()}")
            if pending:
                yield self._batch(pending)
        finally:  # also where the pass ends early, as training does at its last step
            self._announce()

    def _read(self, record: Record) -> PreparedPart:
        kept = self._kept.get(record.key)
        return prepare_part(self.imaging, record, self.inputs) if kept is None else kept

    def _batch(self, parts: Sequence[tuple[Record, PreparedPart]]) -> Batch:
        return collate(parts, truth_of(parts, self.imaging) if self.truth else None)

    def _announce(self) -> None:
        if len(self.skipped) > self._announced:
            self._announced = len(self.skipped)
            warnings.warn(
                f"{len(self.skipped)} of {len(self.records)} images were skipped. The first: {self._first_reason()}",
                stacklevel=3,
            )

    def _first_reason(self) -> str:
        return printable(next(iter(self.skipped.values())))


def collate(parts: Sequence[tuple[Record, PreparedPart]], truth: Truth | None = None) -> Batch:
    """Stack prepared parts into one batch.

    Args:
        parts: Records and what was read of them, of one size.
        truth: Their ground truth, for methods that learn from it.

    Returns:
        The batch; its category is "" where a record has none.
    """
    import torch

    from blemish.core.types import Batch

    stacked: dict[str, Any] = {**stack([part for _, part in parts]), "category": [r.category for r, _ in parts]}
    inputs = {
        name: torch.from_numpy(value) if isinstance(value, np.ndarray) else value for name, value in stacked.items()
    }
    return Batch(inputs, tuple(record.key for record, _ in parts), truth)


def truth_of(parts: Sequence[tuple[Record, PreparedPart]], imaging: Imaging) -> Truth:
    """Read the ground truth of prepared parts.

    Args:
        parts: Records and what was read of them.
        imaging: How they were prepared; masks are cut and resized alike, by nearest neighbour.

    Returns:
        Labels, and masks by instance.

    Raises:
        ImageError: a mask cannot be read, or does not fit the region of interest.
    """
    import torch

    from blemish.core.types import Truth

    masks = []
    for record, _ in parts:
        read = [
            torch.from_numpy(imaging.prepare_mask(read_mask(path, above=record.mask_above))) for path in record.masks
        ]
        none = torch.zeros(0, *imaging.input_size, dtype=torch.bool) if record.label == 0 else None
        masks.append(torch.stack(read) if read else none)
    label = torch.tensor([record.label if record.label is not None else -1 for record, _ in parts])
    return Truth(label, tuple(masks))
