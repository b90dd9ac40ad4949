"""Records to batches: read ahead in threads, in a fixed order, without holding more than a few images."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from blemish.core.errors import DataError, ImageError
from blemish.core.files import printable
from blemish.core.read_ahead import read_ahead
from blemish.imaging.images import Imaging

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blemish.core.types import Batch
    from blemish.data.record import Record

KEEP = 2**30
"""Bytes of prepared images that a Loader may keep: 1,365 of 256 x 256 pixels."""


class Loader:
    """Batches of records, as often as it is iterated.

    Training iterates many times: from the second pass on, prepared images are kept in memory, as many as fit, and the
    others are read again. A single pass keeps nothing.

    Args:
        records: The records to read.
        imaging: How an image becomes the network's input.
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
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        on_error: Literal["raise", "skip"] = "raise",
        keep: int = KEEP,
    ) -> None:
        self.records, self.imaging, self.batch_size = list(records), imaging, batch_size
        self.shuffle, self.seed, self.on_error = shuffle, seed, on_error
        self.skipped: dict[str, str] = {}
        self._announced = 0  # how many of them a warning has reported
        self._epoch = 0
        self._kept: dict[str, NDArray[np.float32]] = {}
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
        pending: list[tuple[Record, NDArray[np.float32]]] = []
        read_any = False
        try:
            for record, image in read_ahead(self._read, order, ahead=2 * self.batch_size):
                if isinstance(image, ImageError):
                    if self.on_error == "raise":
                        raise image
                    self.skipped[record.key] = str(image)
                    continue
                if self._epoch > 1 and record.key not in self._kept and image.nbytes <= self._room:
                    self._kept[record.key] = image
                    self._room -= image.nbytes
                pending.append((record, image))
                read_any = True
                if len(pending) == self.batch_size:
                    yield collate(pending)
                    pending = []
            if self.skipped and not read_any:
                self._announced = len(self.skipped)
                raise DataError(f"none of {len(self.records)} images could be read. The first: {self._first_reason()}")
            if pending:
                yield collate(pending)
        finally:  # also where the pass ends early, as training does at its last step
            self._announce()

    def _read(self, record: Record) -> NDArray[np.float32]:
        kept = self._kept.get(record.key)
        return self.imaging(record.image) if kept is None else kept

    def _announce(self) -> None:
        if len(self.skipped) > self._announced:
            self._announced = len(self.skipped)
            warnings.warn(
                f"{len(self.skipped)} of {len(self.records)} images were skipped. The first: {self._first_reason()}",
                stacklevel=3,
            )

    def _first_reason(self) -> str:
        return printable(next(iter(self.skipped.values())))


def collate(parts: Sequence[tuple[Record, NDArray[np.float32]]]) -> Batch:
    """Stack prepared images and their ground truth into one batch.

    Args:
        parts: Records and their images, each (H, W, 3), of one size.

    Returns:
        The batch; the label is -1 where the truth is unknown.
    """
    import torch

    from blemish.core.types import Batch

    images = np.stack([image for _, image in parts]).transpose(0, 3, 1, 2)
    label = torch.tensor([record.label if record.label is not None else -1 for record, _ in parts])
    return Batch({"image": torch.from_numpy(np.ascontiguousarray(images))}, label, tuple(r.key for r, _ in parts))
