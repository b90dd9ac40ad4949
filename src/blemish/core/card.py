"""What is known about a method or a data set, as frozen data next to its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Paper:
    """A publication: enough to find and cite it."""

    title: str
    authors: str
    year: int
    venue: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """A published number.

    Attributes:
        dataset: Name of the data set.
        metric: Name of the metric.
        value: In percent.
        source: Who published it.
        setting: The conditions ("256 px, 700 epochs").
    """

    dataset: str
    metric: str
    value: float
    source: str
    setting: str = ""


@dataclass(frozen=True, slots=True)
class Preset:
    """Settings for one purpose.

    Attributes:
        image_size: Side of the network's input, in pixels.
        batch_size: Images per batch.
        params: Hyper-parameters that differ from the constructor's defaults.
    """

    image_size: int
    batch_size: int
    params: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Card:
    """What a method is.

    Attributes:
        name: The method's name as printed.
        idea: The idea in one line.
        family: For tables only; no code branches on it.
        paper: The publication.
        code: Address of the official code, if there is any.
        code_licence: Licence of that code.
        differs: Where we differ from the paper or its code.
        reported: Published numbers.
        presets: For methods that are trained: "paper" (what the paper trains with; its hyper-parameters are the
            constructor's defaults) and "quick" (a few minutes on two cores).
        not_exported: Why the method cannot be exported; empty if it can.
    """

    name: str
    idea: str
    family: str
    paper: Paper
    code: str = ""
    code_licence: str = ""
    differs: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()
    presets: Mapping[str, Preset] = field(default_factory=lambda: MappingProxyType({}))
    not_exported: str = ""


@dataclass(frozen=True, slots=True)
class Archive:
    """A file that can be downloaded.

    Attributes:
        name: Name of the file.
        url: Its address; empty if it must be fetched by hand from the data set's home page.
        size: In bytes.
        checksum: "sha256:..." or "md5:..."; empty if none was published.
    """

    name: str
    url: str = ""
    size: int = 0
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a category holds; None where the source does not report it.

    Attributes:
        train_good: Good images for training.
        test_good: Good test images.
        test_defective: Defective test images.
        validation_good: Good images for validation.
        kinds: Defective test images by kind of defect.
    """

    train_good: int | None = None
    test_good: int | None = None
    test_defective: int | None = None
    validation_good: int | None = None
    kinds: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What a data set is, where it comes from, and what a complete copy holds.

    Attributes:
        name: The data set's name as printed.
        paper: The publication; None where there is none.
        licence: Licence of the images.
        home: Address of the home page.
        categories: Names of the categories.
        layout: Patterns of the paths in a copy.
        masks: What the ground-truth masks look like.
        counts: Images by category.
        counts_source: Where the counts come from.
        archives: Files to download.
        disagreements: Where sources contradict each other or the files.
        metrics: What its own paper measures besides the usual, see `blemish.evaluation.own_metrics`.
    """

    name: str
    paper: Paper | None
    licence: str
    home: str
    categories: tuple[str, ...]
    layout: tuple[str, ...]
    masks: str
    counts: Mapping[str, Counts] = field(default_factory=lambda: MappingProxyType({}))
    counts_source: str = ""
    archives: tuple[Archive, ...] = ()
    disagreements: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
