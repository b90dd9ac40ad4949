"""Raw scores as arrays, without torch: of a batch, as a network gives them, and of one part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class RawScores(NamedTuple):
    """What a network says of B parts; `blemish.core.types.Scores` as arrays.

    Attributes:
        score: (B,) float64 raw image scores.
        map: (B, h, w) float32 raw maps at the network's size, or None without maps.
        branches: What the scores were made of, by name.
        words: A sentence on each part, from methods that speak.
    """

    score: NDArray[np.float64]
    map: NDArray[np.float32] | None = None
    branches: Mapping[str, RawScores] = MappingProxyType({})
    words: tuple[str, ...] | None = None


class RawBranch(NamedTuple):
    """One branch of one part: its raw score, and its (h, w) map at the network's size or None."""

    score: float
    map: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """The detector's output for one part.

    Attributes:
        score: Raw image score.
        map: (h, w) raw map at the network's size, or None without maps.
        original: (height, width) of the part's files in pixels.
        category: Its product, "" where nobody said.
        branches: What the score was made of, by name.
        words: What the method says of it.
    """

    score: float
    map: NDArray[np.float32] | None
    original: tuple[int, int]
    category: str = ""
    branches: Mapping[str, RawBranch] = field(default_factory=lambda: MappingProxyType({}))
    words: str | None = None


def raw_of(found: RawScores, i: int, original: tuple[int, int], category: str) -> Raw:
    """Return one part's output out of a batch's.

    Args:
        found: The batch's.
        i: The part's position in it.
        original: (height, width) of its files in pixels.
        category: Its product, or "".

    Returns:
        The part's.
    """
    branches = {
        name: RawBranch(float(branch.score[i]), None if branch.map is None else branch.map[i])
        for name, branch in found.branches.items()
    }
    map = None if found.map is None else found.map[i]
    words = None if found.words is None else found.words[i]
    return Raw(float(found.score[i]), map, original, category, branches, words)
