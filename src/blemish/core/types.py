"""What goes into a detector and what comes out of it: Batch, Truth, Scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from blemish.core.errors import TruthWithheld
from blemish.core.inputs import Inputs

if TYPE_CHECKING:
    from torch import Tensor


class Scores(NamedTuple):
    """What a detector returns: raw scores, higher is more anomalous, never rescaled.

    Attributes:
        image: (B,), finite.
        map: (B, H, W) at the size of the input, or None if the method does not localise.
        branches: The scores that the total was made of, by name: "structural" and "logical", "rgb" and "points".
        words: A sentence on each of the B parts, from methods that speak.
    """

    image: Tensor
    map: Tensor | None = None
    branches: Mapping[str, Scores] = MappingProxyType({})
    words: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Truth:
    """The ground truth of B parts.

    Attributes:
        label: (B,) int64: 0 good, 1 defective, -1 unknown.
        masks: For each part its defects, (K, H, W) bool at the size of the inputs, one of K instances each; K is 0 for a
            good part. None where nobody has marked them.
    """

    label: Tensor
    masks: tuple[Tensor | None, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """B parts, ready for a detector.

    Attributes:
        inputs: By kind (`core.inputs`): (B, C, H, W) float32, or a list of B texts.
        keys: Names of the records.
        known: Their ground truth, for methods that learn from it. An unsupervised `fit` is given none.
    """

    inputs: Inputs
    keys: tuple[str, ...] = ()
    known: Truth | None = field(default=None, repr=False)

    @property
    def image(self) -> Tensor:
        """(B, 3, H, W) float32 RGB in [0, 1]."""
        image: Tensor = self.inputs["image"]
        return image

    @property
    def category(self) -> list[str]:
        """The product of each part; "" where it has no name."""
        category: list[str] = self.inputs.get("category") or [""] * len(self)
        return category

    @property
    def truth(self) -> Truth:
        """The ground truth.

        Raises:
            TruthWithheld: the method does not declare that it learns from it.
        """
        if self.known is None:
            raise TruthWithheld(
                "these parts come without their truth: this method learns without. One that learns from the labelled "
                'parts of other products declares learns_from = "auxiliary".'
            )
        return self.known

    def take(self, chosen: Sequence[int]) -> Batch:
        """Return some of the parts, without their truth.

        Args:
            chosen: Their positions.

        Returns:
            The smaller batch.
        """
        positions = list(chosen)
        some = {
            name: [value[i] for i in positions] if isinstance(value, list) else value[positions]
            for name, value in self.inputs.items()
        }
        return Batch(some, tuple(self.keys[i] for i in positions) if self.keys else ())

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))
