"""Counting float32 scores in bounded memory, without knowing their range beforehand.

The bits of a float32, read as an unsigned integer with the sign treated, are in the order of the numbers. Their first 9
bits give an octave (sign and power of two), the remaining ones one of its bins, equally wide. Only octaves that occur
take memory. Up to 3 of them get 2^20 bins each; each doubling of their number halves the bins of all, down to 2^12 if
scores reach from -1e38 to 1e38. That depends only on which octaves were seen, not on order or batches.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blemish.metrics.counts import Row, Scores

FINEST = 20  # bits inside an octave, of the 23 a float32 has
OCTAVES = 3  # octaves that may have the finest bins


class FloatBins:
    """Amounts, float64, for every bin of scores that occurs; at most 3 x 2^20 bins, 25 MB per channel.

    Args:
        channels: Number of amounts per bin.
    """

    def __init__(self, channels: int) -> None:
        self.bits = FINEST
        self._octaves = np.zeros(0, np.int64)  # octaves seen, in the order of their pages
        self._start = np.full(512, -1, np.int64)  # octave -> where its page begins
        self._amounts = np.zeros((channels, 0))  # page after page
        self._known: tuple[Row, Row] | None = None  # what `rows` returned, until something is added

    def locate(self, scores: Scores) -> NDArray[np.int64]:
        """Return the positions of scores among the bins, for `add`; the next `locate` makes them invalid.

        Args:
            scores: (n,) finite float32 scores.

        Returns:
            (n,) positions.
        """
        keys = _keys(scores)
        octaves = keys >> np.uint32(23)
        places: NDArray[np.int64] = self._start.take(octaves)
        if places.size and places.min() < 0:
            self._open(np.unique(octaves[places < 0]))
            places = self._start.take(octaves)
        keys >>= np.uint32(23 - self.bits)
        keys &= np.uint32((1 << self.bits) - 1)
        places += keys
        return places

    def add(self, channel: int, places: NDArray[np.int64], weights: Row | float = 1.0) -> None:
        """Add weights at positions.

        Args:
            channel: The channel they are added to.
            places: (n,) positions from the latest `locate`.
            weights: One weight for all positions, or (n,); not negative.
        """
        np.add.at(self._amounts[channel], places, weights)
        self._known = None

    def merge(self, other: FloatBins) -> None:
        """Add the amounts of another histogram.

        Args:
            other: Bins with as many channels; it is left unchanged.
        """
        self._open(other._octaves[self._start[other._octaves] < 0])
        for octave in other._octaves:
            self._page(octave)[:] += _coarsen(other._page(octave), other.bits - self.bits)
        self._known = None

    def rows(self) -> tuple[Row, Row]:
        """Return the bins in use, by falling score; the arrays must not be changed.

        Returns:
            The lowest score of each bin, (B,), and the amounts, (channels, B).
        """
        if self._known is not None:
            return self._known
        floors, amounts = [np.zeros(0)], [self._amounts[:, :0]]
        for octave in np.sort(self._octaves)[::-1]:
            page = self._page(octave)
            used = np.flatnonzero(page.sum(0))[::-1]  # amounts are not negative
            keys = (np.uint32(octave) << np.uint32(23)) | (used.astype(np.uint32) << np.uint32(23 - self.bits))
            floors.append(_floats(keys))
            amounts.append(page[:, used])
        self._known = np.concatenate(floors), np.concatenate(amounts, 1)
        return self._known

    def floors(self, scores: Scores) -> Row:
        """Round scores down to their bins.

        Args:
            scores: (n,) finite scores.

        Returns:
            The lowest score of the bin that each score falls into, (n,).
        """
        shift = np.uint32(23 - self.bits)
        return _floats(_keys(scores) >> shift << shift)

    @property
    def nbytes(self) -> int:
        """The memory in use."""
        return self._amounts.nbytes

    def _page(self, octave: np.integer) -> Row:
        start = self._start[octave]
        return self._amounts[:, start : start + (1 << self.bits)]

    def _open(self, octaves: NDArray[np.integer]) -> None:
        """Make pages for more octaves, after halving the bins of all until they fit."""
        self._octaves = np.concatenate([self._octaves, octaves.astype(np.int64)])
        steps = 0
        while len(self._octaves) > OCTAVES << (FINEST - self.bits + steps):
            steps += 1
        self.bits -= steps
        kept = _coarsen(self._amounts, steps)
        self._amounts = np.zeros((len(kept), len(self._octaves) << self.bits))  # pages never touched cost nothing
        self._amounts[:, : kept.shape[1]] = kept
        self._start[self._octaves] = np.arange(len(self._octaves)) << self.bits


def _keys(scores: Scores) -> NDArray[np.uint32]:
    """Return uint32 in the order of the scores, equal for equal scores."""
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)  # -0.0 becomes 0.0
    flip = (bits >> 31) | np.int32(-(2**31))  # negative: all bits; positive: the sign alone
    flip ^= bits
    return flip.view(np.uint32)


def _floats(keys: NDArray[np.uint32]) -> Row:
    """Return the scores whose keys these are."""
    positive = keys >= np.uint32(1 << 31)
    bits = np.where(positive, keys ^ np.uint32(1 << 31), ~keys)
    return bits.view(np.float32).astype(np.float64)


def _coarsen(page: Row, steps: int) -> Row:
    for _ in range(steps):
        page = page[:, ::2] + page[:, 1::2]
    return page
