"""Protocols: which images are for training and for testing, and how test images are changed. No method knows of them.

A protocol takes a data set's subsets and returns others. Everything random in it is drawn by its own `draw`, not by
the seed of the method, so all methods and seeds meet the same parts.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from blemish.core.errors import InputError, UnknownName
from blemish.data.record import Record
from blemish.data.split import few_shot
from blemish.evaluation import corruptions
from blemish.imaging.images import Imaging


@dataclass(frozen=True, slots=True)
class Subsets:
    """The images of a measurement.

    Attributes:
        train: Training images.
        held_out: Good images that the threshold is chosen from.
        test: Test images.
    """

    train: list[Record]
    held_out: list[Record]
    test: list[Record]


@dataclass(frozen=True)
class Protocol:
    """The images as the data set divides them: one detector a category, fitted on all its good training images."""

    kind: ClassVar[str] = "one-class"
    unified: ClassVar[bool] = False
    sequential: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The protocol with its settings, without the draw: what results are grouped by. few-shot-4, robustness-blur-2."""
        return "-".join([self.kind, *self._said()])

    def _said(self) -> list[str]:
        """Return the settings that the name holds."""
        return []

    @property
    def drawn(self) -> int | None:
        """Which of several draws this is; None where nothing is drawn."""
        draw: int | None = asdict(self).get("draw")
        return draw

    def as_dict(self) -> dict[str, Any]:
        """Return kind and settings as JSON values; `protocol` reads them back."""
        return {"kind": self.kind, **asdict(self)}

    @property
    def learning(self) -> Protocol:
        """The protocol under which the same detector is fitted: itself, unless only test images are changed."""
        return self

    def split(self, subsets: Subsets) -> Subsets:
        """Divide the images.

        Args:
            subsets: The images as the data set divides them.

        Returns:
            Training, held-out and test images under this protocol.
        """
        return subsets

    def changed(self, test: list[Record], imaging: Imaging, folder: Path) -> list[Record]:
        """Change the test images.

        Args:
            test: The test records.
            imaging: How images are read.
            folder: Copies are written below it.

        Returns:
            The records, with changed images where the protocol has such.
        """
        return test


OneClass = Protocol


@dataclass(frozen=True)
class Unified(Protocol):
    """One detector for all categories of a data set, which is not told them; measured category by category."""

    kind: ClassVar[str] = "multi-class"
    unified: ClassVar[bool] = True


@dataclass(frozen=True)
class Continual(Unified):
    """One detector that is fitted on the first category and adapts to each further one; then all are tested."""

    kind: ClassVar[str] = "continual"
    sequential: ClassVar[bool] = True


@dataclass(frozen=True)
class Unlabelled(Protocol):
    """Fitted on the test images themselves, good and defective, without their labels (transductive).

    Images held out for the threshold stay good; the good training images are not used. A method that learns from
    unlabelled parts is fitted so under every protocol.
    """

    kind: ClassVar[str] = "unlabelled"

    def split(self, subsets: Subsets) -> Subsets:
        """Take the test images as training images, all of them labelled good."""
        return replace(subsets, train=[replace(r, label=0, split="train", masks=()) for r in subsets.test])


@dataclass(frozen=True)
class FewShot(Protocol):
    """Only `k` training images, and none for a threshold; a larger `k` contains a smaller one's choice."""

    kind: ClassVar[str] = "few-shot"
    k: int = 1
    draw: int = 0

    def __post_init__(self) -> None:
        if self.k < 1:
            raise InputError(f"k of few-shot is {self.k}; it must be at least 1, the papers use 1, 2, 4 and 8")

    def _said(self) -> list[str]:
        return [str(self.k)]

    def split(self, subsets: Subsets) -> Subsets:
        """Choose `k` of the good images, held-out ones included; none is held out."""
        return replace(subsets, train=few_shot([*subsets.train, *subsets.held_out], self.k, self.draw), held_out=[])


