"""Keep some images of a stream of batches back, the same ones however it is shuffled.

A detector sees its good images only as batches, in another order at every pass. Which image is held back is therefore
decided by its pixels: the images with the smallest checksums are. Nothing is kept in memory but checksums.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from torch import Tensor

from blemish.errors import InputError
from blemish.types import Batch


class Chosen:
    """The batches of `data`, left with those images whose checksum is (`inside`) or is not among `held`."""

    def __init__(self, data: Iterable[Batch], held: frozenset[int], seed: int, inside: bool) -> None:
        self.data, self.held, self.seed, self.inside = data, held, seed, inside

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.data:
            kept = [i for i, sum in enumerate(checksums(batch.image, self.seed)) if (sum in self.held) is self.inside]
            if len(kept) == len(batch):
                yield batch
            elif kept:  # the truth is handed on as it is, of all images: an unsupervised fit does not look at it
                yield Batch({name: value[kept] for name, value in batch.inputs.items()}, batch.label)


def hold_out(data: Iterable[Batch], share: float, seed: int = 0) -> tuple[Chosen, Chosen]:
    """Return the batches without, and the batches of, the `share` of images held back; each at least one image.

    Raises:
        InputError: there are fewer than two different images.
    """
    sums = sorted(sum for batch in data for sum in checksums(batch.image, seed))
    count = min(max(1, round(share * len(sums))), len(sums) - 1)
    held = frozenset(sums[: max(0, count)])
    if not held or held.issuperset(sums):
        raise InputError(
            f"{len(set(sums))} different good image(s); 2 are needed, one to learn from and one held back. "
            "Check that the training folder holds good images."
        )
    return Chosen(data, held, seed, inside=False), Chosen(data, held, seed, inside=True)


def checksums(images: Tensor, seed: int) -> list[int]:
    """Return a number for each image that depends on its pixels and on `seed`."""
    return [zlib.crc32(image.cpu().contiguous().numpy().tobytes(), seed & 0xFFFFFFFF) for image in images]
