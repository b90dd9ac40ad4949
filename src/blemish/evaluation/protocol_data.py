"""The parts of one category, or of several, as a protocol divides them: a datamodule that an Engine fits and tests on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from blemish.data.datamodule import DataModule
from blemish.data.record import Record
from blemish.data.split import few_shot
from blemish.evaluation.settings import Protocol, Subsets


class ProtocolData(DataModule):
    """Training, held-out and test images of `parts`, divided by `protocol`; images are prepared as the first part's are.

    Args:
        parts: One datamodule a category, all of one data set.
        protocol: How the images are divided, see `blemish.evaluation.settings`.
        train_images: The most training images taken of each category; None takes all.
    """

    def __init__(self, parts: Sequence[DataModule], protocol: Protocol, *, train_images: int | None = None) -> None:
        first = parts[0]
        self.parts, self.protocol, self.train_images = list(parts), protocol, train_images
        self.root, self.options, self.imaging = first.root, first.options, first.imaging
        self.category = "all" if protocol.unified else first.category
        self.train_batch_size, self.eval_batch_size = first.train_batch_size, first.eval_batch_size
        self.holdout, self.seed = first.holdout, first.seed

    @property
    def name(self) -> str:
        """The data set's name, as the command line knows it."""
        return self.parts[0].name

    @cached_property
    def records(self) -> list[Record]:
        """Every record of all categories, in a fixed order."""
        return [record for part in self.parts for record in part.records]

    @cached_property
    def subsets(self) -> Subsets:
        """The images by their use, as the protocol divides them."""
        train = [record for part in self.parts for record in self._at_most(part)]
        held_out = [record for part in self.parts for record in part.held_out_records]
        test = [record for part in self.parts for record in part.test_records]
        return self.protocol.split(Subsets(train, held_out, test))

    @property
    def train_records(self) -> list[Record]:
        """The training images; with the protocol noisy there are defective ones among them."""
        return self.subsets.train

    @property
    def held_out_records(self) -> list[Record]:
        """The good images that the threshold is chosen from."""
        return self.subsets.held_out

    @property
    def test_records(self) -> list[Record]:
        """The test images."""
        return self.subsets.test

    @property
    def _divided(self) -> tuple[list[Record], list[Record]]:
        return self.train_records, self.held_out_records

    def describe(self) -> dict[str, Any]:
        """Return what decides the data of a fit, as JSON values: that of a datamodule, and the protocol."""
        return {**super().describe(), "protocol": self.protocol.learning.as_dict()}

    def _at_most(self, part: DataModule) -> list[Record]:
        train, count = part.train_records, self.train_images
        return train if count is None or count >= len(train) else few_shot(train, count, self.seed)