@dataclass(frozen=True)
class Noisy(Protocol):
    """Defective test images among the training images, labelled good: `share` of the number of good ones, rounded.

    With `overlap` they are tested as well, else no longer (the two settings of Jiang et al., "SoftPatch", NeurIPS 2022).
    Images held out for the threshold stay good. A larger `share` contains a smaller one's choice.
    """

    kind: ClassVar[str] = "noisy"
    share: float = 0.1
    overlap: bool = False
    draw: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise InputError(f"share of noisy is {self.share}; it must lie between 0 and 1, for example 0.1")

    def _said(self) -> list[str]:
        return [f"{self.share:g}", *(["overlap"] if self.overlap else [])]

    def split(self, subsets: Subsets) -> Subsets:
        """Put defective images among the training images.

        Args:
            subsets: The images as the data set divides them.

        Returns:
            Training, held-out and test images under this protocol.

        Raises:
            InputError: there are not enough defective images, one at least must be left to test.
        """
        bad = [record for record in subsets.test if record.label == 1]
        count = max(1, round(self.share * len(subsets.train)))
        most = len(bad) if self.overlap else len(bad) - 1
        if count > most:
            raise InputError(
                f"share of noisy is {self.share}: {count} defective images among {len(subsets.train)} good ones, but at "
                f"most {most} of {len(bad)} can be had. Use a share up to {max(most, 0) / max(len(subsets.train), 1):.3g}"
                f"{'' if self.overlap else ', or overlap = true'}."
            )
        moved = few_shot(bad, count, self.draw)
        keys = {record.key for record in moved}
        taken = [replace(record, label=0, split="train", masks=()) for record in moved]
        test = subsets.test if self.overlap else [record for record in subsets.test if record.key not in keys]
        return Subsets([*subsets.train, *taken], subsets.held_out, test)


@dataclass(frozen=True)
class Robustness(Protocol):
    """Test images changed before they are prepared, see `blemish.evaluation.corruptions`; training images are not."""

    kind: ClassVar[str] = "robustness"
    change: str = "brightness"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.change not in corruptions.CHANGES:
            raise UnknownName("change of robustness", self.change, corruptions.CHANGES)
        corruptions.check(self.change, self.strength)

    def _said(self) -> list[str]:
        return [self.change, f"{self.strength:g}"]

    @property
    def learning(self) -> Protocol:
        """One-class: training images are not changed."""
        return Protocol()

    def changed(self, test: list[Record], imaging: Imaging, folder: Path) -> list[Record]:
        """Return the records with changed copies of their images, and of their masks where parts were turned."""
        return corruptions.change_records(test, self.change, self.strength, imaging, folder, seed=0)


KINDS: Mapping[str, type[Protocol]] = MappingProxyType(
    {made.kind: made for made in (Protocol, Unified, FewShot, Noisy, Unlabelled, Continual, Robustness)}
)


def protocol(settings: Mapping[str, Any]) -> Protocol:
    """Return the protocol that `Protocol.as_dict` described.

    Args:
        settings: JSON values: {"kind": "few-shot", "k": 4, "draw": 0}.

    Returns:
        The protocol.

    Raises:
        UnknownName: no such kind, setting or change.
        InputError: a setting of another type, or outside what it can be.
    """
    given = dict(settings)
    kind = given.pop("kind", None)
    if kind not in KINDS:
        raise UnknownName("protocol", str(kind), KINDS)
    types = inspect.get_annotations(KINDS[kind], eval_str=True)
    known = {field.name: types[field.name] for field in dataclasses.fields(KINDS[kind])}
    for name, value in given.items():
        if name not in known:
            raise UnknownName(f"setting of protocol {kind}", name, known)
        if not _fits(value, known[name]):
            raise InputError(f"{name} of protocol {kind} is {value!r}; it must be {known[name].__name__}")
        given[name] = known[name](value)  # 1 and 1.0 are the same strength
    return KINDS[kind](**given)


def parse(text: str) -> Protocol:
    """Return the protocol that a text names.

    Args:
        text: The kind, and its settings behind a colon: "few-shot:k=4,draw=1".

    Returns:
        The protocol.

    Raises:
        UnknownName: as `protocol`.
        InputError: as `protocol`, or a setting has no value.
    """
    kind, _, settings = text.partition(":")
    given: dict[str, Any] = {"kind": kind}
    for pair in filter(None, settings.split(",")):
        name, sign, value = pair.partition("=")
        if not sign:
            raise InputError(f"the setting {pair!r} of protocol {kind} has no value; write it as few-shot:k=4")
        try:
            given[name] = json.loads(value)
        except ValueError:  # a text
            given[name] = value
    return protocol(given)


def _fits(value: Any, wanted: type) -> bool:
    if isinstance(value, bool) or wanted is bool:
        return isinstance(value, bool) and wanted is bool
    return isinstance(value, int | float if wanted is float else wanted)
