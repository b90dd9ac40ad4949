"""The parts of a data set as a protocol divides them: a datamodule that an Engine fits and tests on."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from blemish.data.datamodule import DataModule
from blemish.data.record import Record
from blemish.data.split import few_shot
from blemish.evaluation.settings import Protocol, Subsets


class ProtocolData(DataModule):
    """Training, held-out and test images of a data set, divided by a protocol, each category by itself.

    Args:
        data: The data set, of one category or of several for one model.
        protocol: How the images are divided, see `blemish.evaluation.settings`.
        train_images: The most training images taken of each category; None takes all.
    """

    def __init__(self, data: DataModule, protocol: Protocol, *, train_images: int | None = None) -> None:
        self.data, self.protocol, self.train_images = data, protocol, train_images
        self.card = data.card  # type: ignore[misc]  # that of the data set it divides
        self.root, self.options, self.imaging, self.category = data.root, data.options, data.imaging, data.category
        self.train_batch_size, self.eval_batch_size = data.train_batch_size, data.eval_batch_size
        self.holdout, self.seed = data.holdout, data.seed

    @property
    def name(self) -> str:
        """The data set's name, as the command line knows it."""
        return self.data.name

    @cached_property
    def records(self) -> list[Record]:
        """Every record of all categories, in a fixed order."""
        return self.data.records

    @cached_property
    def subsets(self) -> Subsets:
        """The images by their use, as the protocol divides them."""
        each = [self.protocol.split(self._of(category)) for category in self.categories]
        return Subsets(
            [record for one in each for record in one.train],
            [record for one in each for record in one.held_out],
            [record for one in each for record in one.test],
        )

    @property
    def train_records(self) -> list[Record]:
        """The training images; with the protocol noisy there are defective ones among them."""
        return self.subsets.train

    @property
    def tasks(self) -> list[list[Record]]:
        """The training images in the order in which they come: one task, or with the protocol continual each category."""
        if not self.protocol.sequential:
            return [self.train_records]
        order = self.named if len(self.named) > 1 else self.categories
        return [[record for record in self.train_records if record.category == category] for category in order]

    @property
    def held_out_records(self) -> list[Record]:
        """The good images that the threshold is chosen from."""
        return self.subsets.held_out

    @property
    def test_records(self) -> list[Record]:
        """The test images."""
        return self.subsets.test

    def saturations(self, record: Record) -> list[float] | None:
        """Return what the data set says, see `DataModule.saturations`."""
        return self.data.saturations(record)

    @property
    def unlabelled_records(self) -> list[Record]:
        """What a transductive method is fitted on, without its truth."""
        return self.subsets.test

    @property
    def _divided(self) -> tuple[list[Record], list[Record]]:
        return self.train_records, self.held_out_records

    def describe(self) -> dict[str, Any]:
        """Return what decides the data of a fit, as JSON values: that of a datamodule, and the protocol."""
        return {**super().describe(), "protocol": self.protocol.learning.as_dict()}

    def _of(self, category: str) -> Subsets:
        """Return one category's images as the data set divides them."""
        data, count = self.data, self.train_images
        train, held_out, test = (
            [record for record in records if record.category == category]
            for records in (data.train_records, data.held_out_records, data.test_records)
        )
        return Subsets(
            train if count is None or count >= len(train) else few_shot(train, count, self.seed), held_out, test
        )
